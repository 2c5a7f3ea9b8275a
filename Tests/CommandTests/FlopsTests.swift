import Foundation
import Testing
import VTok

/// `vtok flops`, and budgets that are solved for a target.
@Suite struct FlopsTests {
  private func json(_ arguments: String...) throws -> JSON {
    let done = try vtok(["flops"] + arguments + ["--format", "json"])
    #expect(done.status == 0, "\(done.error)")
    return try JSON(parsing: [UInt8](done.out.utf8))
  }

  @Test func denseModelsByName() throws {
    let ledger = try json("--model", "deit-s")
    #expect(ledger["schema"]?.string == "vtok-flops/1")
    #expect(fixed(ledger["gmacs"]!["dense"]!.double!, 3) == "4.599")
    #expect(fixed(ledger["gflops"]!["dense"]!.double!, 3) == "9.198")
    #expect(ledger["layers"]?.array?.count == 12)
  }

  @Test func aMethodOnAnotherImageSize() throws {
    let ledger = try json("--model", "deit-s", "--method", "tome:r=13", "--image-size", "384x224")
    #expect(ledger["tokens"]?["in"]?.int == 24 * 14)
    #expect(ledger["tokens"]?["out"]?.int == 24 * 14 - 12 * 13)
    #expect(ledger["layers"]?[1]?["tokens"]?.int == 1 + 24 * 14 - 13)
    #expect(ledger["tokens"]?["depends_on_image"]?.bool == false)
  }

  /// As everywhere, a budget without a method means tome.
  @Test func aBudgetAloneIsOfToMe() throws {
    let ledger = try json("--model", "deit-s", "--keep-tokens", "40")
    #expect(ledger["method"]?.string == "tome" && ledger["tokens"]?["out"]?.int == 40)
  }

  @Test func aDirectoryNeedsNoWeights() throws {
    try inTemporaryFolder { folder in
      let config =
        #"{"model_type": "clip_vision_model", "hidden_size": 1024, "num_hidden_layers": 24, "#
        + #""num_attention_heads": 16, "intermediate_size": 4096, "image_size": 336, "patch_size": 14}"#
      try config.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
      let ledger = try json("--model", folder)
      #expect(fixed(ledger["gmacs"]!["dense"]!.double!, 2) == "190.96")
    }
  }

  /// The row "total" is the sum of the rows above it.
  @Test func tablesAddUp() throws {
    let done = try vtok(
      "flops", "--model", "vit-b-mae", "--method", "diffrate:preset=vit-b-mae-11.5", "--format", "csv")
    let lines = done.out.split(separator: "\n").map { $0.split(separator: ",").map(String.init) }
    let column = try #require(lines[0].firstIndex(of: "GMACs"))
    let values = lines.dropFirst().map { Double($0[column])! }
    #expect(abs(values.dropLast().reduce(0, +) - values.last!) < 0.001)
    #expect(abs(values.last! - 11.517) < 0.001)
  }

  @Test func unknownModelsAreNamed() throws {
    let done = try vtok("flops", "--model", "deit-x")
    #expect(done.status == 1 && done.error.contains("Did you mean 'deit-"))
  }

  // MARK: Vision-language models

  /// The number of a figure by its name: of this run, of the dense one.
  private func figure(_ ledger: JSON, _ name: String) throws -> (value: Double, dense: Double) {
    let found = try #require(ledger["figures"]?.array?.first { $0["name"]?.string == name })
    #expect(found["label"]?.string?.isEmpty == false)
    return (found["value"]!.double!, found["dense"]!.double!)
  }

  @Test func divPruneOnLLaVA() throws {
    let ledger = try json("--model", "llava-1.5-7b", "--method", "divprune", "--keep-ratio", "0.098")
    #expect(ledger["tokens"]?["in"]?.int == 576 && ledger["tokens"]?["out"]?.int == 56)
    let paper = try figure(ledger, "mac3-img")
    #expect(fixed(paper.dense, 4) == "3.8172" && fixed(paper.value / paper.dense, 3) == "0.095")
    // 64 text tokens with 576 and with 56 image tokens, 16 bit.
    #expect(fixed(try figure(ledger, "kv-prefill").dense, 2) == "335.54")
    #expect(fixed(try figure(ledger, "kv-prefill").value, 2) == "62.91")
    // In full: tower, projector, prefill, head, and the selection's products of 576 rows.
    let (n, d, m) = (120, 4096, 11008)
    let prefill = 32 * (4 * n * d * d + 2 * n * n * d + 3 * n * d * m)
    let macs = 183_016_923_136 + 12_079_595_520 + prefill + 4096 * 32064 + 576 * 576 * 4096
    #expect(abs(try figure(ledger, "full").value - 2e-9 * Double(macs)) < 0.5)
    #expect(ledger["layers"]?.array?.count == 23 && ledger["language_layers"]?.array?.count == 32)
    #expect(ledger["language_layers"]?[0]?["image_tokens"]?.int == 56)
    #expect(ledger["decode_macs"]?.array?.count == 63)
  }

  /// Methods that act inside the language model, at its caches, and on tiles.
  @Test func stagesOfLanguageModels() throws {
    let fastv = try json("--model", "llava-1.5-7b", "--method", "fastv", "--keep-ratio", "0.5", "--text-tokens", "36")
    #expect(fixed(try figure(fastv, "mac2-612").value, 1) == "54.8")
    #expect(fixed(try figure(fastv, "mac3-img").value, 2) == "2.01")
    let elastic = try json("--model", "llava-1.5-7b", "--method", "elastic-cache", "--keep-ratio", "0.5")
    #expect(try figure(elastic, "mac3-img").value == figure(elastic, "mac3-img").dense)
    #expect(try figure(elastic, "kv-end").value < 0.55 * figure(elastic, "kv-end").dense)
    #expect(try figure(elastic, "kv-peak").value > 0.9 * figure(elastic, "kv-end").dense)
    // The authors' amount leaves more or less by what a tile shows; a budget leaves what was asked.
    let tiles = try json("--model", "llava-next-7b", "--method", "globalcom2:retention=0.25")
    #expect(tiles["tokens"]?["in"]?.int == 2928 && tiles["tokens"]?["depends_on_image"]?.bool == true)
    let driven = try json("--model", "llava-next-7b", "--method", "globalcom2", "--keep-ratio", "0.25")
    #expect(driven["tokens"]?["out"]?.int == 732 && driven["tokens"]?["depends_on_image"]?.bool == false)
  }

  /// A threshold on noise says nothing, and the table says so; so does a cut that hangs on attention.
  @Test(arguments: [("mustdrop", true), ("token-corr", true), ("transprune", false), ("sparsevlm", false)])
  func whatDependsOnTheImage(_ method: String, depends: Bool) throws {
    let ledger = try json("--model", "llava-1.5-7b", "--method", method, "--new-tokens", "1")
    #expect(ledger["tokens"]?["depends_on_image"]?.bool == depends)
  }

  @Test(arguments: [
    ("llava-1.5-13b", "672x672", 576), ("llava-next-7b", "672x672", 2928), ("llava-next-7b", "1000x320", 2328),
    ("smolvlm-256m", "672x672", 1088), ("idefics3-8b", "364x364", 2873), ("qwen2-vl-2b", "672x672", 576),
    ("qwen2.5-vl-7b", "1300x700", 1150),
  ]) func imageTokens(_ model: String, size: String, tokens: Int) throws {
    let ledger = try json("--model", model, "--image-size", size)
    #expect(ledger["tokens"]?["in"]?.int == tokens)
    #expect(ledger["gmacs"]?["ratio"]?.double == 1)
  }

  @Test func aLanguageModelsDirectoryNeedsNoWeights() throws {
    try inTemporaryFolder { folder in
      let config = #"{"model_type": "llava", "text_config": {"model_type": "llama", "vocab_size": 32064}}"#
      try config.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
      let own = try json("--model", folder)
      let named = try json("--model", "llava-1.5-7b")
      #expect(own["figures"] == named["figures"])
    }
  }

  /// Rows of the layers add up, and every figure in the table stands beside its label.
  @Test func tablesOfLanguageModels() throws {
    let csv = try vtok("flops", "--model", "llava-1.5-7b", "--method", "pyramiddrop", "--format", "csv")
    let lines = csv.out.split(separator: "\n").map { $0.split(separator: ",").map(String.init) }
    for name in ["GMACs", "KV MB (16 bit)"] {
      let column = try #require(lines[0].firstIndex(of: name))
      let values = lines.dropFirst().map { Double($0[column]) ?? 0 }
      #expect(abs(values.dropLast().reduce(0, +) - values.last!) < 0.2)
    }
    let text = try vtok("flops", "--model", "llava-1.5-7b", "--method", "pyramiddrop").out
    for convention in Convention.allCases { #expect(text.contains(convention.label)) }
    #expect(text.contains("| layer 0-6 ") && text.contains("| layer 24-31 "))
  }

  @Test func languageTargets() throws {
    let done = try vtok(
      "flops", "--model", "llava-1.5-7b", "--method", "fastv", "--target-tokens", "192", "--format", "json")
    #expect(done.status == 0 && done.error.contains("of 192.0 tokens per block"))
    let ledger = try JSON(parsing: [UInt8](done.out.utf8))
    let mean = try figure(ledger, "linear").value
    #expect(mean <= 192 && mean > 191)
    // 30 of 32 layers can be thinned, the tower cannot.
    let unreachable = try vtok("flops", "--model", "llava-1.5-7b", "--method", "fastv", "--target-gmacs", "300")
    #expect(unreachable.status == 2 && unreachable.error.contains("fastv cannot reach its budget: asked 300.000 GMACs"))
    #expect(unreachable.error.contains("to 4447.245 GMACs"))
  }

  @Test func refusals() throws {
    func refuses(_ arguments: String..., saying text: String) throws {
      let done = try vtok(["flops"] + arguments)
      #expect(done.status != 0 && done.out.isEmpty && done.error.contains(text), "\(done.error)")
    }
    try refuses("--model", "llava-1.5-7x", saying: "Did you mean 'llava-1.5-7b'?")
    try refuses("--model", "llava-1.5-7b", "--method", "divprun", saying: "did you mean 'divprune'?")
    try refuses("--model", "llava-1.5-7b", "--method", "globalcom2", saying: "expected images cut into tiles")
    try refuses("--model", "smolvlm-256m", "--method", "tome", saying: "fuses 16 patches into one token")
    try refuses("--model", "deit-s", "--method", "fastv", saying: "no language model")
    try refuses(
      "--model", "llava-1.5-7b", "--method", "fastv:layer=2,keep=0.5+transprune", saying: "cannot run together")
    try refuses("--model", "llava-1.5-7b", "--text-tokens", "0", saying: "--text-tokens")
    try refuses("--model", "llava-1.5-7b", "--image-size", "336y336", saying: "--image-size")
    try refuses("--model", "qwen2-vl-2b", "--image-size", "9000x10", saying: "aspect ratio")
  }

  @Test func pruneMeetsATarget() throws {
    try inTemporaryFolder { folder in
      let done = try vtok(
        "prune", pictures + "/cat.jpg", "--method", "zero-tprune", "--target-gmacs", "0.5", "-o", folder + "/out")
      #expect(done.status == 0, "\(done.error)")
      #expect(done.error.contains("of 0.500 GMACs"))
      let row = try JSON(parsing: [UInt8](FileManager.default.contents(atPath: folder + "/out/manifest.jsonl")!))
      let gmacs = row["gmacs"]!["reduced"]!.double!
      #expect(gmacs <= 0.5 && gmacs > 0.49)
      // The job file holds what was solved: going on with it asks nothing anew.
      let again = try vtok("prune", "--config", folder + "/out/job.yaml", "-o", folder + "/out")
      #expect(again.status == 0, "\(again.error)")
    }
  }

  /// A time would not come out the same twice: an interrupted job goes on with what it solved.
  @Test func aTimeIsSolvedOnce() throws {
    try inTemporaryFolder { folder in
      let output = folder + "/out"
      #expect(try vtok("prune", pictures + "/cat.jpg", "--keep-tokens", "60", "-o", output).status == 0)
      let job = try String(contentsOfFile: output + "/job.yaml", encoding: .utf8)
      try (job + "  solved-for: \"5.00 ms\"\n  reached: 4.5\n").write(
        toFile: output + "/job.yaml", atomically: true, encoding: .utf8)
      let again = try vtok("prune", pictures + "/cat.jpg", "--target-ms", "5", "-o", output)
      #expect(again.status == 0, "\(again.error)")
      #expect(again.error.hasPrefix("vtok: tome: --keep-tokens 60 for 4.50 of 5.00 ms"))
    }
  }
}
