import CVTokKernels
import VTokCore
import VTokTensor

/// V2Drop: in stages, keep the visual tokens that the layer before changed most.
///
/// Chen et al., "Variation-aware Vision Token Dropping for Faster Large Vision-Language Models", CVPR 2026
/// (arXiv 2509.01552); xuyang-liu16/V2Drop. No attention is read.
public struct V2Drop: Compressor {
  public static let name = "v2drop"
  public static let summary =
    "keep the tokens that the layer before changed most, in stages (V2Drop, CVPR 2026, arXiv 2509.01552)"
  public static let remarks = [
    "Shares are of the tokens alive at a stage and are cut off to whole numbers; a share of 0 leaves one token, as in the "
      + "official code.",
    "The change is the length of the difference of the rows that enter two layers; the paper does not say how it is measured.",
    "Default layers and shares are those of the code for LLaVA-1.5-7B.",
  ]

  let layers: [Int]
  private var count: StageCount
  /// Visual rows as they entered the layer before the next stage, by id.
  private var before: [Int32: ArraySlice<Float>] = [:]

  /// - Parameters:
  ///   - layers: the first layer of every stage, counted from 0, ascending.
  ///   - keep: what every stage keeps.
  public init(layers: [Int] = [3, 17, 22], keep: StageShares = .ratios([0.5, 0.5, 0])) {
    self.layers = layers
    count = StageCount(keep, .towardZero, least: 1)
  }

  public init(_ options: inout Options) throws(OptionError) {
    let layers = try options.layers("layers", default: [3, 17, 22], "first layer of every stage, counted from 0")
    self.init(layers: layers, keep: try options.shares(ofStages: layers.count, published: [0.5, 0.5, 0]))
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    var plan = Plan(positions: PositionRule(cut: .original, decode: .next))
    for layer in layers {
      plan.act.insert(try model.innerLayer(layer, for: Self.name))
      plan.act.insert(.layer(layer - 1))  // only to look
    }
    return plan
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    guard case .layer(let layer) = site else { return nil }
    let tokens = view.sequences[0]
    let visual = view.visual(tokens)
    if visual.isEmpty { return nil }
    let stage = layers.firstIndex(of: layer)
    let kept = stage.map { stage in
      let scores = visual.map { change(of: tokens.x.row($0), since: before[tokens.id[$0]]!) }
      notes.book(macs: 2 * visual.count * tokens.x.width)
      notes.keep("score", scores)
      return notes.top(scores, count(stage, of: layers.count, view)).map { visual[$0] }
    }
    let isBefore = layers.contains(layer + 1)
    before = isBefore ? Dictionary(uniqueKeysWithValues: visual.map { (tokens.id[$0], tokens.x.row($0)) }) : [:]
    return kept.map { [.keep($0, among: visual, of: tokens.count)] }
  }

  /// Length of the difference of two rows.
  private func change(of row: ArraySlice<Float>, since before: ArraySlice<Float>) -> Float {
    let difference = zip(row, before).map { $0 - $1 }
    return vtok_exact_dot(difference, difference, difference.count).squareRoot()
  }
}
