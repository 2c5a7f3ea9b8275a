import VTokCore
import VTokTensor

/// Keeps visual tokens at random from deep layers on: beyond some depth no score is better than chance, so this is the
/// baseline that a method inside the language model must beat, and what goes well behind any method before it.
///
/// The idea is of "All You Need Are Random Visual Tokens? Demystifying Token Pruning in VLLMs" (arXiv 2512.07580), which has
/// no code; the rule is ours.
public struct DeepRandom: Compressor {
  public static let name = "deep-random"
  public static let summary =
    "keep visual tokens at random from a deep layer on (the idea of arXiv 2512.07580, own rule)"
  public static let remarks = [
    "There is no official code, and layers and shares of the published runs are not known: all defaults are ours.",
    "Shares are of the tokens alive at a stage, rounded half to even; none may be left.",
    "All images of a prompt share the draw. Noise depends on seed, stage and token, not on the order of a job.",
  ]

  public var isStochastic: Bool { true }

  let layers: [Int]?
  private var count: StageCount
  /// A number per token alive, by stage; nil: by lot.
  private let noise: [[Float]]?

  /// - Parameters:
  ///   - layers: the first layer of every stage, counted from 0; nil: one at two thirds of the depth.
  ///   - keep: what every stage keeps.
  public init(layers: [Int]? = nil, keep: StageShares = .ratios([0.5])) {
    self.init(layers: layers, keep: keep, noise: nil)
  }

  /// With the numbers that decide given.
  package init(layers: [Int]?, keep: StageShares, noise: [[Float]]?) {
    self.layers = layers
    self.noise = noise
    count = StageCount(keep, .toNearestOrEven)
  }

  public init(_ options: inout Options) throws(OptionError) {
    let layers = try options.layers(
      "layers", "first layer of every stage, counted from 0 (default: two thirds of the depth)")
    self.init(layers: layers, keep: try options.shares(ofStages: layers?.count ?? 1, published: [0.5]))
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    var plan = Plan(positions: PositionRule(cut: .original, decode: .next))
    for layer in stages(of: try model.decoder(for: Self.name).layers) {
      plan.act.insert(try model.innerLayer(layer, for: Self.name))
    }
    return plan
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let stages = stages(of: try view.shape.decoder(for: Self.name).layers)
    guard let stage = stages.firstIndex(where: { .layer($0) == site }) else { return nil }
    let tokens = view.sequences[0]
    let visual = view.visual(tokens)
    if visual.isEmpty { return nil }
    let lots = GumbelField(seed: view.seed, step: 0, layer: 0, head: stage)
    let scores = noise?[stage] ?? visual.map { lots[0, tokens.id[$0]] }
    let kept = notes.top(scores, count(stage, of: stages.count, view)).map { visual[$0] }
    return [.keep(kept, among: visual, of: tokens.count)]
  }

  private func stages(of depth: Int) -> [Int] { layers ?? [max(1, 2 * depth / 3)] }
}
