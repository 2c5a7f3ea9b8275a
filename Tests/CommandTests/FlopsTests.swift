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

  @Test func aTimeIsSolvedOnce() throws {
    try inTemporaryFolder { folder in
      func prune(_ milliseconds: Double) throws -> Finished {
        try vtok("prune", pictures + "/cat.jpg", "--target-ms", "\(milliseconds)", "-o", folder + "/out")
      }
      let tooMuch = try prune(1e5)
      #expect(tooMuch.status == 2 && tooMuch.error.contains(" ms. Ask for a value in that range."))
      let range = tooMuch.error.split(separator: " ").compactMap { Double($0) }.suffix(2)
      let middle = ((range.first! + range.last!) / 2 * 100).rounded() / 100
      let first = try prune(middle)
      #expect(first.status == 0, "\(first.error)")
      // Measured again it would be another number, and another job.
      let second = try prune(middle)
      #expect(second.status == 0 && second.error == first.error, "\(second.error)")
    }
  }
}
