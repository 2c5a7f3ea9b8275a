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
    "keep ever fewer visual tokens in stages, by the last prompt token's attention in the next layer (PyramidDrop, CVPR "
    + "2025, arXiv 2410.17247)"
  public static let remarks = [
    "The official code cannot serve models with grouped query attention; here every query head reads its own key head.",
    "Several images share one budget.",
    "Default stages are quarters of the depth: layers 8, 16 and 24 of 32, as published.",
  ]

  public enum Amount: Sendable, Equatable {
    /// Of the visual tokens received, at every stage.
    case ratios([Double])
    /// At the last stage; the others in between keep equal shares.
    case budget(Budget)
  }

  let layers: [Int]?
  let amount: Amount
  /// Visual tokens at the first stage.
  private var received: Int?

  /// - Parameters:
  ///   - layers: the first layer of every stage, counted from 0; nil: quarters of the depth.
  ///   - amount: what every stage keeps.
  public init(layers: [Int]? = nil, amount: Amount = .ratios([0.5, 0.25, 0.125])) {
    (self.layers, self.amount) = (layers, amount)
  }

  public init(_ options: inout Options) throws(OptionError) {
    let expected = "whole numbers from 1 on, ascending"
    let layers = try options.list("layers", expected, "first layer of every stage, counted from 0 (default: quarters)")
    if let layers, zip([0] + layers, layers).contains(where: { $0 >= $1 || $1 != $1.rounded() }) {
      throw options.invalid("layers", "\(layers)", expected)
    }
    let shares = "one share in 0...1 per stage, none above the one before"
    let ratios = try options.list("ratios", shares, "share of all visual tokens that every stage keeps")
    if let ratios,
      zip([1] + ratios, ratios).contains(where: { $0 < $1 || $1 < 0 }) || layers?.count ?? 3 != ratios.count
    {
      throw options.invalid("ratios", "\(ratios)", shares)
    }
    self.layers = layers?.map { Int($0) }
    if let ratios {
      amount = .ratios(ratios)
    } else if let budget = try options.budget("visual tokens kept by the last stage; the others in equal steps") {
      amount = .budget(budget)
    } else {
      let count = layers?.count ?? 3
      amount = .ratios((1...count).reduce(into: []) { ratios, _ in ratios.append((ratios.last ?? 1) / 2) })
    }
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    var plan = Plan(positions: PositionRule(cut: .renumbered, decode: .cacheLength))
    let depth = try model.decoder(for: Self.name).layers
    for layer in stages(of: depth) {
      let site = try model.innerLayer(layer, for: Self.name)
      plan.record[site] = Request(probe: .last)
      plan.act.insert(site)
    }
    return plan
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let tokens = view.sequences[0]
    let visual = view.visual(tokens)
    let count = received ?? visual.count
    received = count
    let stages = stages(of: try view.shape.decoder(for: Self.name).layers)
    guard let stage = stages.firstIndex(where: { .layer($0) == site }) else { return nil }
    let keep: Int
    switch amount {
    case .ratios(let ratios): keep = Int(Double(count) * ratios[stage])  // truncated, as published
    case .budget(let budget):
      keep = Schedule.geometric(from: count, to: min(budget.tokens(of: count), count), steps: stages.count)[stage]
    }
    let recording = view.recording(site)
    let columns = try recording.columns(of: tokens)
    let scores = recording.probe!.headMean(at: visual.map { columns[$0] }).values
    notes.keep("score", scores)
    let kept = notes.top(scores, min(keep, visual.count)).map { visual[$0] }
    return [.keep(kept, among: visual, of: tokens.count)]
  }

  private func stages(of depth: Int) -> [Int] { layers ?? (1...3).map { max(1, $0 * depth / 4) } }
}
