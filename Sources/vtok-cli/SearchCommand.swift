import ArgumentParser
import Foundation
import VTok

struct SearchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "search",
    abstract: "Find the methods, stages and budgets that keep most at a cost, on your own data.",
    discussion: """
      vtok search --data photos.txt --target-gmacs 3 -o found
      vtok search --model DIR --data questions.jsonl --target-tokens 64 --label-free -o found
      vtok prune photos/ --config found/job.yaml -o out

      Successive halving: all methods that take a budget, solved for the cost, run on a few pictures; the better half goes on to
      twice as many, also at lower costs, with cuts at other places and in pairs. The last ones run on pictures that no round
      has seen, beside the best single method of the same cost. Data as for 'vtok bench'; without labels the agreement with
      the dense model decides. Writes job.yaml for prune, generate and bench, search.json, front.svg and a page.
      """)

  @Option(
    help: ArgumentHelp(
      "Class folders, list file, CIFAR-10 .bin, a folder of images, or questions (.jsonl).", valueName: "PATH"),
    completion: .file())
  var data: String

  @Option(
    help: ArgumentHelp("Only the first N images, or questions.", valueName: "N"), transform: whole(2...1_000_000_000))
  var limit: Int?

  @Option(name: .shortAndLong, help: ArgumentHelp("Folder for what is found.", valueName: "DIR"))
  var output: String

  @Option(help: ArgumentHelp("md, csv, json or jsonl.", valueName: "FORMAT"))
  var format = Table.Format.md

  @Flag(help: "Replace what an earlier search left in the output folder.")
  var force = false

  @OptionGroup var reduction: ReductionOptions
  @OptionGroup var precision: PrecisionSweep

  @Option(
    help: ArgumentHelp("Pictures of the first round (default: 32).", valueName: "N"), transform: whole(1...1_000_000))
  var first = 32

  @Option(
    help: ArgumentHelp("Candidates that reach the end, of every cost (default: 4).", valueName: "N"),
    transform: whole(1...1000))
  var finalists = 4

  @Option(
    help: ArgumentHelp("Share of the pictures that only the last ones see (default: 0.5).", valueName: "R"),
    transform: number(above: 0, below: 1))
  var heldBack = 0.5

  @Option(
    help: ArgumentHelp(
      "Costs to try, as shares of the one asked for, 1 among them (default: 1,0.75,0.5).", valueName: "R[,R...]"))
  var levels: [String] = []

  @Flag(help: "Judge by the agreement with the dense model's answers; those of a question file are not looked at.")
  var labelFree = false

  @Option(
    help: ArgumentHelp("New tokens at most, of questions (default: 16).", valueName: "N"),
    transform: whole(1...1_000_000))
  var maxTokens: Int?

  @OptionGroup var language: LanguageFlags
  @OptionGroup var decoding: DecodeFlags
  @OptionGroup var running: RunOptions

  func run() throws {
    let target = try asked()
    try force ? OutputCheck.folder(output, "--output") : OutputCheck.emptyFolder(output, "--output")
    let methods = try reduction.methods.map { try MethodSpec($0) }
    for spec in methods where !spec.usesJobBudget {
      _ = try spec.make(budget: nil, read: OptionFile.read)
      throw UsageError(
        "--method '\(spec)'", found: "an amount of its own", expected: "a method whose budget is to be found",
        fix: "Remove the amount.")
    }
    let precisions = try precision.values()
    if QuestionFile.matches(data) {
      try searchQuestions(target, methods, precisions)
    } else {
      try searchImages(target, methods, precisions)
    }
  }

  private func asked() throws -> Target {
    guard let target = try reduction.target() else {
      let other = try reduction.amountFlag()
      throw UsageError(
        "search", found: other.map { "\($0)" } ?? "no cost", expected: "--target-gmacs, --target-ms or --target-tokens",
        fix: "What to keep is what the search finds.")
    }
    return target
  }

  private func searchImages(_ target: Target, _ methods: [MethodSpec], _ precisions: [Precision?]) throws {
    let given =
      [("--label-free", labelFree), ("--max-tokens", maxTokens != nil)]
      + language.given.map { ($0.flag, $0.value != nil) }
    if let flag = given.first(where: \.1)?.0 {
      throw UsageError(flag, found: "data '\(data)'", expected: "questions (.jsonl)", fix: "Remove the flag.")
    }
    let models = try precisions.map { try reduction.tower($0) }
    let images = try LabelledImages(data, classes: models[0].vision.labels, outside: [output])
    let search = try Search<ImageTask>(
      target, methods, settings(), models: models, data: images, decode: decoding.options())
    try finish(search, count: min(limit ?? .max, images.count), models[0].name, models[0].sha256)
  }

  private func searchQuestions(_ target: Target, _ methods: [MethodSpec], _ precisions: [Precision?]) throws {
    var questions = try QuestionFile(data, limit: limit)
    if labelFree { questions = questions.withoutAnswers() }
    guard !questions.hasVideos else {
      throw UsageError(
        "--data '\(data)'", found: "questions about videos",
        expected: "questions about pictures: costs are solved for one",
        fix: "Use 'vtok bench'.")
    }
    let models = try precisions.map {
      try Generator(
        reduction.checkpoint($0), method: nil, template: language.text(), companion: language.companion)
    }
    let search = try Search<QuestionTask>(
      target, methods, settings(), models: models, data: questions, limit: maxTokens ?? 16, decode: decoding.options())
    try finish(search, count: questions.items.count, models[0].name, models[0].sha256)
  }

  private func settings<Task: SearchableTask>() throws -> Search<Task>.Settings {
    var settings = Search<Task>.Settings()
    settings.first = first
    settings.finalists = finalists
    settings.heldBack = heldBack
    settings.seed = reduction.seed
    settings.threads = try running.threadCount()
    if !levels.isEmpty {
      settings.levels = try Set(
        levels.items.map { text in
          guard let level = Double(text), level > 0, level <= 1 else {
            throw UsageError(
              "--levels", found: "'\(text)'", expected: "a number above 0 and at most 1", fix: "For example 1,0.75.")
          }
          return level
        }
      ).union([1]).sorted(by: >)
    }
    return settings
  }

  private func finish<Task: SearchableTask>(_ search: Search<Task>, count: Int, _ model: String, _ sha256: String)
    throws
  {
    guard count >= 2 else {
      throw UsageError("--data '\(data)'", found: "one picture", expected: "at least two", fix: "Take more.")
    }
    let interruption = Interruption(patience: 2)
    let progress = Progress("search", quiet: running.quiet)
    let outcome = try search.run(
      count: count, progress: progress.update, say: { if !running.quiet { VTokCommand.say($0) } },
      isCancelled: { interruption.happened })
    progress.finish()
    guard let outcome, let chosen = outcome.chosen() else {
      VTokCommand.warn("interrupted; nothing was written")
      throw ExitCode(130)
    }
    let provenance = Provenance(
      model: model, modelSHA256: sha256, seed: reduction.seed, threads: search.settings.threads,
      more: [("precision", JSON(outcome.results.rows[0].entry.subject.precision.rawValue))],
      arguments: ["vtok"] + commandLineArguments())
    let table = outcome.table(provenance)
    try Folder.make(output)
    let remarks = outcome.sentences
    try BenchReport(outcome.results, provenance, remarks: remarks, plots: [outcome.plot]).write(to: output, gallery: 0)
    try WholeFile.write(outcome.plot.file(), to: output + "/front.svg")
    try WholeFile.write(outcome.json(provenance).text(pretty: true) + "\n", to: output + "/search.json")
    try WholeFile.write(job(chosen, outcome, sha256), to: output + "/job.yaml")
    print(table.text(format), terminator: "")
    if format == .md {
      for line in remarks { print("\n" + line, terminator: "") }
      print("\n\njob \(output)/job.yaml: \(chosen.candidate.spec), \(chosen.candidate.budget.label)")
      print("report \(output)/index.html")
    }
  }

  /// What was chosen, as flags that prune, generate and bench take.
  private func job<Task: SearchableTask>(
    _ chosen: SearchOutcome<Task>.Finalist, _ outcome: SearchOutcome<Task>, _ sha256: String
  ) throws -> String {
    let candidate = chosen.candidate
    let budget: (String, JSON) =
      switch candidate.budget {
      case .tokens(let tokens): ("keep-tokens", JSON(tokens))
      case .ratio(let ratio): ("keep-ratio", JSON(ratio))
      }
    let flags: [(String, JSON)] = [
      ("model", JSON(reduction.model)), ("mmproj", reduction.mmproj.map { JSON($0) } ?? .null),
      ("processor", reduction.preparation.processor.map { JSON($0) } ?? .null),
      ("method", JSON(candidate.spec.description)), budget,
      ("precision", JSON(candidate.subject.precision.rawValue)),
      ("template", try language.text().map { JSON($0) } ?? .null),
      ("companion", language.companion.map { JSON($0) } ?? .null),
    ]
    return JobFile.text(
      flags,
      run: [
        ("schema", "vtok-search/1"), ("vtok", JSON(vtokVersion)), ("model_sha256", JSON(sha256)), ("data", JSON(data)),
        ("solved-for", JSON(outcome.target.description)), ("reached", JSON(chosen.cost)),
        ("score", JSON(chosen.score)), ("dense_score", JSON(outcome.denseScore)), ("seed", JSON(Int(reduction.seed))),
      ])
  }
}
