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
}
