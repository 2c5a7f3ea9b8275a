import VTokCore
import VTokTensor

/// PyramidDrop: in stages, fewer and fewer visual tokens, ranked by what the last token of the prompt would attend to in
/// the layer to come.
///
/// Xing et al., "PyramidDrop: Accelerating Your Large Vision-Language Models via Pyramid Visual Redundancy Reduction",
/// CVPR 2025 (arXiv 2410.17247); Cooperx521/PyramidDrop. Positions are numbered anew behind every stage.
public struct PyramidDrop: Compressor {
  public static let name = "pyramiddrop"
  public static let summary =
    "keep ever fewer tokens in stages, by the last prompt token (PyramidDrop, CVPR 2025, arXiv 2410.17247)"
  public static let remarks = [
    "The official code cannot serve models with grouped query attention; here every query head reads its own key head.",
    "Several images share the sum of their budgets.",
    "Default stages are quarters of the depth: layers 8, 16 and 24 of 32, as published.",
  ]

  let layers: [Int]?
  /// Whether the layers are those nearest to these that can tell.
  let isNearest: Bool
  let amount: StageAmount
  /// Visual tokens left by every stage.
  private var counts: [Int]?

  /// - Parameters:
  ///   - layers: the first layer of every stage, counted from 0; nil: quarters of the depth.
  ///   - amount: what every stage keeps.
  public init(layers: [Int]? = nil, amount: StageAmount = .ratios([0.5, 0.25, 0.125])) {
    self.layers = layers
    isNearest = false
    self.amount = amount
  }

  public init(_ options: inout Options) throws(OptionError) {
    let typed = try options.layers(
      "layers", or: "auto",
      "first layer of every stage, counted from 0 (default: quarters); auto: nearest that can tell")
    (layers, isNearest) = (typed?.numbers, typed?.isWord ?? false)
    amount = try options.amount(ofStages: layers?.count ?? 3, published: [0.5, 0.25, 0.125])
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    var plan = Plan(positions: PositionRule(cut: .renumbered, decode: .cacheLength))
    for layer in try stages(of: model) {
      let site = try model.innerLayer(layer, for: Self.name)
      plan.record[site] = Self.request
      plan.act.insert(site)
    }
    return plan
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let tokens = view.sequences[0]
    let visual = view.visual(tokens)
    if visual.isEmpty { return nil }
    let stages = try stages(of: view.shape)
    guard let stage = stages.firstIndex(where: { .layer($0) == site }) else { return nil }
    if counts == nil { counts = amount.counts(after: stages.count, view) }
    let keep = counts![stage]
    let recording = view.recording(site)
    let columns = try recording.columns(of: tokens)
    let scores = recording.probe!.headMean(at: visual.map { columns[$0] }).values
    notes.keep("score", scores)
    let kept = notes.top(scores, min(keep, visual.count)).map { visual[$0] }
    return [.keep(kept, among: visual, of: tokens.count)]
  }

  private static let request = Request(probe: .last)

  private func stages(of model: Shape) throws(CompressionError) -> [Int] {
    let depth = try model.decoder(for: Self.name).layers
    let layers = layers ?? (1...3).map { max(1, $0 * depth / 4) }
    return isNearest ? try CutLayers.nearest(to: layers, in: model, for: Self.request, of: Self.name) : layers
  }
}
