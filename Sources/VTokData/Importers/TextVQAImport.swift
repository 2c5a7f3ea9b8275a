import VTokEval

extension QuestionImport {
  /// TextVQA (Singh et al., CVPR 2019, arXiv 1904.08920): `TextVQA_0.5.1_val.json`, whose `data` has `image_id`, `question` and ten
  /// people's `answers`; the test part has none.
  static let textVQA = QuestionImport("textvqa", "TextVQA_0.5.1_val.json; pictures are IMAGE_ID.jpg") { files, _ in
    let file = files[0]
    return try file.list(file.json(), "data").enumerated().map { index, json in
      let place = "question \(json["question_id"]?.int ?? index)"
      return ImportedQuestion(
        place: place, images: [try file.text(json, "image_id", place) + ".jpg"],
        question: try file.text(json, "question", place), answers: json["answers"]?.strings ?? [], metric: .vqa,
        split: json["set_name"]?.string)
    }
  }
}
