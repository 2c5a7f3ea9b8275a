import VTokCore
import VTokTensor

/// LOOK-M: once the prompt is read, every head keeps the text, the pictures' entries that gathered most attention, and the
/// latest entries; what goes is merged into the most similar entry that stays.
///
/// Wan et al., "LOOK-M: Look-Once Optimization in KV Cache for Efficient Multimodal Long-Context Inference", Findings of
/// EMNLP 2024 (arXiv 2406.18139); SUSTechBruce/LOOK-M, text prior and pivot merge.
public struct LookM: Compressor {
  public static let name = "look-m"
  public static let summary =
    "keep text and what gathered attention, merge the rest by keys (LOOK-M, EMNLP 2024 Findings, arXiv 2406.18139)"
  public static let counted = Counted.entries
  public static let rounding: String? = "all text stays, also beyond the budget"
  public static let remarks = [
    "Grouped query attention is refused: the official code masks cached keys by the scores of query heads.",
    "The published runs are in bfloat16, whose rounding makes the choice among picture entries arbitrary; here they are "
      + "ranked exactly.",
    "Picture entries stay outside the latest ones only where the heavy ones outnumber the text before these.",
    "A budget is a share of the prompt (or a number of entries), half of it heavy hitters, half the latest.",
  ]

  enum Amount: Sendable, Equatable {
    /// Shares of the prompt: heavy hitters, latest entries.
    case shares(heavy: Double, recent: Double)
    case budget(Budget)
  }

  let amount: Amount

  public init(_ options: inout Options) throws(OptionError) {
    let heavy = try options.amount("heavy", in: 0...1, "share of the prompt that are heavy hitters (default: 0.1)")
    let recent = try options.amount("recent", in: 0...1, "share of the prompt that are the latest (default: 0.1)")
    let budget = try options.budget("cache entries kept, of the prompt", published: true)
    amount = budget.map { .budget($0) } ?? .shares(heavy: heavy ?? 0.1, recent: recent ?? 0.1)
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    _ = try model.ungrouped(for: Self.name)
    return try model.caches(for: Self.name, Request(attention: .all, summed: true, inPrefill: true))
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    guard view.step == 0 else { return nil }
    let cache = view.sequences[0]
    let (heavy, recent) = sizes(of: cache.count)
    guard cache.count > heavy + recent else { return nil }
    let gathered = view.recording(site).attention!  // [heads, keys]
    let images = Set(view.visual(cache)).intersection(0..<cache.count - recent)
    // All text before the latest entries, and pictures where the heavy hitters leave room.
    let room = max(0, heavy - (cache.count - recent - images.count))
    let candidates = images.sorted()
    return (0..<gathered.rows).map { head in
      let scores = gathered.row(head)
      let seen = notes.top(candidates.map { scores[scores.startIndex + $0] }, min(room, candidates.count))
      let dropped = images.subtracting(seen.map { candidates[$0] }).sorted()
      return merge(dropped, CacheHead(cache, head, of: gathered.rows), notes: &notes)
    }
  }

  private func sizes(of count: Int) -> (heavy: Int, recent: Int) {
    switch amount {
    case .shares(let heavy, let recent): return (Int(Double(count) * heavy), Int(Double(count) * recent))
    case .budget(let budget):
      let total = max(1, budget.tokens(of: count, .towardZero))
      return (total / 2, total - total / 2)
    }
  }

  /// Every dropped entry goes half, beside a half of it, into the kept one with the most similar key: each as
  /// (K + pivot) / 2, averaged with the pivot.
  private func merge(_ dropped: [Int], _ head: CacheHead, notes: inout Notes) -> Reduction {
    let count = head.keys.rows
    let gone = Set(dropped)
    let kept = (0..<count).filter { !gone.contains($0) }
    var rows = kept.map { [Int32($0)] }
    if !dropped.isEmpty {
      let similar = notes.cosines(head.keys.gathered(dropped), head.keys.gathered(kept))
      for (index, entry) in dropped.enumerated() { rows[notes.first(Array(similar.row(index)))].append(Int32(entry)) }
    }
    let weights = rows.flatMap { row in
      let merged = Float(row.count - 1)
      return [(1 + merged / 2) / (1 + merged)] + [Float](repeating: 0.5 / (1 + merged), count: row.count - 1)
    }
    return Reduction(rows: rows, of: count, blend: .weighted(weights))
  }
}
