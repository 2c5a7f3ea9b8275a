import VTokCore
import VTokTensor

/// H2O: every attention head keeps the cache entries that gathered most attention so far, and the latest ones.
///
/// Zhang et al., "H2O: Heavy-Hitter Oracle for Efficient Generative Inference of Large Language Models", NeurIPS 2023
/// (arXiv 2306.14048); FMInference/H2O, the path that really evicts.
public struct H2O: Compressor {
  public static let name = "h2o"
  public static let summary =
    "every head keeps its heavy hitters and the latest entries (H2O, NeurIPS 2023, arXiv 2306.14048)"
  public static let counted = Counted.entries
  public static let remarks = [
    "Grouped query attention is refused: the official code keeps one score per cached head. gqa=mean, a variant of our own, "
      + "averages the heads of a group.",
    "Entries go after the step in which they were seen, so the prefill's cache is dense for a moment.",
    "A budget is a share of the prompt (or a number of entries), half of it heavy hitters; the size then stays.",
  ]

  enum Amount: Sendable {
    case size(HeavyHitters.Size)
    case budget(Budget)
  }

  let amount: Amount
  private var hitters: HeavyHitters

  public init(heavy: Int, recent: Int) {
    amount = .size(HeavyHitters.Size(heavy: heavy, recent: recent))
    hitters = HeavyHitters()
  }
  public init(keep: Budget) {
    amount = .budget(keep)
    hitters = HeavyHitters()
  }

  public init(_ options: inout Options) throws(OptionError) {
    let heavy = try options.take(
      "heavy", default: nil, in: 0...1_000_000, as: .amount, "heavy hitters of a head (hh_size)")
    let recent = try options.take(
      "recent", default: nil, in: 1...1_000_000, as: .amount, "latest entries (recent_size)")
    let groups = try options.take(
      "gqa", default: HeavyHitters.Groups.refused, "query heads that share a cached one: refused, or averaged")
    hitters = HeavyHitters(groups)
    let budget = try options.budget("cache entries kept, of the prompt")
    switch (heavy, recent) {
    case (let heavy?, let recent?): amount = .size(HeavyHitters.Size(heavy: heavy, recent: recent))
    case (nil, nil): amount = .budget(budget ?? .ratio(0.5))
    default: throw options.invalid(heavy == nil ? "heavy" : "recent", "", "heavy and recent together")
    }
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    try hitters.plan(for: model, Self.name)
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    try hitters.step(view, at: site, notes: &notes, size: size(of:))
  }

  /// What stays of a prompt of `count` entries.
  private func size(of count: Int) -> HeavyHitters.Size {
    switch amount {
    case .size(let size): return size
    case .budget(let budget):
      let total = max(1, budget.tokens(of: count, .towardZero))
      return HeavyHitters.Size(heavy: total / 2, recent: total - total / 2)
    }
  }
}
