import ArgumentParser
import Foundation
import VTok

struct BenchQuestions: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "questions",
    abstract:
      "Methods of a vision-language model on questions about images: cost, speed, and how right the answers are.",
    discussion: """
      vtok bench questions --model llava-1.5-7b-hf --data questions.jsonl --method divprune --method fastv \\
        --keep-tokens 192,64

      Data: an object a line, {"image": path from the file's folder, "question": text, "answers": [text], "metric": name},
      and perhaps "group" for a column of its own; for multiple choice also "choices": [text, ...]. In place of "image" there
      may be "video", a folder of numbered frames or a list of frames, with "fps" (2). 'vtok import' makes such
      files from published ones. Metrics: \(AnswerMetric.all.map(\.name).joined(separator: ", ")). Lines without answers and
      metric are scored by their agreement with the dense model. Rows for the dense model and random (--seeds of it) are
      always there, downsample where the model takes smaller images (Qwen-VL) or features can be averaged over areas (LLaVA).
      Times are those of a sample of questions. A speed-up below 0.9 of the multiply-adds' is marked !.
      """)

  @OptionGroup var bench: BenchFlags
  @OptionGroup var methods: MethodBenchFlags
  @OptionGroup var questions: QuestionFlags

  func run() throws {
    guard QuestionFile.matches(bench.data) else {
      throw UsageError(
        "--data '\(bench.data)'", found: "no question file", expected: "questions (.jsonl)",
        fix: "See 'vtok bench questions --help' for its lines.")
    }
    try bench.run(questions, methods)
  }
}

/// Flags that only a bench of questions has.
struct QuestionFlags: ParsableArguments {
  @Option(help: ArgumentHelp("New tokens at most (default: 16).", valueName: "N"), transform: whole(1...1_000_000))
  var maxTokens: Int?

  @Flag(help: "A subset: 100 pictures with all their questions, 4 timing samples.")
  var quick = false

  @Flag(help: "Leave out methods that the model cannot serve, and say why, instead of stopping.")
  var skipRefused = false

  @Flag(help: "Score by the agreement with the dense model's answers; those of the file are not looked at.")
  var labelFree = false

  @Option(help: ArgumentHelp("Write every answer, a JSON object a line.", valueName: "FILE"))
  var answers: String?

  @Option(
    help: ArgumentHelp(
      "A model trained to need fewer tokens (p-MoD, QueCC): a row beside --model's, once or more often.",
      valueName: "DIR"))
  var trained: [String] = []

  @OptionGroup var language: LanguageFlags
  @OptionGroup var kv: CacheFlag

  /// For data that is no question file.
  func refuse(with data: String) throws {
    let given =
      [
        ("--max-tokens", maxTokens != nil), ("--quick", quick), ("--skip-refused", skipRefused),
        ("--label-free", labelFree), ("--answers", answers != nil), ("--trained", !trained.isEmpty),
        ("--kv", kv.given != nil),
      ] + language.given.map { ($0.flag, $0.value != nil) }
    if let flag = given.first(where: \.1)?.0 {
      throw UsageError(flag, found: "data '\(data)'", expected: "questions (.jsonl)", fix: "Remove the flag.")
    }
  }

  mutating func validate() throws { trained = trained.fileItems }
}

extension BenchFlags {
  /// The table of a vision-language model.
  func run(_ flags: QuestionFlags, _ methods: MethodBenchFlags) throws {
    let threads = try running.threadCount()
    try checkOutputs([("--answers", flags.answers)])
    var data = try QuestionFile(self.data, limit: limit)
    if flags.quick { data = data.thinned(to: 100) }
    if flags.labelFree { data = data.withoutAnswers() }
    let reduction = methods.reduction
    let means = try methods.mean.means(beside: reduction.amountFlag())
    let precisions = try methods.precision.values()
    let checkpoint = try reduction.checkpoint(precisions[0])
    if data.hasVideos { try methods.refuseVideos(data, ModelOutline(checkpoint)) }
    let decode = try decoding.options()
    let pixels = try methods.pixels(flags, precisions, threads: threads, quiet: running.quiet)
    var model = try Generator(
      checkpoint, method: nil, template: flags.language.text(), companion: flags.language.companion)
    model.mostPixels = pixels
    model.kv = flags.kv.value
    let adaptive = means.map { MeanShares($0, of: data, decode: decode, threads: threads) }
    var methods = methods
    methods.reduction = methods.sweep(means)
    var remarks: [String] = []
    var contenders =
      try methods.contenders(model, checkpoint, data, flags, decode, adaptive, quiet: running.quiet, &remarks)
      + flags.contenders(beside: model)
    for precision in precisions.dropFirst() {
      let checkpoint = try reduction.checkpoint(precision)
      var other = try Generator(
        checkpoint, method: nil, template: flags.language.text(), companion: flags.language.companion)
      other.kv = flags.kv.value
      contenders.append(Contender(other))
      contenders += try methods.contenders(other, checkpoint, data, flags, decode, adaptive, quiet: true, &remarks)
    }
    let task = try QuestionTask(
      model, data: data, contenders: contenders, limit: flags.maxTokens ?? 16, decode: decode, seed: reduction.seed,
      keepsGoing: flags.skipRefused, keepsAnswers: flags.answers != nil)
    for remark in remarks where !running.quiet { VTokCommand.warn(remark) }
    let provenance = provenance(
      model: model.name, sha256: model.sha256, seed: reduction.seed, threads: threads,
      more: model.arithmetic)
    let results = try measure(
      QuestionBench(task, threads: threads), samples: methods.timingSamples ?? (flags.quick ? 4 : 16), limit: nil)
    if let path = flags.answers {
      try Folder.makeAbove(path)
      try WholeFile.write(results.answers, to: path)
    }
    try write(BenchReport(results, provenance, remarks: remarks))
    try end(results)
  }
}

extension MethodBenchFlags {
  /// The methods asked for and the rows that are always there, with all budgets.
  fileprivate func wantedAnswers() throws -> [ReductionOptions.Combination] {
    var wanted = reduction
    wanted.methods += Methods.baselines(beside: []).map(\.description).filter { !wanted.methods.contains($0) }
    return try wanted.combinations()
  }

  /// Refuses what videos have no part in, before weights are read.
  fileprivate func refuseVideos(_ data: QuestionFile, _ model: ModelOutline) throws {
    try QuestionTask.check(data, for: model)
    if memory.maxMemory != nil {
      throw UsageError(
        "--max-memory", found: "it beside questions about videos", expected: "questions about pictures",
        fix: "Remove it.")
    }
    guard try reduction.target() != nil else { return }
    throw UsageError(
      "target", found: "questions about videos", expected: "--keep-ratio or --keep-tokens",
      fix: "Use 'vtok flops' to find one.")
  }

  /// Pixels above which pictures are read smaller; nil: none are.
  fileprivate func pixels(
    _ flags: QuestionFlags, _ precisions: [Precision?], threads: Int, quiet: Bool
  ) throws -> Int? {
    try refuseMemory(precisions, trained: flags.trained)
    guard memory.maxMemory != nil else { return nil }
    let checkpoint = try reduction.checkpoint(precisions[0])
    return try memory.pixels(
      ModelOutline(checkpoint), MemoryEstimate.Weights(checkpoint), workers: threads,
      prompt: (256, flags.maxTokens ?? 16), kv: flags.kv.value, kept: QuestionTask.keptMegabytes << 20, quiet: quiet)
  }

  /// Budgets solved, methods made; what the model cannot serve stops the bench, or is left out with its reason: always a
  /// row that nobody asked for, others with `--skip-refused`.
  fileprivate func contenders(
    _ model: Generator, _ checkpoint: Checkpoint, _ data: QuestionFile, _ flags: QuestionFlags, _ decode: DecodeOptions,
    _ means: MeanShares?, quiet: Bool, _ remarks: inout [String]
  ) throws -> [Contender<Generator>] {
    var contenders: [Contender<Generator>] = []
    for combination in try wantedAnswers() {
      do {
        let solved = try reduction.solved([combination], quiet: quiet) { target, spec in
          let question = data.items[0].questions[0].text
          let picture = try Image.decode(contentsOf: data.items[0].paths[0], options: decode).image.size
          return try TargetSolver.solve(
            target, spec, of: ModelOutline(checkpoint),
            prompt: .init(picture: picture, text: max(1, question.utf8.count / 4), newTokens: 1))
        }[0]
        let budget = solved.ruled ? solved.budget : nil
        let subject = try model.with(solved.spec, keep: budget)
        if data.hasVideos { try MultimodalModel.refuseVideos(subject.composition) }
        contenders.append(Contender(subject, seeds: seeds))
        if let adaptive = try means?.contender(
          combination, seeds: seeds, make: { try model.with(combination.spec, keep: $0) })
        {
          contenders.append(adaptive)
        }
      } catch let error as CompressionError {
        let isAsked = reduction.methods.contains(combination.spec.description)
        guard !isAsked || flags.skipRefused else { throw error }
        let remark = "Left out: \(error)"
        if !remarks.contains(remark) { remarks.append(remark) }
      }
    }
    return contenders
  }
}

extension QuestionFlags {
  /// A row for each of the models that were trained to need fewer tokens, as they are.
  fileprivate func contenders(beside model: Generator) throws -> [Contender<Generator>] {
    var names: Set = [model.name]
    return try trained.map { path in
      var other = try Generator(
        LoadedModel.checkpoint(path, precision: model.precision), method: nil, template: language.text())
      other.kv = model.kv
      guard names.insert(other.name).inserted else {
        throw UsageError(
          "--trained '\(path)'", found: "a second model named '\(other.name)'",
          expected: "folders of different names: the table calls its rows by them", fix: "Rename the folder.")
      }
      return Contender(method: other.name, asked: .own, subject: other)
    }
  }
}

extension BenchResults where Task == QuestionTask {
  /// Every answer of every row, a JSON object a line, in the order of the table.
  fileprivate var answers: String {
    var text = ""
    for row in rows {
      for (seed, records) in zip(row.entry.seeds, row.records) {
        for record in records {
          let line: JSON = [
            "schema": "vtok-answer/1", "line": JSON(record.line), "method": JSON(row.entry.method),
            "budget": JSON(row.entry.asked.label), "seed": JSON(Int(seed)), "answer": JSON(record.answer),
            "score": JSON(record.score),
          ]
          text += line.text() + "\n"
        }
      }
    }
    return text
  }
}
