import VTokEval

extension QuestionImport {
  /// OCRBench (Liu et al., arXiv 2305.07895): `OCRBench.json`, a list of `image_path`, `question` and `answers`; handwritten
  /// formulas (HME100k) have a metric of their own. The kind of question is the group.
  static let ocrBench = QuestionImport("ocrbench", "OCRBench.json") { files, _ in
    let file = files[0]
    return try file.list(file.json()).enumerated().map { index, json in
      let place = "entry \(index)"
      let answers = try json["answers"]?.strings ?? [file.text(json, "answers", place)]
      return ImportedQuestion(
        place: place, images: [try file.text(json, "image_path", place)],
        question: try file.text(json, "question", place), answers: answers,
        metric: json["dataset_name"]?.string == "HME100k" ? .ocrBenchFormulas : .ocrBench, group: json["type"]?.string)
    }
  }
}
