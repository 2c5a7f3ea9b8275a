import Foundation
import Testing
import VTok

/// The small models trained in `Benchmarks/training`, from their published files to the answer, against transformers.
@Suite struct SmallModelTests {
  private static let folder =
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path + "/Benchmarks/models/"
  private static let names = ["vqa-small"]

  @Test(arguments: names) func answersAsTransformersDoes(name: String) throws {
    let below = Self.folder + name + "/reference/"
    let generator = try Generator(model: Self.folder + name)
    let wanted = try Safetensors(path: below + "logits.safetensors").tensor("logits")
    let rows = try String(contentsOfFile: below + "questions.jsonl", encoding: .utf8).split(separator: "\n")
    try #require(rows.count == wanted.rows && rows.count >= 5)
    for (index, row) in rows.enumerated() {
      let row = try JSON(parsing: Array(row.utf8))
      let (question, said) = try (#require(row["question"]?.string), #require(row["generated"]?.string))
      let image = try Image.decode(contentsOf: below + #require(row["image"]?.string)).image
      let prompt = try generator.prepare(question, about: [image])

      var run = Run(.dense(generator.model.shape))
      let decoding = try generator.model.prefill(prompt.ids, prompt.images, run: &run)
      let away = distance(decoding.logits, wanted.row(index))
      #expect(away <= 1e-3, "\(question): \(away)")
      let answer = try generator(prompt, limit: 8)
      #expect(answer.text == said && answer.isComplete, "\(question)")
    }
  }
}
