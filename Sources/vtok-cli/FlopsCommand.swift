import ArgumentParser
import Foundation
import VTok

struct FlopsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "flops",
    abstract: "What a model costs per layer, dense or with a method; needs no weights.",
    discussion: """
      Takes a published model's name, or a directory with a config.json. The method's own schedule is rehearsed on
      noise of the right shapes. Counted are the multiply-adds of linear layers and attention, which papers print as
      "FLOPs"; GFLOPs here are twice the GMACs. What a method spends on selecting stands apart.
      """)

  @OptionGroup var reduction: ReductionOptions

  @Option(
    help: ArgumentHelp("Image side in pixels, or height and width (default: the model's own).", valueName: "N|HxW"))
  var imageSize: String?

  @Option(help: ArgumentHelp("md, csv, json or jsonl.", valueName: "FORMAT"))
  var format = Table.Format.md

  @OptionGroup var running: RunOptions

  func run() throws {
    if reduction.targetMs != nil {
      throw UsageError(
        "--target-ms", found: "a time", expected: "--target-gmacs or --target-tokens", fix: "Nothing is run here.")
    }
    let asked = reduction.isGiven ? try reduction.combinations() : []
    let shape = try Shape.of(reduction.model, imageSize: size())
    let combinations = try reduction.solved(asked, quiet: running.quiet) { target, spec in
      try TargetSolver.solve(target, spec, on: shape, read: OptionFiles.read)
    }
    var runs = try combinations.map { combination in
      let budget = combination.ruled ? combination.budget : nil
      return try Ledger(
        combination.spec.description, combination.spec.make(budget: budget, read: OptionFiles.read), budget, shape,
        seed: reduction.seed)
    }
    if runs.isEmpty { runs = [try Ledger("dense", [], nil, shape, seed: reduction.seed)] }
    switch format {
    case .md:
      for run in runs { describe(run) }
    case .csv:
      var table = Table(["method"] + Ledger.columns)
      for run in runs { for row in run.rows { table.add([run.name] + row, .null) } }
      print(table.text(.csv), terminator: "")
    case .json, .jsonl:
      for run in runs { print(run.json(model: reduction.model).text(pretty: format == .json)) }
    }
  }

  private func size() throws -> (height: Int, width: Int)? {
    guard let imageSize else { return nil }
    let sides = imageSize.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
    guard (1...2).contains(sides.count), sides.allSatisfy({ ($0 ?? 0) > 0 }) else {
      throw UsageError(
        "--image-size", found: "'\(imageSize)'", expected: "pixels as 224 or 224x336", fix: "Correct it.")
    }
    return (sides[0]!, sides.last!!)
  }

  /// One table and what it amounts to.
  private func describe(_ run: Ledger) {
    let (tower, cost, dense) = (run.tower, run.cost, run.dense)
    print(
      "\(reduction.model) · \(tower.columns * tower.patch)x\(tower.rows * tower.patch) pixels · \(tower.patches) patches"
        + " + \(tower.prefix) prefix tokens · \(run.name)" + (run.budget.map { " at \($0.label)" } ?? "") + "\n")
    var table = Table(Ledger.columns)
    for row in run.rows { table.add(row, .null) }
    print(table.text(.md))
    print(
      "\(fixed(cost.gmacs, 3)) GMACs = \(fixed(2 * cost.gmacs, 3)) GFLOPs (2 x MACs), "
        + "\(fixed(100 * cost.gmacs / dense.gmacs, 1))% of dense \(fixed(dense.gmacs, 3)) GMACs; "
        + "selection \(fixed(Double(cost.selection) * 1e-9, 4)) GMACs apart")
    print(
      "\(run.left) of \(tower.patches) patch tokens left, \(fixed(cost.meanTokens, 1)) tokens enter a block on average")
    if run.varies { print("The number of tokens depends on the image; this is one of noise.") }
    print("")
  }
}

/// What one method costs on one shape.
private struct Ledger {
  let name: String, budget: Budget?
  let tower: Shape.Tower
  let cost: Cost, dense: Cost
  /// Patch tokens left at the end.
  let left: Int
  /// Whether another image gives other counts.
  let varies: Bool

  init(_ name: String, _ methods: [any Compressor], _ budget: Budget?, _ shape: Shape, seed: UInt64) throws {
    (self.name, self.budget, tower) = (name, budget, shape.tower!)
    let traces = try [seed, seed &+ 1].map { try Rehearsal.trace(methods, on: shape, seed: $0) }
    let costs = traces.map { Cost(of: $0, shape: shape) }
    (cost, varies) = (costs[0], costs[0].layers != costs[1].layers)
    left = traces[0].towerOutput.reduce(0, +) - tower.prefix
    dense = Cost(denseWith: tower.patches, shape: shape)
  }

  static let columns = [
    "layer", "tokens", "MLP tokens", "attention GMACs", "MLP GMACs", "other GMACs", "GMACs", "GFLOPs", "share of dense",
    "selection GMACs",
  ]

  /// A row per layer, and the sum.
  var rows: [[String]] {
    func row(_ name: String, _ tokens: [Int], attention: Int = 0, mlp: Int = 0, other: Int = 0, selection: Int? = nil)
      -> [String]
    {
      let macs = attention + mlp + other
      let cells = [attention, mlp, other, macs, 2 * macs].map { fixed(Double($0) * 1e-9, 4) }
      let share = fixed(Double(macs) / Double(dense.macs), 4)
      let counts = tokens.map(String.init) + [String](repeating: "-", count: 2 - tokens.count)
      return [name] + counts + cells + [share, selection.map { fixed(Double($0) * 1e-9, 4) } ?? "-"]
    }
    let layers = cost.layers
    let blocks = layers.enumerated().map { index, layer in
      row(
        "block \(index)", [layer.tokens, layer.mlpTokens], attention: layer.attention, mlp: layer.mlp,
        other: layer.probes)
    }
    let total = row(
      "total", [], attention: layers.reduce(0) { $0 + $1.attention }, mlp: layers.reduce(0) { $0 + $1.mlp },
      other: cost.patchEmbedding + cost.head + layers.reduce(0) { $0 + $1.probes }, selection: cost.selection)
    return [row("embedding", [], other: cost.patchEmbedding)] + blocks + [row("head", [], other: cost.head), total]
  }

  func json(model: String) -> JSON {
    let layers = cost.layers.map { layer -> JSON in
      [
        "tokens": JSON(layer.tokens), "mlp_tokens": JSON(layer.mlpTokens), "attention_macs": JSON(layer.attention),
        "mlp_macs": JSON(layer.mlp), "probe_macs": JSON(layer.probes),
      ]
    }
    return [
      "schema": "vtok-flops/1", "model": JSON(model), "method": JSON(name),
      "budget": budget.map { JSON($0.text) } ?? .null,
      "image": ["height": JSON(tower.rows * tower.patch), "width": JSON(tower.columns * tower.patch)],
      "tokens": [
        "in": JSON(tower.patches), "out": JSON(left), "prefix": JSON(tower.prefix),
        "mean_per_layer": JSON(cost.meanTokens), "depends_on_image": JSON(varies),
      ], "embedding_macs": JSON(cost.patchEmbedding), "layers": .array(layers), "head_macs": JSON(cost.head),
      "gmacs": [
        "dense": JSON(dense.gmacs), "reduced": JSON(cost.gmacs), "ratio": JSON(cost.gmacs / dense.gmacs),
        "selection": JSON(Double(cost.selection) * 1e-9),
      ], "gflops": ["dense": JSON(2 * dense.gmacs), "reduced": JSON(2 * cost.gmacs), "per_mac": 2],
    ]
  }
}
