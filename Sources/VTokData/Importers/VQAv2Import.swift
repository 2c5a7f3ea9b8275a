import VTokEval
import VTokWeights

extension QuestionImport {
  /// VQA v2 (Goyal et al., CVPR 2017, arXiv 1612.00837): the file of questions, and that of annotations with ten people's answers;
  /// without the second one there are no answers. Pictures are named as in COCO.
  static let vqaV2 = QuestionImport(
    "vqav2", "v2_OpenEnded_mscoco_val2014_questions.json and v2_mscoco_val2014_annotations.json, in any order",
    files: 1...2
  ) { files, _ in
    let read = try files.map { ($0, try $0.json()) }
    guard let (file, json) = read.first(where: { $0.1["questions"] != nil }) else {
      throw files[0].wrong("JSON", "no list `questions`", "the file of questions")
    }
    var answers: [Int: JSON] = [:]
    if files.count == 2 {
      guard let (other, notes) = read.first(where: { $0.1["annotations"] != nil }) else {
        throw files[1].wrong("JSON", "no list `annotations`", "the file of annotations")
      }
      for note in try other.list(notes, "annotations") { if let id = note["question_id"]?.int { answers[id] = note } }
    }
    let part = json["data_subtype"]?.string ?? "val2014"
    return try file.list(json, "questions").map { question in
      let id = question["question_id"]?.int ?? -1
      let place = "question \(id)"
      let note = answers[id]
      guard answers.isEmpty || note != nil else {
        throw file.wrong(place, "no annotation of it", "the annotations of these questions")
      }
      let picture = try file.text(question, "image_id", place)
      let digits = String(repeating: "0", count: max(0, 12 - picture.count)) + picture
      return ImportedQuestion(
        place: place, images: ["COCO_\(part)_\(digits).jpg"], question: try file.text(question, "question", place),
        answers: note?["answers"]?.array?.compactMap { $0["answer"]?.string } ?? [], metric: .vqa,
        group: note?["answer_type"]?.string)
    }
  }
}
