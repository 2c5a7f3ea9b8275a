import VTokCore

/// SnapKV: once the prompt is read, every head keeps the cache entries that the last rows of the prompt attended to, and
/// these rows.
///
/// Li et al., "SnapKV: LLM Knows What You are Looking for Before Generation", NeurIPS 2024 (arXiv 2404.14469);
/// FasterDecoding/SnapKV, for grouped queries Zefan-Cai/KVCache-Factory, for shares of a prompt NVIDIA/kvpress.
public struct SnapKV: Compressor {
  public static let name = "snapkv"
  public static let summary =
    "every head keeps what the prompt's last rows attended to (SnapKV, NeurIPS 2024, arXiv 2404.14469)"
  public static let counted = Counted.entries
  public static let rounding: String? = "while decoding the cache grows, and granularity=query-head copies shared heads"
  public static let remarks = [
    "The window is the last rows whatever they are: text before it has no protection.",
    "Max pooling makes exact ties, through which the cut often goes: the official code leaves the choice open, here the "
      + "earlier entry stays.",
    "Grouped queries: the heads of a group vote together before pooling (KVCache-Factory's kv_head). Published tables on "
      + "such models keep a cache for every query head, granularity=query-head.",
    "A number of entries is SnapKV's capacity, a share counts as kvpress does: cut off, the window included.",
  ]

  let votes: WindowVotes
  /// Entries of a head, window included.
  let budget: Budget

  public init(_ options: inout Options) throws(OptionError) {
    votes = try WindowVotes(&options)
    let capacity = try options.take(
      "capacity", default: nil, in: 2...10_000_000, as: .amount, "entries of a head, window included (default: 2048)")
    budget = try options.budget("cache entries kept, of the prompt", published: true) ?? .tokens(capacity ?? 2048)
  }

  init(_ votes: WindowVotes, keep: Budget) {
    self.votes = votes
    budget = keep
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    try votes.check(budget, Self.name)
    return try votes.plan(for: model, Self.name)
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let count = view.sequences[0].count
    let kept = budget.tokens(of: count, .towardZero)
    guard view.step == 0, kept < count else { return nil }
    return try votes.reductions(view, at: site, keeping: kept, Self.name, notes: &notes)
  }
}
