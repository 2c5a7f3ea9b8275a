import VTokEval

extension QuestionImport {
  /// GQA (Hudson and Manning, CVPR 2019, arXiv 1902.09506): `testdev_balanced_questions.json`, an object of questions by their id. The
  /// structural type is the group.
  static let gqa = QuestionImport("gqa", "testdev_balanced_questions.json; pictures are IMAGEID.jpg") { files, _ in
    let file = files[0]
    guard let questions = try file.json().object else {
      throw file.wrong("JSON", "no object", "questions by their id")
    }
    return try questions.map { id, json in
      let place = "question \(id)"
      return ImportedQuestion(
        place: place, images: [try file.text(json, "imageId", place) + ".jpg"],
        question: try file.text(json, "question", place), answers: json["answer"]?.string.map { [$0] } ?? [],
        metric: .exact, group: json["types"]?["structural"]?.string)
    }
  }
}
