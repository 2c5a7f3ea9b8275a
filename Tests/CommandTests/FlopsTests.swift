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
