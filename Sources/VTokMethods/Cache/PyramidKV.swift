import VTokCore

/// PyramidKV: SnapKV's choice with a budget that falls from layer to layer.
///
/// Cai et al., "PyramidKV: Dynamic KV Cache Compression based on Pyramidal Information Funneling" (arXiv 2406.02069);
/// Zefan-Cai/KVCache-Factory, for shares of a prompt NVIDIA/kvpress.
public struct PyramidKV: Compressor {
  public static let name = "pyramidkv"
  public static let summary =
    "as snapkv, with more cache entries in early layers than in late ones (PyramidKV, arXiv 2406.02069)"
  public static let counted = Counted.entries
  public static let rounding: String? =
    "budgets fall by whole numbers from layer to layer, and short prompts share evenly"
  public static let remarks = [
    "A number of entries is the average of a layer, window included. The step between layers is rounded down, so all layers "
      + "together may keep more, by up to half a layer count in each.",
    "Prompts shorter than twice the budget keep the same in all layers, as the official code does.",
    "A share counts as kvpress does: the window inside every layer's budget, which is rounded half to even.",
    "Grouped queries vote together before pooling; published tables keep a cache for every query head "
      + "(granularity=query-head).",
  ]

  let votes: WindowVotes
  let budget: Budget
  /// How much steeper than even: the last layer has about a `beta`-th of the average.
  let beta: Int

  public init(_ options: inout Options) throws(OptionError) {
    votes = try WindowVotes(&options)
    beta = try options.take("beta", default: 20, in: 1...1_000_000, "the last layer keeps a beta-th beside the window")
    let capacity = try options.take(
      "capacity", default: nil, in: 2...10_000_000, as: .amount,
      "entries of a layer on average, window included (default: 2048)")
    budget = try options.budget("cache entries kept, of the prompt", published: true) ?? .tokens(capacity ?? 2048)
  }

  init(_ votes: WindowVotes, keep: Budget, beta: Int = 20) {
    self.votes = votes
    budget = keep
    self.beta = beta
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    try votes.check(budget, Self.name)
    return try votes.plan(for: model, Self.name)
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    guard view.step == 0, case .cache(let layer) = site else { return nil }
    let (count, layers) = (view.sequences[0].count, try view.shape.decoder(for: Self.name).layers)
    let kept =
      switch budget {
      case .tokens(let capacity): entries(of: layer, layers, capacity: capacity, count)
      case .ratio(let ratio): entries(of: layer, layers, share: ratio, count)
      }
    guard kept < count else { return nil }
    return try votes.reductions(view, at: site, keeping: kept, Self.name, notes: &notes)
  }

  /// What a layer keeps of `count` entries where all keep `capacity` on average. Whole numbers, divisions rounded down.
  private func entries(of layer: Int, _ layers: Int, capacity: Int, _ count: Int) -> Int {
    let window = votes.window
    if count < capacity { return count }
    if count < 2 * (capacity - window) { return capacity }
    var low = (capacity - window) / beta
    var high = 2 * (capacity - window) - low
    if high >= count - window {
      high = count - window
      low = 2 * (capacity - window) - high
    }
    return window + high - layer * ((high - low) / max(1, layers - 1))
  }

  /// The same for a share, in real numbers; budgets that make no pyramid are even.
  private func entries(of layer: Int, _ layers: Int, share: Double, _ count: Int) -> Int {
    let (window, n) = (Double(votes.window), Double(count))
    let beside = window + n * share - window
    var low = beside / Double(beta)
    var high = 2 * beside - low
    if high >= n - window {
      high = n - window
      low = 2 * beside - high
    }
    let isPyramid = n >= high && high >= low && low >= window
    let kept = isPyramid ? high - Double(layer) * ((high - low) / Double(max(1, layers - 1))) : n * share
    return Int(kept.rounded(.toNearestOrEven))
  }
}
