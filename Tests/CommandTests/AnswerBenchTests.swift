import Foundation
import Testing
import VTok

/// `vtok bench` with a question file.
@Suite struct AnswerBenchTests {
  /// Six questions about three pictures, one of them of two pictures.
  static func questions(in folder: String) throws -> String {
    let rows: [(image: String, question: String, answers: String, metric: String)] = [
      (#""cat.jpg""#, "What is it?", #"["cat"]"#, "exact"),
      (#""ship.jpg""#, "Is there a ship?", #"["yes"]"#, "yes-no"),
      (#""cat.jpg""#, "Is there a dog, then?", #""no""#, "pope"),
      (#""cat.jpg""#, "How many?", #"["1","1","2","one","1","1","2","1","1","1"]"#, "vqa"),
      (#"["cat.jpg", "ship.jpg"]"#, "Which one?", #"["the second"]"#, "anls"),
      (#""ship.jpg""#, "Hm?", #"["ship", "boat"]"#, "exact_match"),
    ]
    for name in ["cat.jpg", "ship.jpg"] {
      try FileManager.default.copyItem(atPath: "\(pictures)/\(name)", toPath: "\(folder)/\(name)")
    }
    let path = folder + "/questions.jsonl"
    try write(
      rows.map { row in
        #"{"image": \#(row.image), "question": "\#(row.question)", "answers": \#(row.answers), "#
          + #""metric": "\#(row.metric)", "group": "\#(row.question.count > 10 ? "long" : "short")"}"# + "\n"
      }.joined(), path)
    return path
  }

  func rows(_ text: String) throws -> [JSON] {
    try text.split(separator: "\n").map { try JSON(parsing: Array($0.utf8)) }
  }

  @Test func rowsSayWhatTheyMeasured() throws {
    try inTemporaryFolder { folder in
      let (data, model) = (try Self.questions(in: folder), try TinyModel.make("llava15-tiny-d", in: folder))
      let done = try vtok(
        "bench", "--model", model, "--data", data, "--method", "divprune", "--method", "fastv:layer=1", "--keep-ratio",
        "0.5,0.25", "--format", "jsonl", "--max-tokens", "4", "--timing-samples", "2", "--answers",
        folder + "/all.jsonl")
      #expect(done.status == 0, "\(done.error)")
      let rows = try rows(done.out)
      #expect(
        rows.map { $0["method"]?.string } == [
          "dense", "divprune", "divprune", "fastv:layer=1", "fastv:layer=1", "random", "random", "downsample",
          "downsample",
        ])
      for row in rows {
        #expect(row["schema"] == "vtok-bench-questions/1" && row["images"] == 3 && row["questions"] == 6)
        #expect(
          row["accuracy"]?.object?.map(\.key) == ["exact", "vqa", "anls", "yes-no"]
            && row.value(at: "f1.yes-no") != nil)
        #expect(row["groups"]?.object?.map(\.key) == ["long", "short"])
        let parts = try ["tower", "connector", "prefill"].reduce(0) { $0 + (try row.double("gmacs.\($1)")) }
        #expect(try abs(parts - row.double("gmacs.reduced")) < 1e-5)
        #expect(row.value(at: "tokens.per_layer")?.array?.count == 4)
        #expect(try row.value(at: "ms.samples") == 2 && row.double("ms.first_token.cpu_median") > 0)
        #expect(try row.double("ttft_ms") > 0 && row.double("kv_mb.prefill") <= row.double("kv_mb.dense_prefill"))
      }
      #expect(rows[0].value(at: "budget.kind") == "dense" && rows[0].value(at: "loyalty.answer_agreement")?.double == 1)
      #expect(rows[5].value(at: "score.n")?.int == 5)
      // Cut before the language model, and behind its first layer. One of six questions is about two pictures.
      let visual = try rows[0].double("tokens.in")
      #expect(abs(visual - 64 * 7 / 6.0) < 1e-5)
      #expect(try abs(rows[2].double("tokens.packed") - visual / 4) < 1e-5)
      #expect(try abs(rows[4].double("tokens.packed") - visual) < 1e-5)
      #expect(try abs(rows[4].double("tokens.out") - visual / 4) < 1e-5)
      let answers = try self.rows(String(contentsOfFile: folder + "/all.jsonl", encoding: .utf8))
      #expect(answers.count == (1 + 4 + 2 * 5 + 2) * 6 && answers.allSatisfy { $0["schema"] == "vtok-answer/1" })
    }
  }

  /// What is shared changes no answer and no count: they are those of a generator that answers one question at a time.
  @Test func answersAreThoseOfEveryQuestionAlone() throws {
    try inTemporaryFolder { folder in
      let data = try QuestionFile(Self.questions(in: folder))
      try expectAnswersOfEveryQuestionAlone(
        Generator(model: TinyModel.make("llava15-tiny-d", in: folder)), data,
        [
          "tome:keep=0.5", "random:keep=0.3", "downsample:keep=0.5", "visionzip:keep=0.4+fastv:layer=1,keep=0.5",
          "hired:keep=0.4", "sparsevlm:layers=1/2,counts=9/5", "elastic-cache:keep=0.5",
          "dart:stage=embeddings,keep=0.5",
        ])
      // Images at their own size: smaller ones have rows of the tower of their own.
      try expectAnswersOfEveryQuestionAlone(
        Generator(model: repository + "/Benchmarks/models/vqa-pages"), data,
        ["downsample:keep=0.25", "divprune:keep=0.5", "downsample:keep=0.5+fastv:layer=1,keep=0.5", "pixelprune"])
    }
  }

  private func expectAnswersOfEveryQuestionAlone(_ model: Generator, _ data: QuestionFile, _ specs: [String]) throws {
    let contenders = try specs.map { spec in
      Contender(
        method: spec, asked: .own, subject: try model.with(MethodSpec(spec)),
        seeds: spec.hasPrefix("random") ? [0, 7] : [0])
    }
    let task = try QuestionTask(
      model, data: data, contenders: contenders, limit: 5, seed: 3, keepsAnswers: true)
    let results = try QuestionBench(task, threads: 2).run()
    #expect(results.items == [0, 1, 2])
    for row in results.rows {
      for (turn, own) in row.entry.seeds.enumerated() {
        var alone: [Generator.Answer] = []
        for shown in data.items {
          let images = try shown.paths.map { try Image.decode(contentsOf: $0).image }
          let seed = mixedSeed(3 &+ own, shown.names.joined())
          alone += try shown.questions.map { try row.entry.subject($0.text, about: images, limit: 5, seed: seed) }
        }
        #expect(row.records[turn].map(\.answer) == alone.map(\.text), "\(row.entry.method)")
        let parts: [Figure<QuestionTask.Run>] = [.towerGmacs, .connectorGmacs, .prefillGmacs]
        let gmacs = parts.reduce(0) { $0 + row.sums($1)[turn] }
        #expect(abs(gmacs - alone.reduce(0) { $0 + $1.table.cost.gmacs }) < 1e-9, "\(row.entry.method)")
        #expect(row.sums(.tokensOut)[turn] == Double(alone.reduce(0) { $0 + $1.table.tokensOut }))
      }
    }
  }

  /// Another checkpoint beside the model: its own tower and words, the model's questions and dense row.
  @Test func trainedModelsHaveARow() throws {
    try inTemporaryFolder { folder in
      let data = try Self.questions(in: folder)
      let (model, next) = (
        try TinyModel.make("llava15-tiny-d", in: folder), try TinyModel.make("llavanext-tiny-d", in: folder)
      )
      let copy = folder + "/copy"
      try FileManager.default.copyItem(atPath: model, toPath: copy)
      let base = [
        "bench", "--model", model, "--data", data, "--method", "divprune", "--keep-ratio", "0.5", "--max-tokens", "3",
        "--format", "jsonl",
      ]
      let done = try vtok(
        base + [
          "--trained", copy, "--trained", next, "--answers", folder + "/all.jsonl", "--report", folder + "/report",
        ])
      #expect(done.status == 0, "\(done.error)")
      let rows = try rows(done.out)
      #expect(rows.suffix(2).map { $0["method"]?.string } == ["copy", "llavanext-tiny-d"])
      let twin = rows[rows.count - 2]
      #expect(twin.value(at: "loyalty.answer_agreement")?.double == 1 && twin["gmacs"] == rows[0]["gmacs"])
      #expect(twin.value(at: "run.model_sha256") == rows[0].value(at: "run.model_sha256"))
      #expect(
        rows.last!.value(at: "tokens.in") == rows[0].value(at: "tokens.in"), "tokens of the model it stands beside")
      #expect(rows.last!.value(at: "run.model_sha256") != rows[0].value(at: "run.model_sha256"))
      // What it says is what it says alone.
      let questions = try QuestionFile(data)
      let said = try self.rows(String(contentsOfFile: folder + "/all.jsonl", encoding: .utf8))
        .filter { $0["method"] == "llavanext-tiny-d" }
      let alone = try Generator(model: next)
      for shown in questions.items {
        let images = try shown.paths.map { try Image.decode(contentsOf: $0).image }
        for question in shown.questions {
          let answer = try alone(question.text, about: images, limit: 3).text
          #expect(said.first { $0["line"]?.int == question.line }?["answer"]?.string == answer)
        }
      }
      let again = try vtok(base + ["--trained", model])
      #expect(again.status == 2 && again.error.contains("a second model named 'llava15-tiny-d'"), "\(again.error)")
    }
  }

  @Test func theReportIsOnePage() throws {
    try inTemporaryFolder { folder in
      let (data, model) = (try Self.questions(in: folder), try TinyModel.make("llava15-tiny-d", in: folder))
      let done = try vtok(
        "bench", "--model", model, "--data", data, "--method", "hired", "--report", folder + "/report", "--max-tokens",
        "3", "--quick", "--gallery", "2")
      #expect(done.status == 0 && done.out.contains("Times: the first question of 3 pictures"), "\(done.error)")
      let page = try String(contentsOfFile: folder + "/report/index.html", encoding: .utf8)
      #expect(page.components(separatedBy: "<svg").count - 1 == 4 && !page.contains("://"))
      #expect(page.components(separatedBy: "<figure>").count - 1 == 2 * 4, "dense and three methods about two pictures")
      #expect(!page.contains(">NaN") && !page.contains("\"NaN") && page.contains("What is it?"))
      let rows = try JSON(parsing: [UInt8](Data(contentsOf: URL(fileURLWithPath: folder + "/report/rows.json"))))
      #expect(rows.array?.count == 4)
    }
  }

  @Test func whatTheModelCannotServeIsLeftOutOnlyIfAsked() throws {
    try inTemporaryFolder { folder in
      let (data, model) = (try Self.questions(in: folder), try TinyModel.make("qwen2vl-tiny-a", in: folder))
      try write(
        #"{"image_processor_type": "Qwen2VLImageProcessor", "min_pixels": 3136, "max_pixels": 12544}"#,
        model + "/preprocessor_config.json")
      let base = [
        "bench", "--model", model, "--data", data, "--limit", "2", "--timing-samples", "0", "--max-tokens", "2",
        "--method", "divprune", "--method", "hired",
      ]
      let refused = try vtok(base)
      #expect(refused.status == 2 && refused.error.contains("hired") && refused.out.isEmpty)
      let done = try vtok(base + ["--skip-refused"])
      #expect(done.status == 0 && done.out.contains("Left out: hired"), "\(done.error)")
      #expect(!done.out.contains("Left out: downsample") && done.out.contains("Nothing was timed."))
      #expect(done.out.contains("| divprune") && done.out.contains("| random x5") && done.out.contains("| downsample"))
    }
  }

  /// What is wrong with a line, and what the one line on stderr must say.
  static let broken: [(line: String, says: String)] = [
    ("nonsense", "no JSON object"), (#"{"question": "?", "answers": ["a"], "metric": "exact"}"#, "no image"),
    (#"{"image": "cat.jpg", "answers": ["a"], "metric": "exact"}"#, "no question"),
    (#"{"image": "cat.jpg", "question": " ", "answers": ["a"], "metric": "exact"}"#, "no question"),
    (#"{"image": "cat.jpg", "question": "?", "answers": [], "metric": "exact"}"#, "answers"),
    (#"{"image": "cat.jpg", "question": "?", "answers": ["a"], "metric": "bleu"}"#, "one of exact, vqa, anls, yes-no"),
    (#"{"image": "cat.jpg", "question": "?", "answers": ["a"], "metric": "vqa"}"#, "ten people"),
    (#"{"image": "dog.jpg", "question": "?", "answers": ["a"], "metric": "exact"}"#, "dog.jpg"),
    (#"{"image": "cat.jpg", "question": "<image>?", "answers": ["a"], "metric": "exact"}"#, "the template places"),
  ]

  @Test(arguments: broken.indices) func wrongLinesAreNamedBeforeAnyWork(_ index: Int) throws {
    try inTemporaryFolder { folder in
      let (data, model) = (try Self.questions(in: folder), try TinyModel.make("llava15-tiny-d", in: folder))
      let text = try String(contentsOfFile: data, encoding: .utf8)
      try write(text + Self.broken[index].line + "\n", data)
      let done = try vtok("bench", "--model", model, "--data", data)
      #expect(done.status == 2 && done.error.contains(Self.broken[index].says), "\(done.error)")
      #expect(done.error.contains("line 7") && done.error.split(separator: "\n").count == 1 && done.out.isEmpty)
    }
  }

  /// A budget that a prompt of this length cannot reach shows only while it runs: the row goes, or the bench ends.
  @Test func whatFailsOnTheWayIsARowLess() throws {
    try inTemporaryFolder { folder in
      let (data, model) = (try Self.questions(in: folder), try TinyModel.make("llava15-tiny-d", in: folder))
      let base = [
        "bench", "--model", model, "--data", data, "--method", "divprune+elastic-cache", "--keep-ratio", "0.01,0.5",
        "--max-tokens", "2", "--format", "jsonl",
      ]
      let ended = try vtok(base)
      #expect(ended.status == 2 && ended.out.isEmpty && ended.error.contains("elastic-cache"), "\(ended.error)")
      let done = try vtok(base + ["--skip-refused"])
      #expect(done.status == 0 && done.error.contains("Left out: "), "\(done.error)")
      let budgets = try rows(done.out).filter { $0["method"] == "divprune+elastic-cache" }
      #expect(budgets.count == 1 && budgets[0].value(at: "budget.asked") == 0.5)
      let pictures = try vtok("bench", "--model", model, "--data", folder)
      #expect(pictures.status == 2 && pictures.error.contains("question file"))
    }
  }

  @Test func badPicturesAreCounted() throws {
    try inTemporaryFolder { folder in
      let (data, model) = (try Self.questions(in: folder), try TinyModel.make("llava15-tiny-d", in: folder))
      try FileManager.default.copyItem(atPath: malformed + "/png-trunc-idat.png", toPath: folder + "/cut.png")
      let line = #"{"image": "cut.png", "question": "?", "answers": ["a"], "metric": "exact"}"#
      try write(try String(contentsOfFile: data, encoding: .utf8) + line + "\n", data)
      let done = try vtok("bench", "--model", model, "--data", data, "--format", "jsonl", "--max-tokens", "2")
      #expect(done.status == 3 && done.error.contains("cut.png"), "\(done.status) \(done.error)")
      #expect(try rows(done.out)[0]["questions"] == 6)
    }
  }
}
