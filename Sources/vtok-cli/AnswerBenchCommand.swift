import ArgumentParser
import Foundation
import VTok

/// Flags of `vtok bench` that only questions have.
struct AnswerFlags: ParsableArguments {
  @Option(help: ArgumentHelp("New tokens at most (default: 16).", valueName: "N"), transform: whole(1...1_000_000))
  var maxTokens: Int?

  @Flag(help: "A subset: 100 pictures with all their questions, 4 timing samples.")
  var quick = false

  @Flag(help: "Leave out methods that the model cannot serve, and say why, instead of stopping.")
  var skipRefused = false

  @Option(help: ArgumentHelp("Write every answer, a JSON object a line.", valueName: "FILE"))
  var answers: String?

  @Option(
    help: ArgumentHelp(
      "A model trained to need fewer tokens (p-MoD, QueCC): a row beside --model's, once or more often.",
      valueName: "DIR"))
  var trained: [String] = []

  @OptionGroup var language: LanguageFlags

  /// For data that is no question file.
  func refuse(with data: String) throws {
    let given =
      [
        ("--max-tokens", maxTokens != nil), ("--quick", quick), ("--skip-refused", skipRefused),
        ("--answers", answers != nil), ("--trained", !trained.isEmpty),
      ] + language.given.map { ($0.flag, $0.value != nil) }
    if let flag = given.first(where: \.1)?.0 {
      throw UsageError(flag, found: "data '\(data)'", expected: "questions (.jsonl)", fix: "Remove the flag.")
    }
  }

  mutating func validate() throws { trained = trained.fileItems }
}

extension BenchCommand {
  /// The table of a vision-language model.
  func runAnswers(threads: Int) throws {
    if macRatio != nil {
      throw UsageError(
        "--mac-ratio", found: "questions", expected: "--keep-ratio, --keep-tokens or --target-gmacs", fix: "Use one.")
    }
    var data = try QuestionFile(self.data, limit: limit)
    if asking.quick { data = data.thinned(to: 100) }
    let combinations = try wantedAnswers()
    let checkpoint = try LoadedModel.checkpoint(reduction.model)
    let decode = try decoding.options()
    let model = try Generator(
      checkpoint, method: nil, template: asking.language.text(), companion: asking.language.companion)
    var remarks: [String] = []
    let contenders = try contenders(combinations, model, checkpoint, data, decode, &remarks) + trained(beside: model)
    let bench = try AnswerBench(
      model, data: data, contenders: contenders, limit: asking.maxTokens ?? 16, threads: threads, decode: decode,
      seed: reduction.seed, keepsGoing: asking.skipRefused)
    for remark in remarks where !running.quiet { VTokCommand.warn(remark) }

    let interruption = Interruption(patience: 2)
    let start = ContinuousClock().now
    let sample = try stage("bench: times") {
      try bench.sample(
        timingSamples ?? (asking.quick ? 4 : 16), progress: $0.update, isCancelled: { interruption.happened })
    }
    let results = try stage("bench: answers") {
      try bench.run(progress: $0.update, isCancelled: { interruption.happened })
    }
    let good = try good(results, interruption, failure: \.failure)
    let failed = bench.contenders.indices.map { index in
      good.lazy.flatMap { $0.outcomes[index] }.compactMap(\.failure).first
    }
    for failure in Set(failed.compactMap(\.self)).sorted() {
      remarks.append("Left out: \(failure)")
      if !running.quiet { VTokCommand.warn(remarks.last!) }
    }
    let rows = bench.contenders.indices.filter { failed[$0] == nil }.map {
      AnswerRow(good, sample, contender: $0, of: bench)
    }
    let seconds = start.duration(to: ContinuousClock().now) / .seconds(1)
    let sha256 = model.sha256
    var table = Table(AnswerRow.columns(data))
    for row in rows {
      let subject = row.contender.subject
      let run = about(subject.name == model.name ? sha256 : subject.sha256, threads: threads)
      table.add(row.cells, row.json(run: run, peakMemory: Bench.peakMemory))
    }
    let title =
      "model \(model.name) · \(rows[0].questions) questions about \(good.count) pictures · \(threads) "
      + "thread\(threads == 1 ? "" : "s") · \(fixed(seconds, 1)) s · peak \(fixed(Bench.peakMemory, 0)) MB"
    remarks.insert(
      timed(sample.prepare.count) { pictures in
        "the first question of \(pictures), each answered from prepared picture to last token with nothing shared, on one "
          + "thread; median. Reading and preparing a picture comes before: \(fixed(median(sample.prepare), 2)) ms. Answers "
          + "and counts are of all questions."
      }, at: 0)
    if let path = asking.answers {
      try Folder.makeAbove(path)
      try WholeFile.write(lines(good, bench, failed), to: path)
    }
    try write(table, title, remarks: "\n" + remarks.map { $0 + "\n" }.joined()) { folder in
      let step = max(1, good.count / max(1, gallery))
      let shown = stride(from: 0, to: good.count, by: step).prefix(max(0, gallery))
      let page = AnswerReport(
        title: title, table: table, rows: rows, bench: bench, remarks: remarks, scenes: shown.map { good[$0].index })
      try WholeFile.write(page.html(), to: folder + "/index.html")
      return "index.html"
    }
    try end(results.compactMap(\.failure))
  }

  /// The methods asked for and the rows that are always there, with all budgets.
  private func wantedAnswers() throws -> [ReductionOptions.Combination] {
    var wanted = reduction
    wanted.methods += Self.baselines.filter { !wanted.methods.contains($0) }
    return try wanted.combinations()
  }

  /// Budgets solved, methods made; what the model cannot serve stops the bench, or is left out with its reason: always a
  /// row that nobody asked for, others with `--skip-refused`.
  private func contenders(
    _ combinations: [ReductionOptions.Combination], _ model: Generator, _ checkpoint: Checkpoint,
    _ data: QuestionFile, _ decode: DecodeOptions, _ remarks: inout [String]
  ) throws -> [AnswerBench.Contender] {
    var contenders: [AnswerBench.Contender] = []
    for combination in combinations {
      do {
        let solved = try reduction.solved([combination], quiet: running.quiet) { target, spec in
          let question = data.scenes[0].questions[0].text
          let picture = try Image.decode(contentsOf: data.scenes[0].paths[0], options: decode).image.size
          return try TargetSolver.solve(
            target, spec, of: ModelOutline(checkpoint),
            prompt: .init(picture: picture, text: max(1, question.utf8.count / 4), newTokens: 1), read: OptionFiles.read
          )
        }[0]
        let budget = solved.ruled ? solved.budget : nil
        contenders.append(
          AnswerBench.Contender(
            method: solved.spec.description, asked: budget.map { .budget($0) } ?? .own,
            subject: try model.with(solved.spec, keep: budget, read: OptionFiles.read),
            seeds: seeds(of: solved.spec)))
      } catch let error as CompressionError {
        let isAsked = reduction.methods.contains(combination.spec.description)
        guard !isAsked || asking.skipRefused else { throw error }
        let remark = "Left out: \(error)"
        if !remarks.contains(remark) { remarks.append(remark) }
      }
    }
    return contenders
  }

  /// A row for each of the models that were trained to need fewer tokens, as they are.
  private func trained(beside model: Generator) throws -> [AnswerBench.Contender] {
    var names: Set = [model.name]
    return try asking.trained.map { path in
      let other = try Generator(LoadedModel.checkpoint(path), method: nil, template: asking.language.text())
      guard names.insert(other.name).inserted else {
        throw UsageError(
          "--trained '\(path)'", found: "a second model named '\(other.name)'",
          expected: "folders of different names: the table calls its rows by them", fix: "Rename the folder.")
      }
      return AnswerBench.Contender(method: other.name, asked: .own, subject: other)
    }
  }

  /// Every answer of every row, in the order of the table.
  private func lines(_ results: [AnswerBench.SceneResult], _ bench: AnswerBench, _ failed: [String?]) -> String {
    var text = ""
    for (index, contender) in bench.contenders.enumerated() where failed[index] == nil {
      for (place, seed) in contender.seeds.enumerated() {
        for result in results {
          let outcome = result.outcomes[index][place]
          for (question, (answer, score)) in zip(
            bench.data.scenes[result.index].questions, zip(outcome.answers, outcome.scores))
          {
            let line: JSON = [
              "schema": "vtok-answer/1", "line": JSON(question.line), "method": JSON(contender.method),
              "budget": JSON(contender.asked.label), "seed": JSON(Int(seed)), "answer": JSON(answer),
              "score": JSON(score),
            ]
            text += line.text() + "\n"
          }
        }
      }
    }
    return text
  }
}
