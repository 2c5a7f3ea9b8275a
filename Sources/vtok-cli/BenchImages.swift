import ArgumentParser
import Foundation
import VTok

struct BenchImages: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "images",
    abstract: "Methods of a vision tower on images: cost, speed, and what is kept of the dense model's answers.",
    discussion: """
      vtok bench images --model DIR --data photos.txt --method tome --method divprune --mac-ratio 0.75,0.5 --report out/
      vtok bench images --data test.bin --keep-ratio 0.5,0.25 --format json

      Data: class folders, a list file (path, tab, label), CIFAR-10 .bin files, or images without labels (then only the
      agreement with the dense model is told). Rows for the dense model, random (--seeds of it) and downsample are always
      there; random cuts where the methods do, inside the tower or after it (random:at=features), or both. Without --method
      there is also a row for tome. A speed-up below 0.9 of the multiply-adds' is marked !.
      """)

  @OptionGroup var bench: BenchFlags
  @OptionGroup var methods: MethodBenchFlags
  @OptionGroup var images: ImageBenchFlags

  func run() throws {
    guard !QuestionFile.matches(bench.data) else {
      throw UsageError(
        "--data '\(bench.data)'", found: "questions", expected: "images", fix: "Run 'vtok bench questions'.")
    }
    try bench.run(images, methods)
  }
}

/// Flags that only a bench of images has.
struct ImageBenchFlags: ParsableArguments {
  @Option(
    name: .customLong("mac-ratio"),
    help: ArgumentHelp("Share of the dense model's multiply-adds to spend, in (0, 1].", valueName: "R[,R...]"))
  var macRatios: [String] = []
  var macRatio: [String]? { macRatios.isEmpty ? nil : macRatios.items }

  @Flag(help: "Each of the --seeds runs sees a part of the images instead of all: their mean costs one run.")
  var splitSeeds = false

  /// For questions.
  func refuse() throws {
    if splitSeeds {
      throw UsageError("--split-seeds", found: "questions", expected: "images", fix: "Remove the flag.")
    }
    if macRatio != nil {
      throw UsageError(
        "--mac-ratio", found: "questions", expected: "--keep-ratio, --keep-tokens or --target-gmacs", fix: "Use one.")
    }
  }

  func macShares(excluding wanted: ReductionOptions) throws -> [Double]? {
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
}

extension BenchFlags {
  /// The table of a vision tower.
  func run(_ flags: ImageBenchFlags, _ methods: MethodBenchFlags) throws {
    let threads = try running.threadCount()
    try checkOutputs()
    let means = try methods.mean.means(
      beside: methods.reduction.amountFlag() ?? flags.macRatio.map { _ in "--mac-ratio" })
    let reduction = methods.sweep(means)
    var wanted = reduction
    wanted.methods = reduction.wantedMethods
    let shares = try flags.macShares(excluding: wanted)
    wanted.methods += Methods.baselines(beside: []).map(\.description).filter { !wanted.methods.contains($0) }
    _ = try wanted.combinations(solves: shares != nil)
    let precisions = try methods.precision.values()
    guard try !MultimodalModel.matches(reduction.checkpoint(precisions[0]).config) else {
      throw UsageError(
        "--data '\(data)'", found: "no questions for a vision-language model", expected: "a question file (.jsonl)",
        fix: "See 'vtok bench questions --help' for its lines.")
    }
    try methods.refuseMemory(precisions)
    if methods.memory.maxMemory != nil {
      let outline = try ModelOutline.of(reduction.model, processor: reduction.preparation.processor)
      let weights = MemoryEstimate.Weights(try reduction.checkpoint(precisions[0] ?? .f32))
      _ = try methods.memory.pixels(outline, weights, workers: threads, quiet: true)
    }
    let model = try reduction.tower(precisions[0])
    wanted.methods.removeLast(wanted.methods.count - max(1, reduction.methods.count))
    wanted.methods += try methods.baselines(beside: wanted.methods, on: model.vision.shape)
    let combinations = try wanted.combinations(solves: shares != nil)
    let images = try LabelledImages(data, classes: model.vision.labels, outside: outputs)
    let adaptive = try means.map {
      MeanShares($0, of: images, limit: limit, decode: try decoding.options(), threads: threads)
    }
    var contenders = try methods.contenders(combinations, shares, adaptive, model, quiet: running.quiet)
    for precision in precisions.dropFirst() {
      let other = try LoadedModel.load(reduction.model, precision: precision!)
      contenders.append(Contender(try Pipeline(other, methods: [])))
      contenders += try methods.contenders(combinations, shares, adaptive, other, quiet: true)
    }
    let task = try ImageTask(
      model, data: images, contenders: contenders, decode: decoding.options(), seed: reduction.seed,
      splitsSeeds: flags.splitSeeds)
    let provenance = provenance(
      model: model.name, sha256: model.sha256, seed: reduction.seed, threads: threads,
      more: [("precision", JSON(model.vision.precision.rawValue))])
    let results = try measure(
      ImageBench(task, threads: threads), samples: methods.timingSamples ?? 100, limit: limit)
    try write(BenchReport(results, provenance))
    try end(results)
  }
}

extension MethodBenchFlags {
  /// The rows that are always there beside methods of a tower.
  fileprivate func baselines(beside methods: [String], on shape: Shape) throws -> [String] {
    let asked = try methods.map {
      try Methods.compose(MethodSpec($0), budget: .ratio(0.5), for: shape, read: OptionFile.read)
    }
    return Methods.baselines(beside: asked).map(\.description).filter { !methods.contains($0) }
  }

  /// Shares of the dense cost become budgets here, method by method. One that acts after the tower saves nothing inside
  /// it, so it keeps that share of its tokens instead, and its row says what it costs.
  fileprivate func contenders(
    _ combinations: [ReductionOptions.Combination], _ shares: [Double]?, _ means: MeanShares?, _ model: LoadedModel,
    quiet: Bool
  ) throws -> [Contender<Pipeline>] {
    let shape = model.vision.shape
    let dense = Cost(denseWith: model.vision.tower.shape.patches, shape: shape).gmacs
    func contender(_ spec: MethodSpec, _ budget: Budget?, _ asked: Asked? = nil) throws -> Contender<Pipeline> {
      Contender(try Pipeline(model, method: spec, keep: budget), asked: asked, seeds: seeds)
    }
    guard let shares else {
      return try reduction.solved(combinations, quiet: quiet, by: { try model.solve($0, $1) }).flatMap { combination in
        let fixed = try contender(combination.spec, combination.ruled ? combination.budget : nil)
        let adaptive = try means?.contender(combination, seeds: seeds) { budget in
          try Pipeline(model, method: combination.spec, keep: budget)
        }
        return [fixed] + (adaptive.map { [$0] } ?? [])
      }
    }
    var contenders: [Contender<Pipeline>] = []
    for combination in combinations {
      guard combination.ruled else {
        contenders.append(try contender(combination.spec, nil))
        continue
      }
      let half = try Rehearsal.cost(combination.spec.make(budget: .ratio(0.5), read: OptionFile.read), on: shape)
      var cheapest = Double.infinity
      for share in shares {
        guard half.gmacs < dense else {
          contenders.append(try contender(combination.spec, .ratio(share)))
          continue
        }
        let (spec, solution) = try solve(combination.spec, share * dense, shape)
        if solution.reached < share * dense * 0.97 || solution.reached > share * dense, !quiet {
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
      try TargetSolver.solve(.gmacs(gmacs), spec, on: shape, nearest: nearest)
    }
    do { return (spec, try solution(spec, nearest: false)) } catch is CompressionError {
      guard let early = spec.cutting(atBlock: 0) else { return (spec, try solution(spec, nearest: true)) }
      return (early, try solution(early, nearest: true))
    }
  }
}
