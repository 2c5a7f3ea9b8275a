import VTokEval

extension QuestionImport {
  /// ScienceQA (Lu et al., NeurIPS 2022, arXiv 2209.09513): `problems.json`, an object of problems by their id. Those without a picture
  /// are left out; pictures are `SPLIT/ID/image.png`. The hint stands before the question, the subject is the group.
  static let scienceQA = QuestionImport(
    "scienceqa", "problems.json; pictures are SPLIT/ID/image.png, problems without one are left out"
  ) { files, _ in
    let file = files[0]
    guard let problems = try file.json().object else { throw file.wrong("JSON", "no object", "problems by their id") }
    return try problems.compactMap { id, json in
      guard let picture = json["image"]?.string, !picture.isEmpty else { return nil }
      let place = "problem \(id)"
      let split = try file.text(json, "split", place)
      guard let choices = json["choices"]?.strings, let right = json["answer"]?.int, choices.indices.contains(right)
      else { throw file.wrong(place, "no `choices` that `answer` is one of", "a list of texts and a number from 0") }
      return ImportedQuestion(
        place: place, images: ["\(split)/\(id)/\(picture)"], question: try file.text(json, "question", place),
        metric: .multipleChoice, choices: choices, right: right, hint: json["hint"]?.string,
        group: json["subject"]?.string, split: split)
    }
  }
}
