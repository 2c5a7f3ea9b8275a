import VTokCore
import VTokLibC
import VTokTensor

/// TransPrune: in stages, keep the visual tokens that layers change most in size and direction and that the text would
/// attend to in the layer to come.
///
/// Li et al., "TransPrune: Token Transition Pruning for Efficient Large Vision-Language Model", CVPR 2026
/// (arXiv 2507.20630); liaolea/TransPrune.
public struct TransPrune: Compressor {
  public static let name = "transprune"
  public static let summary =
    "keep tokens in transition that the text attends to, in stages (TransPrune, CVPR 2026, arXiv 2507.20630)"
  public static let remarks = [
    "Direction counts as 1 - cosine over the whole sequence; the paper takes 1 - |cosine| over the image.",
    "The official code projects all rows to find the text's attention; here only the text rows are.",
    "The official cut to the tokenizer's maximal length is left out.",
    "The official code cannot serve models with grouped query attention; here every query head reads its own key head.",
  ]

  let layers: CutLayers
  /// nil: from the first stage to the last.
  let accumulated: [Int]?
  let amount: StageAmount
  /// Visual tokens left by every stage.
  private var counts: [Int]?

  /// - Parameters:
  ///   - layers: the first layer of every stage, counted from 0 (behind layer l counted from 1, as published).
  ///   - amount: what every stage keeps.
  ///   - accumulated: layers whose transition counts, numbered alike; nil: from the first stage to the last.
  public init(
    layers: [Int] = [7, 9, 12], amount: StageAmount = .ratios([0.875, 0.625, 0.125]), accumulated: [Int]? = nil
  ) {
    self.init(CutLayers(layers), amount, accumulated)
  }

  private init(_ layers: CutLayers, _ amount: StageAmount, _ accumulated: [Int]?) {
    self.layers = layers
    self.amount = amount
    self.accumulated = accumulated
  }

  public init(_ options: inout Options) throws(OptionError) {
    let layers = try CutLayers(&options, default: [7, 9, 12], "first layer of every stage, counted from 0")
    let about = "layers whose transition counts, numbered alike (default: from the first stage to the last)"
    let accumulated = try options.layers("accumulate", about)
    let amount = try options.amount(ofStages: layers.count, published: [0.875, 0.625, 0.125])
    if let first = accumulated?.first, first > layers.numbers[0] {
      throw options.invalid("accumulate", "\(first)", "a first layer not after the first stage")
    }
    self.init(layers, amount, accumulated)
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    var plan = Plan(positions: PositionRule(cut: .renumbered, decode: .cacheLength))
    let (layers, accumulated) = try stages(of: model)
    for layer in accumulated where layer <= layers.last! {
      plan.record[try model.innerLayer(layer, for: Self.name)] = Request(branches: true)
    }
    for layer in layers {
      let site = try model.innerLayer(layer, for: Self.name)
      plan.record[site] = Request(probe: .text, branches: accumulated.contains(layer))
      plan.act.insert(site)
    }
    return plan
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let (layers, accumulated) = try stages(of: view.shape)
    guard case .layer(let layer) = site, let stage = layers.firstIndex(of: layer) else { return nil }
    let tokens = view.sequences[0]
    let visual = view.visual(tokens)
    if visual.isEmpty { return nil }
    if counts == nil { counts = amount.counts(after: layers.count, view) }
    var transition = [Double](repeating: 0, count: visual.count)
    for earlier in accumulated where earlier <= layer {
      let recording = view.recording(.layer(earlier))
      let columns = try recording.columns(of: tokens)
      let parts = recording.branches.map { Self.transition($0) }
      notes.keep("layer\(earlier).ttv_attention", parts[0].map { Float($0) })
      notes.keep("layer\(earlier).ttv_ffn", parts[1].map { Float($0) })
      for (index, row) in visual.enumerated() {
        transition[index] += parts[0][columns[row]] + parts[1][columns[row]]
      }
    }
    let recording = view.recording(site)
    let probe = recording.probe!  // [heads, text, keys]
    let columns = try recording.columns(of: tokens)
    let sum = probe.lineSum()
    let guidance = visual.map { Double(sum[columns[$0]] / Float(probe.rows)) }
    let (changed, asked) = (Self.shares(transition), Self.shares(guidance))
    let scores = zip(changed, asked).map { Float($0 + $1) }
    notes.keep("ttv_normalised", changed.map { Float($0) })
    notes.keep("iga_normalised", asked.map { Float($0) })
    notes.keep("score", scores)
    return [
      .keep(notes.top(scores, min(counts![stage], visual.count)).map { visual[$0] }, among: visual, of: tokens.count)
    ]
  }

  /// First layers of the stages in a model, and layers whose transition counts.
  private func stages(of model: Shape) throws(CompressionError) -> (layers: [Int], accumulated: [Int]) {
    let layers = try layers.numbers(in: model, for: Request(probe: .text), of: Self.name)
    return (layers, accumulated ?? Array(layers[0]...layers.last!))
  }

  /// Token transition variation of one branch: how its output compares with its input in size, weighted by a softmax over
  /// the sequence of how far it turned. `[n]`
  public static func transition(_ branch: Branch) -> [Double] {
    let turned = branch.dot.indices.map { row in
      let (input, output) = (max(Double(branch.input[row]), 1e-8), max(Double(branch.output[row]), 1e-8))
      return exp(1 - Double(branch.dot[row]) / (input * output))
    }
    let sum = turned.reduce(0, +)
    return turned.indices.map { Double(branch.output[$0]) / Double(branch.input[$0]) * (turned[$0] / sum) }
  }

  private static func shares(_ values: [Double]) -> [Double] {
    let sum = values.reduce(0, +) + 1e-8
    return values.map { $0 / sum }
  }
}
