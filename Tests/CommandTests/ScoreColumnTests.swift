import Foundation
import Testing
import VTok

/// Columns of a bench of questions that say how answers went: pairs, what is invented, what is hard, agreement.
@Suite struct ScoreColumnTests {
  func rows(_ text: String) throws -> [JSON] {
    try text.split(separator: "\n").map { try JSON(parsing: Array($0.utf8)) }
  }

  func bench(_ lines: [String], _ flags: [String], in folder: String) throws -> (rows: [JSON], answers: [JSON]) {
    let model = try TinyModel.make("llava15-tiny-d", in: folder)
    for name in ["cat.jpg", "ship.jpg"] {
      try FileManager.default.copyItem(atPath: "\(pictures)/\(name)", toPath: "\(folder)/\(name)")
    }
    try write(lines.joined(separator: "\n"), folder + "/q.jsonl")
    let done = try vtok(
      [
        "bench", "questions", "--model", model, "--data", folder + "/q.jsonl", "--format", "jsonl", "--max-tokens", "4",
        "--timing-samples", "0", "--seeds", "2", "--answers", folder + "/all.jsonl",
      ] + flags)
    #expect(done.status == 0, "\(done.error)")
    return (try rows(done.out), try rows(String(contentsOfFile: folder + "/all.jsonl", encoding: .utf8)))
  }

  /// What a row must say, from the answers that were kept.
  @Test func scoresFollowFromTheAnswers() throws {
    try inTemporaryFolder { folder in
      let truth = ["yes", "no", "no", "yes"]
      let lines = truth.enumerated().map { index, answer in
        #"{"image": "\#(index < 2 ? "cat" : "ship").jpg", "question": "Is it \#(index)?", "answers": ["\#(answer)"], "#
          + #""metric": "\#(index < 2 ? "mme" : "pope")", "group": "g"}"#
      }
      let (rows, answers) = try bench(lines, ["--method", "divprune", "--keep-tokens", "8"], in: folder)
      for row in rows where row["method"] != "random" {
        let own = answers.filter {
          $0["method"] == row["method"] && $0["budget"] == answers.first { $0["method"] == row["method"] }!["budget"]
        }
        let (said, scores) = (own.compactMap { $0["answer"]?.string }, own.compactMap { $0["score"]?.double })
        #expect(scores.count == 4)
        let mme = AnswerMetric.mme.saysYes!
        let pope = AnswerMetric.yesNo.saysYes!
        #expect(row.value(at: "hallucination.mme")?.double == (mme(said[1]) == true ? 1 : 0))
        #expect(row.value(at: "hallucination.yes-no")?.double == (pope(said[2]) == true ? 1 : 0))
        let isPair = scores[0] == 1 && scores[1] == 1
        #expect(row.value(at: "pairs.mme")?.double == (isPair ? 1 : 0))
        #expect(row["points"]?.double == 100 * ((scores[0] + scores[1]) / 2 + (isPair ? 1 : 0)))
      }
    }
  }

  /// Hard is what the smaller picture with the same budget answers wrongly.
  @Test func hardQuestionsAreThoseOfTheSmallerPicture() throws {
    try inTemporaryFolder { folder in
      let model = try Generator(model: TinyModel.make("llava15-tiny-d", in: folder))
      for name in ["cat.jpg", "ship.jpg"] {
        try FileManager.default.copyItem(atPath: "\(pictures)/\(name)", toPath: "\(folder)/\(name)")
      }
      func file(_ answers: [String]) throws -> QuestionFile {
        let lines = answers.enumerated().map { index, answer in
          JSON.object(
            JSONObject([
              ("image", JSON(index % 2 == 0 ? "cat.jpg" : "ship.jpg")), ("question", JSON("Number \(index)?")),
              ("answers", JSON(answer)), ("metric", "ocrbench"),
            ])
          ).text()
        }
        try write(lines.joined(separator: "\n"), folder + "/q.jsonl")
        return try QuestionFile(folder + "/q.jsonl")
      }
      func results(_ data: QuestionFile) throws -> BenchResults<QuestionTask> {
        let contenders = try ["random", "downsample"].map {
          Contender(try model.with(MethodSpec($0), keep: .tokens(4)), seeds: 2)
        }
        return try QuestionBench(
          QuestionTask(model, data: data, contenders: contenders, limit: 4, keepsAnswers: true), threads: 2
        ).run()
      }
      let first = try results(file(Array(repeating: "?", count: 6)))
      // Half of the questions get the smaller picture's own answer for the right one.
      let said = Dictionary(uniqueKeysWithValues: first.rows[2].records[0].map { ($0.line, $0.answer) })
      let answers = (1...6).map { $0 % 2 == 0 ? said[$0]! + " " : "never said" }
      let found = try results(file(answers.map { $0.trimmingCharacters(in: .whitespaces).isEmpty ? "never" : $0 }))
      let small = found.rows[2].records[0]
      for row in found.rows.dropFirst() {
        let hard = Set(small.filter { $0.score < 0.5 }.map(\.line))
        #expect(!hard.isEmpty)
        let mine = row.records.flatMap(\.self).filter { hard.contains($0.line) }.map(\.score)
        #expect(abs(row.mean(.hardScore) - mine.reduce(0, +) / Double(mine.count)) < 1e-12)
        #expect(abs(row.mean(.isHard) - Double(hard.count) / 6) < 1e-12)
      }
      #expect(found.rows[2].mean(.hardScore) < 0.5 && found.rows[0].mean(.hardScore).isNaN)
    }
  }

  /// Without answers a table tells the agreement with the dense model; so it does on request.
  @Test func labelFreeTables() throws {
    try inTemporaryFolder { folder in
      let bare = (0..<4).map { #"{"image": "\#($0 < 2 ? "cat" : "ship").jpg", "question": "What is \#($0)?"}"# }
      let (rows, answers) = try bench(bare, ["--method", "fastv:layer=1", "--keep-tokens", "2"], in: folder)
      #expect(rows[0]["score"]?.double == 1 && rows[0].value(at: "accuracy.agreement")?.double == 1)
      let dense = answers.prefix(4).compactMap { $0["answer"]?.string }
      let own = answers.filter { $0["method"] == "fastv:layer=1" }.compactMap { $0["answer"]?.string }
      let same = Double(zip(dense, own).count { $0 == $1 }) / 4
      #expect(rows[1]["score"]?.double == same && rows[1]["retention"]?.double == same)
      #expect(rows[1].value(at: "loyalty.answer_agreement")?.double == same)
      let labelled = bare.map { String($0.dropLast()) + #", "answers": ["no"], "metric": "exact"}"# }
      let other = folder + "/other"
      try FileManager.default.createDirectory(atPath: other, withIntermediateDirectories: true)
      let (again, _) = try bench(
        labelled, ["--method", "fastv:layer=1", "--keep-tokens", "2", "--label-free"], in: other)
      #expect(again[1]["score"] == rows[1]["score"] && again[0]["score"]?.double == 1)
    }
  }

  @Test func questionsWithChoicesMustFitThem() throws {
    try inTemporaryFolder { folder in
      try FileManager.default.copyItem(atPath: pictures + "/cat.jpg", toPath: folder + "/cat.jpg")
      for (line, says) in [
        (#""answers": ["C"], "choices": ["a", "b"], "metric": "multiple-choice""#, "answer 'C' among 2 choices"),
        (#""answers": ["A"], "metric": "multiple-choice""#, "no choices"),
        (#""answers": ["A"], "choices": ["a"], "metric": "mcq""#, "1 choices, expected 2 to 26"),
        (#""metric": "exact""#, "no answers"),
      ] {
        try write(#"{"image": "cat.jpg", "question": "x?", \#(line)}"#, folder + "/q.jsonl")
        let error = #expect(throws: DataError.self) { try QuestionFile(folder + "/q.jsonl") }
        #expect(error?.message.contains(says) == true, "\(String(describing: error))")
      }
      try write(
        #"{"image": "cat.jpg", "question": "x?", "answers": "b", "choices": ["a", "b"], "metric": "mcq"}"#,
        folder + "/q.jsonl")
      #expect(try QuestionFile(folder + "/q.jsonl").items[0].questions[0].choices == ["a", "b"])
    }
  }
}
