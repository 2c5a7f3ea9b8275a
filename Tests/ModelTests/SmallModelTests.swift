import Foundation
import TestSupport
import Testing
import VTok

/// The small models trained in `Benchmarks/training`, from their published files to the answer, against transformers; p-MoD
/// and QueCC, which that does not have, against their recipes.
@Suite struct SmallModelTests {
  private static let folder =
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path + "/Benchmarks/models/"
  private static let names = [
    "vqa-small", "vqa-tiles", "vqa-pages", "vqa-small-pmod", "vqa-small-quecc-64", "vqa-small-quecc-16",
  ]

  private static func rows(_ path: String) throws -> [JSON] {
    try String(contentsOfFile: folder + path, encoding: .utf8).split(separator: "\n").map {
      try JSON(parsing: Array($0.utf8))
    }
  }

  @Test(arguments: names) func answersAsInTraining(name: String) throws {
    let below = Self.folder + name + "/reference/"
    let generator = try Generator(model: Self.folder + name)
    let wanted = try Safetensors(path: below + "logits.safetensors").tensor("logits")
    let rows = try Self.rows(name + "/reference/questions.jsonl")
    try #require(rows.count == wanted.rows && rows.count >= 5)
    for (index, row) in rows.enumerated() {
      let (question, said) = try (#require(row["question"]?.string), #require(row["generated"]?.string))
      let image = try Image.decode(contentsOf: below + #require(row["image"]?.string)).image
      let prompt = try generator.prepare(question, about: [image])

      var run = Run(.dense(generator.model.shape))
      if generator.model.seesQuestion {
        try generator.model.read(question: generator.tokenizer.encode(question), run: &run)
      }
      let decoding = try generator.model.prefill(prompt.ids, prompt.images, run: &run)
      let away = distance(decoding.logits, wanted.row(index))
      #expect(away <= 1e-3, "\(question): \(away)")
      let answer = try generator(prompt, limit: 8)
      #expect(answer.text == said && answer.isComplete, "\(question)")
    }
  }
}
