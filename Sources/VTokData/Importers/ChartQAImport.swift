import VTokEval

extension QuestionImport {
  /// ChartQA (Masry et al., ACL Findings 2022, arXiv 2203.10244): `test_human.json` or `test_augmented.json`, a list of `imgname`,
  /// `query` and `label`. Who asked is told by the file's name and becomes the group.
  static let chartQA = QuestionImport(
    "chartqa", "test_human.json and test_augmented.json; pictures are in the folder png", files: 1...2
  ) { files, _ in
    try files.flatMap { file in
      let who = ["human", "augmented"].first { file.name.contains($0) }
      return try file.list(file.json()).enumerated().map { index, json in
        let place = "entry \(index)"
        return ImportedQuestion(
          place: place, images: [try file.text(json, "imgname", place)], question: try file.text(json, "query", place),
          answers: [try file.text(json, "label", place)], metric: .relaxed, group: who)
      }
    }
  }
}
