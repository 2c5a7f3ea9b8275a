import VTokEval

extension QuestionImport {
  /// POPE (Li et al., EMNLP 2023, arXiv 2305.10355; RUCAIBox/POPE): an object a line with `image`, `text` and `label`. The kind of
  /// sampling is told by the file's name and becomes the group.
  static let pope = QuestionImport(
    "pope", "coco_pope_random.json and its like: an object a line with image, text, label", files: 1...16
  ) { files, _ in
    try files.flatMap { file in
      let kind = ["random", "popular", "adversarial"].first { file.name.contains($0) }
      return try file.lines().map { number, json in
        let place = "line \(number)"
        return ImportedQuestion(
          place: place, images: [try file.text(json, "image", place)], question: try file.text(json, "text", place),
          answers: [try file.text(json, "label", place)], metric: .yesNo, group: kind)
      }
    }
  }
}
