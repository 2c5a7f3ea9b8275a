import ArgumentParser
import Foundation
import VTok

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "What methods cost and what they lose, on the same images, beside the rows they must beat.",
    discussion: """
      vtok bench --model DIR --data photos.txt --method tome --method divprune --mac-ratio 0.75,0.5 --report out/
      vtok bench --data test.bin --keep-ratio 0.5,0.25 --format json
      vtok bench --data photos/ --tokenizers klt,path/to/One-D-Piece-S-256 --report out/

      Data: class folders, a list file (path, tab, label), CIFAR-10 .bin files, or pictures without labels (then only
      the agreement with the dense model is told). Rows for the dense model, random (--seeds of it) and downsample are
      always there; random cuts where the methods do, inside the tower or behind it (random:at=features), or both. Without
      --method there is also a row for tome. Work that cannot differ between methods is done once; times are those of
      whole images on one thread,
      from a sample with nothing shared (--timing-samples). A speed-up below 0.9 of the multiply-adds' is marked !.

      vtok bench --model llava-1.5-7b-hf --data questions.jsonl --method divprune --method fastv --keep-tokens 192,64

      With a vision-language model the data are questions, an object a line: {"image": path from the file's folder,
      "question": text, "answers": [text], "metric": exact, vqa, anls or yes-no}, and perhaps "group" for a column of
      its own. Times are those of a sample of questions.
      """)

  @Option(
    help: ArgumentHelp(
      "Class folders, list file, CIFAR-10 .bin, a folder of pictures, or questions (.jsonl).", valueName: "PATH"))
  var data: String

  @OptionGroup var reduction: ReductionOptions

  @Option(
    name: .customLong("mac-ratio"),
    help: ArgumentHelp("Share of the dense model's multiply-adds to spend, in (0, 1].", valueName: "R[,R...]"))
  var macRatios: [String] = []
  var macRatio: [String]? { macRatios.isEmpty ? nil : macRatios.items }

  @Option(
    help: ArgumentHelp("Runs of random, each with other tokens; its row is their mean (default: 5).", valueName: "N"),
    transform: whole(1...1000))
  var seeds = 5

  @Flag(help: "Each run of random sees a part of the pictures instead of all: its mean costs one run.")
  var splitSeeds = false

  @Option(
    help: ArgumentHelp("Only the first N images, or questions.", valueName: "N"), transform: whole(1...1_000_000_000))
  var limit: Int?

  @Option(
    help: ArgumentHelp(
      "Pictures that are timed, nothing shared (default: 100; the first questions of 16).", valueName: "N"),
    transform: whole(0...1_000_000))
  var timingSamples: Int?

  @Option(help: ArgumentHelp("Write one HTML page with table, plots and token maps into DIR.", valueName: "DIR"))
  var report: String?

  @Option(
    help: ArgumentHelp("Pictures whose token maps the page shows; 0 leaves them out (default: 5).", valueName: "N"),
    transform: whole(0...1000))
  var gallery = 5

  @Option(help: ArgumentHelp("md, csv, json or jsonl.", valueName: "FORMAT"))
  var format = Table.Format.md

  @Option(name: .shortAndLong, help: ArgumentHelp("Write the table there instead of to stdout.", valueName: "FILE"))
  var output: String?

  @OptionGroup(title: "Tokenizers") var tokenizing: TokenizerBenchOptions
  @OptionGroup(title: "Questions") var asking: AnswerFlags
  @OptionGroup var decoding: DecodeFlags
  @OptionGroup var running: RunOptions

  static let baselines = ["random", "downsample"]

  /// The rows that are always there beside methods of a tower: chance cuts in the places where they do, so that equal tokens
  /// cost the same.
  private func baselines(beside methods: [String], on shape: Shape) throws -> [String] {
    let asked = try methods.map {
      try Methods.compose(MethodSpec($0), budget: .ratio(0.5), for: shape, read: OptionFiles.read)
    }
    let isBehind = asked.contains { !$0.actsInTower && $0.patches == nil }
    let isInside = !isBehind || asked.contains(where: \.actsInTower)
    let rows = (isInside ? ["random"] : []) + (isBehind ? ["random:at=features"] : []) + ["downsample"]
    return rows.filter { !methods.contains($0) }
  }

  func run() throws {
    let threads = try running.threadCount()
    try checkOutputs()
    if let names = tokenizing.tokenizers { return try bench(tokenizers: names, threads: threads) }
    try tokenizing.refuseAlone()
    if QuestionFile.matches(data) {
      guard !splitSeeds else {
        throw UsageError("--split-seeds", found: "questions", expected: "pictures", fix: "Remove the flag.")
      }
      return try runAnswers(threads: threads)
    }
    try asking.refuse(with: data)
    var wanted = reduction
    wanted.methods = (reduction.methods.isEmpty ? ["tome"] : reduction.methods)
    let shares = try macShares(excluding: wanted)
    wanted.methods += Self.baselines.filter { !wanted.methods.contains($0) }
    _ = try wanted.combinations(solves: shares != nil)
    guard try !MultimodalModel.matches(LoadedModel.checkpoint(reduction.model).config) else {
      throw UsageError(
        "--data '\(data)'", found: "no questions for a vision-language model", expected: "a question file (.jsonl)",
        fix: "See 'vtok bench --help' for its lines.")
    }
    let model = try LoadedModel.load(reduction.model)
    wanted.methods.removeLast(wanted.methods.count - max(1, reduction.methods.count))
    wanted.methods += try baselines(beside: wanted.methods, on: model.vision.shape)
    let combinations = try wanted.combinations(solves: shares != nil)
    let images = try LabelledImages(data, classes: model.vision.labels, outside: outputs)
    let contenders = try contenders(combinations, shares, model)
    let bench = try Bench(
      model, data: images, contenders: contenders, threads: threads, decode: decoding.options(), seed: reduction.seed,
      splitsSeeds: splitSeeds)

    let interruption = Interruption(patience: 2)
    let start = ContinuousClock().now
    let sample = try stage("bench: times") {
      try bench.sample(
        timingSamples ?? 100, limit: limit, progress: $0.update, isCancelled: { interruption.happened })
    }
    let results = try stage("bench") {
      try bench.run(limit: limit, sample: sample, progress: $0.update, isCancelled: { interruption.happened })
    }
    let good = try good(results, interruption, failure: \.failure)
    let rows = bench.contenders.indices.map { BenchRow(good, sample, contender: $0, of: bench) }
    let seconds = start.duration(to: ContinuousClock().now) / .seconds(1)
    let about = about(model.sha256, threads: threads)
    var table = Table(BenchRow.columns)
    for row in rows { table.add(row.cells, row.json(model: model, run: about, peakMemory: Bench.peakMemory)) }
    let title =
      "model \(model.name) · \(good.count) images · \(threads) thread\(threads == 1 ? "" : "s") · "
      + "\(fixed(seconds, 1)) s · peak \(fixed(Bench.peakMemory, 0)) MB"
    let remark = timed(sample.decode.count) { images in
      "\(images), whole and with nothing shared, on one thread; median. Reading an image (\(fixed(rows[0].decode, 2)) ms) "
        + "and preparing it (\(fixed(rows[0].preprocess, 2)) ms) come before. Everything else is of all images."
        + (splitSeeds && seeds > 1
          ? " Random's \(seeds) runs see a part of them each; the range is that of their retention, times the dense accuracy."
          : "")
    }
    try write(table, title, remarks: "\n" + remark + "\n") { folder in
      let shown = stride(from: 0, to: good.count, by: max(1, good.count / max(1, gallery))).prefix(max(0, gallery))
      let page = BenchReport(
        title: title, table: table, rows: rows, bench: bench, remark: remark, images: shown.map { good[$0].index })
      try WholeFile.write(page.html(), to: folder + "/index.html")
      return "index.html"
    }
    try end(results.compactMap(\.failure))
  }

  /// What this command writes.
  var outputs: [String] { [report, output, asking.answers].compactMap(\.self) }

  private func checkOutputs() throws {
    if let report { try OutputCheck.folder(report, "--report") }
    if let output { try OutputCheck.file(output, "--output") }
    if let answers = asking.answers { try OutputCheck.file(answers, "--answers") }
  }

  /// A part of the work with a progress bar of its own.
  func stage<Result>(_ label: String, _ body: (Progress) throws -> Result) rethrows -> Result {
    let progress = Progress(label, quiet: running.quiet)
    defer { progress.finish() }
    return try body(progress)
  }

  /// How the times of a table were taken.
  func timed(_ count: Int, _ how: (String) -> String) -> String {
    count == 0 ? "Nothing was timed." : "Times: " + how("\(count) picture\(count == 1 ? "" : "s")")
  }

  /// Names what could not be read.
  func end(_ failures: [String]) throws {
    if failures.isEmpty { return }
    if !running.quiet { VTokCommand.warn(failures: failures, rest: "left out too") }
    throw ExitCode(3)
  }

  /// What has no failure, at least one; an interrupted run writes nothing.
  func good<Result>(_ results: [Result], _ interruption: Interruption, failure: (Result) -> String?) throws -> [Result]
  {
    if interruption.happened {
      VTokCommand.warn("interrupted after \(results.count) pictures; nothing was written")
      throw ExitCode(130)
    }
    let good = results.filter { failure($0) == nil }
    guard !good.isEmpty else {
      throw UsageError(
        "data '\(data)'",
        found: "no picture that can be read" + (results.first.flatMap(failure).map { ": \($0)" } ?? ""),
        expected: "pictures", fix: "Check them.")
    }
    return good
  }

  /// The table, and the page with the rows beside it where one is asked for.
  /// - Parameter page: writes what else the report has into its folder, and names the file to open.
  func write(_ table: Table, _ title: String, remarks: String = "", page: (String) throws -> String) throws {
    let text = (format == .md ? title + "\n\n" : "") + table.text(format) + (format == .md ? remarks : "")
    if let output {
      try Folder.makeAbove(output)
      try WholeFile.write(text, to: output)
    } else {
      print(text, terminator: "")
    }
    guard let report else { return }
    try Folder.make(report)
    let name = try page(report)
    try WholeFile.write(table.text(.json), to: report + "/rows.json")
    try WholeFile.write(title + "\n\n" + table.text(.md) + remarks, to: report + "/table.md")
    if format == .md, output == nil { print("report \(report)/\(name)") }
  }

  /// What every row says about its run.
  func about(_ sha256: String, threads: Int) -> JSON {
    [
      "model_sha256": JSON(sha256), "seed": JSON(Int(truncatingIfNeeded: reduction.seed)),
      "threads": JSON(threads), "cpu": JSON(cpuLevel), "blas": JSON(Machine.blas), "vtok": JSON(vtokVersion),
    ]
  }

  func seeds(of spec: MethodSpec) -> [UInt64] {
    spec.description.hasPrefix("random") ? Array(0..<UInt64(seeds)) : [0]
  }

  private func macShares(excluding wanted: ReductionOptions) throws -> [Double]? {
    guard let macRatio else { return nil }
    if let other = [
      ("--keep-ratio", wanted.keepRatio != nil), ("--keep-tokens", wanted.keepTokens != nil),
      ("--target-gmacs", wanted.targetGmacs != nil), ("--target-tokens", wanted.targetTokens != nil),
      ("--target-ms", wanted.targetMs != nil),
    ].first(where: \.1) {
      throw UsageError("--mac-ratio and \(other.0)", found: "both", expected: "one of them", fix: "Remove one.")
    }
    return try macRatio.map { text in
      guard let share = Double(text), share > 0, share <= 1 else {
        throw UsageError(
          "--mac-ratio", found: "'\(text)'", expected: "a number above 0 and at most 1", fix: "For example 0.75,0.5.")
      }
      return share
    }
  }

  /// Shares of the dense cost become budgets here, method by method. One that acts after the tower saves nothing inside
  /// it, so it keeps that share of its tokens instead, and its row says what it costs.
  private func contenders(_ combinations: [ReductionOptions.Combination], _ shares: [Double]?, _ model: LoadedModel)
    throws -> [Bench.Contender]
  {
    let shape = model.vision.shape
    let dense = Cost(denseWith: model.vision.tower.shape.patches, shape: shape).gmacs
    func contender(_ spec: MethodSpec, _ budget: Budget?, _ asked: Asked) throws -> Bench.Contender {
      let pipeline = try Pipeline(model, method: spec, keep: budget, read: OptionFiles.read)
      return Bench.Contender(
        method: spec.description, asked: asked, subject: pipeline, seeds: seeds(of: spec))
    }
    guard let shares else {
      return try wantedSolved(combinations, model).map { combination in
        try contender(
          combination.spec, combination.ruled ? combination.budget : nil,
          combination.ruled ? .budget(combination.budget) : .own)
      }
    }
    var contenders: [Bench.Contender] = []
    for combination in combinations {
      guard combination.ruled else {
        contenders.append(try contender(combination.spec, nil, .own))
        continue
      }
      let half = try Rehearsal.cost(combination.spec.make(budget: .ratio(0.5), read: OptionFiles.read), on: shape)
      var cheapest = Double.infinity
      for share in shares {
        guard half.gmacs < dense else {
          contenders.append(try contender(combination.spec, .ratio(share), .budget(.ratio(share))))
          continue
        }
        let (spec, solution) = try solve(combination.spec, share * dense, shape)
        if solution.reached < share * dense * 0.97 || solution.reached > share * dense, !running.quiet {
          VTokCommand.warn(
            "\(spec) reaches \(fixed(100 * solution.reached / dense, 1))% of the dense multiply-adds, asked "
              + "\(fixed(100 * share, 1))%" + (solution.reached == cheapest ? "; it has that row already" : ""))
        }
        if solution.reached == cheapest { continue }
        cheapest = solution.reached
        contenders.append(try contender(spec, solution.budget, .macShare(share)))
      }
    }
    return contenders
  }

  /// The budget for so many GMACs, or the method's cheapest. Blocks before an only cut may cost more than that: then it
  /// is made behind the first one.
  private func solve(_ spec: MethodSpec, _ gmacs: Double, _ shape: Shape) throws -> (MethodSpec, TargetSolver.Solution)
  {
    func solution(_ spec: MethodSpec, nearest: Bool) throws -> TargetSolver.Solution {
      try TargetSolver.solve(.gmacs(gmacs), spec, on: shape, nearest: nearest, read: OptionFiles.read)
    }
    do { return (spec, try solution(spec, nearest: false)) } catch is CompressionError {
      guard spec.parts.count == 1, spec.parts[0].options["block"] == nil,
        Methods.options(of: try Methods.named(spec.parts[0].name)).entries.contains(where: { $0.key == "block" })
      else { return (spec, try solution(spec, nearest: true)) }
      let early = try MethodSpec(spec.description + (spec.description.contains(":") ? ",block=0" : ":block=0"))
      return (early, try solution(early, nearest: true))
    }
  }

  private func wantedSolved(_ combinations: [ReductionOptions.Combination], _ model: LoadedModel) throws
    -> [ReductionOptions.Combination]
  {
    try reduction.solved(combinations, quiet: running.quiet) { target, spec in
      try model.solve(target, spec, read: OptionFiles.read)
    }
  }
}
