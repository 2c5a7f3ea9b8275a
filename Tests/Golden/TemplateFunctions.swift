import Foundation
import VTok
import VTokTemplate

/// `lvlm.prompt`: a checkpoint's folder, a question and the sizes of its images become text and ids. `template.render`: a published chat template, read from the goldens' own folder, with the variables of each row.
let templateFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "template.render": { inputs in
    let name = inputs.case.manifest["template"]!.string!
    guard let text = FileManager.default.contents(atPath: inputs.file(name)) else {
      throw NeedsFile(description: "\(name) beside the manifest")
    }
    let template = try Template(String(decoding: text, as: UTF8.self))
    let now = LocalTime(year: 2026, month: 1, day: 2, hour: 3, minute: 4, second: 5)
    let rows = inputs.case.manifest["rows"]!.array!.map { row -> JSON in
      var made = row.object!
      made["expected"] = nil
      made["error"] = nil
      let variables = TemplateValue(.object(made))
      do throws(TemplateError) {
        made["expected"] = JSON(try template.render(variables, now: now))
      } catch {
        made["error"] = JSON("\(error)")
      }
      return .object(made)
    }
    return ["rows": GoldenValue(rows: rows)]
  },

  "lvlm.prompt": { inputs in
    let generator = try Generator(model: inputs.file(inputs.config["checkpoint_dir"]!.string!))
    let rows = try inputs.case.manifest["rows"]!.array!.map { row -> JSON in
      let images = try preparedImages(row, generator)
      let messages = ChatMessage.question(row["question"]!.string!, images: images.count, system: row["system"]?.string)
      var made = row.object!
      made["text"] = JSON(try generator.template.text(messages))
      made["input_ids"] = JSON(try generator.prepare(messages, about: images).ids)
      return .object(made)
    }
    return ["rows": GoldenValue(rows: rows)]
  },
]

/// Black pictures of the sizes of a row, or of as many tiles.
private func preparedImages(_ row: JSON, _ generator: Generator) throws -> [PreparedImage] {
  if let counts = row["tiles"]?.ints {
    let tower = generator.model.shape.tower!
    let tile = Tensor(zeros: [3, tower.rows * tower.patch, tower.columns * tower.patch])
    // The whole image behind several tiles.
    return counts.map { count in
      PreparedImage(
        tiles: [Tensor](repeating: tile, count: count), rows: 1, columns: max(1, count - 1), original: Size(64))
    }
  }
  let sizes = row["image_sizes_hw"]!.array!
  return try sizes.map { size in
    let picture = Image(width: size[1]!.int!, height: size[0]!.int!, colour: [0, 0, 0])
    return try generator.picture(picture, among: sizes.count)
  }
}
