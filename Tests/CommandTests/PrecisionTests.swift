import Foundation
import Testing
import VTok

/// Products of lower precision: chosen when a model loads, recorded in what it makes.
@Suite struct PrecisionTests {
  private func vectors(_ folder: String) throws -> [Tensor] {
    let file = try Safetensors(path: folder + "/tokens-00000.safetensors")
    return try file.entries.map(\.name).filter { $0.hasSuffix(".pooled") }.sorted().map { try file.tensor($0) }
  }

  /// Tokens stay near those of float32, and are the same bytes on any number of threads.
  @Test(arguments: [("bf16", 0.999), ("int8", 0.98)]) func aTower(precision: String, near cosine: Double) throws {
    try inTemporaryFolder { folder in
      func prune(_ name: String, _ more: [String]) throws -> Finished {
        try vtok(["prune", pictures, "--method", "tome", "--keep-ratio", "0.5", "-o", "\(folder)/\(name)"] + more)
      }
      #expect(try prune("exact", []).status == 0)
      #expect(try prune("one", ["--precision", precision, "--threads", "1"]).status == 0)
      #expect(try prune("two", ["--precision", precision, "--threads", "2"]).status == 0)
      let tokens = "/tokens-00000.safetensors"
      let bytes = ["exact", "one", "two"].map { FileManager.default.contents(atPath: "\(folder)/\($0)\(tokens)") }
      #expect(bytes[1] == bytes[2] && bytes[0] != bytes[1])
      let (exact, near) = try (vectors(folder + "/exact"), vectors(folder + "/one"))
      try #require(exact.count > 4 && exact.count == near.count)
      for (a, b) in zip(exact, near) { #expect(Statistics.cosine(a.values, b.values) > cosine) }
      // Another precision is another job.
      let job = try String(contentsOfFile: folder + "/one/job.yaml", encoding: .utf8)
      #expect(job.contains("precision: \"\(precision)\""))
      let refused = try prune("one", [])
      #expect(refused.status == 2 && refused.error.contains("precision"), "\(refused.error)")
    }
  }

  @Test func fourBitsAreForLanguageModels() throws {
    let done = try vtok("prune", pictures, "--precision", "int4", "-o", "/nonexistent/out")
    #expect(done.status != 0 && done.error.contains("expected f32, bf16 or int8"), "\(done.error)")
    let judged = try vtok("bench", "--data", pictures, "--tokenizers", "klt", "--precision", "int8")
    #expect(judged.status == 2 && judged.error.contains("--precision"), "\(judged.error)")
    let unknown = try vtok("prune", pictures, "--precision", "int2", "-o", "/nonexistent/out")
    #expect(unknown.status == 2 && unknown.error.contains("int2"), "\(unknown.error)")
  }

  @Test(arguments: ["f32", "bf16", "int8", "int4"]) func aLanguageModelAnswers(_ precision: String) throws {
    try inTemporaryFolder { folder in
      let model = try TinyModel.make("llava15-tiny-d", in: folder)
      let done = try vtok(
        "generate", "--model", model, "--image", pictures + "/cat.jpg", "--prompt", "what is it", "--max-tokens", "3",
        "--format", "jsonl", "--precision", precision)
      #expect(done.status == 0, "\(done.error)")
      let json = try JSON(parsing: Array(done.out.utf8))
      #expect(json["run"]?["precision"]?.string == precision)
    }
  }

  /// The question model that is kept here answers in fewer bits as it does in float32, but for a few questions.
  @Test(arguments: [("bf16", 0), ("int8", 1), ("int4", 3)]) func theSmallModelKeepsItsAnswers(
    precision: String, mayDiffer: Int
  )
    throws
  {
    let model = repository + "/Benchmarks/models/vqa-small"
    let exact = try Generator(model: model)
    let value = try #require(Precision(rawValue: precision))
    let near = try Generator(model: model, precision: value)
    var differ = 0
    for name in ["cat.jpg", "ship.jpg", "chart.png"] {
      let image = try Image.decode(contentsOf: pictures + "/" + name).image
      for question in ["what is the color?", "is there a circle?", "what shape is it?", "is there a red shape?"] {
        let answers = try [exact, near].map { try $0(question, about: [image], limit: 4).text }
        differ += answers[0] == answers[1] ? 0 : 1
      }
    }
    #expect(differ <= mayDiffer, "\(differ) of 12")
  }

  /// Every row once with each precision, all beside the dense row of float32, which stands first however they were given.
  @Test func aBenchOfSeveral() throws {
    try inTemporaryFolder { folder in
      let list = folder + "/list.txt"
      try ["cat.jpg\tcat", "ship.jpg\tship", "frog-exif6.jpg\tfrog"].map { "\(pictures)/\($0)\n" }.joined()
        .write(toFile: list, atomically: true, encoding: .utf8)
      func rows(_ precision: String) throws -> [JSON] {
        let done = try vtok(
          "bench", "--data", list, "--method", "tome", "--method", "divprune", "--keep-ratio", "0.5", "--seeds", "1",
          "--timing-samples", "1", "--precision", precision, "--format", "jsonl")
        #expect(done.status == 0, "\(done.error)")
        return try done.out.split(separator: "\n").map { try JSON(parsing: Array($0.utf8)) }
      }
      let all = try rows("int8,f32,bf16")
      let names = all.map { ($0["method"]?.string ?? "") + " " + ($0["precision"]?.string ?? "") }
      let methods = try rows("f32").map { $0["method"]?.string ?? "" }
      #expect(names == ["f32", "int8", "bf16"].flatMap { precision in methods.map { "\($0) \(precision)" } })
      #expect(all.allSatisfy { $0["run"]?["precision"]?.string == $0["precision"]?.string })
      // Alone or in company a row has the same figures; those of other precisions are compared with float32.
      let alone = try rows("int8")
      let inCompany = all[methods.count..<2 * methods.count]
      for (one, other) in zip(alone, inCompany) {
        #expect(one["top1"]?.text() == other["top1"]?.text() && one["gmacs"]?.text() == other["gmacs"]?.text())
      }
      let divergences = try inCompany.map { try #require($0["loyalty"]?["logit_kl"]?.double) }
      #expect(divergences.allSatisfy { $0 > 0 })
      #expect(alone[0]["loyalty"]?["logit_kl"]?.double == 0)
    }
  }

  @Test(arguments: ["f32,int3", "int8,int8"]) func aSweepIsRefused(_ precision: String) throws {
    let done = try vtok("bench", "--data", pictures, "--precision", precision)
    #expect(done.status == 2 && done.error.contains("--precision"), "\(done.error)")
  }
}
