import VTokCore
import VTokTensor

/// Elastic Cache: once the prompt is read, cache entries of little attention are merged into their nearest important
/// neighbour; while decoding, one entry at a fixed place goes for every one that comes too many.
///
/// Liu et al., "Efficient Inference of Vision Instruction-Following Models with Elastic Cache", ECCV 2024
/// (arXiv 2407.18121); liuzuyan/ElasticCache, with its two baselines as policies.
public struct ElasticCache: Compressor {
  public static let name = "elastic-cache"
  public static let summary =
    "merge little-attended cache entries, then evict at a fixed place (Elastic Cache, ECCV 2024, arXiv 2407.18121)"
  public static let counted = Counted.entries
  public static let rounding: String? = "the first merge leaves one entry fewer"
  public static let remarks = [
    "The official code takes the sorting permutation for ranks, and counts merged slots without the start: what stays is "
      + "not exactly the highest scored (mode=paper does as written).",
    "The first merge leaves one entry fewer than the budget.",
    "A place counted from the end can lie before the start of a short cache; it then counts from the end of the cache at "
      + "every step, and a cache that never was merged loses its first entry, both as the official code does.",
    "policy=local keeps the start and the latest entries; policy=h2o-elasticrepo is that repository's H2O: one score for "
      + "all layers, not moved when entries first go. The method of the H2O authors is h2o.",
    "A budget is a share of all tokens a layer received, or a number of entries.",
  ]

  public enum Policy: String, Sendable, CaseIterable {
    case elastic, local
    case h2o = "h2o-elasticrepo"
  }
  public enum Mode: String, Sendable, CaseIterable { case official, paper }

  let budget: Budget
  let policy: Policy, mode: Mode
  let start: Int, distance: Int

  /// Place of eviction of every layer, once it was merged.
  private var places: [Int: Int] = [:]
  /// h2o: scores by slot, and what was decided for all layers.
  private var scores: [Float] = [], decision: [Int]?

  /// - Parameters:
  ///   - keep: cache entries of all received (1 - ratio of the official code).
  ///   - start: first entries that always stay.
  ///   - distance: where decoding evicts: a slot, or from the end of the merged prompt when not positive.
  public init(
    keep: Budget, policy: Policy = .elastic, mode: Mode = .official, start: Int = 1, distance: Int = -25
  ) {
    budget = keep
    self.policy = policy
    self.mode = mode
    self.start = start
    self.distance = distance
  }

  public init(_ options: inout Options) throws(OptionError) {
    policy = try options.take("policy", default: Policy.elastic, "the method, or a baseline of its repository")
    mode = try options.take("mode", default: Mode.official, "elastic: the released code, or the paper's rule")
    start = try options.take("start", default: 1, in: 0...100_000, "first entries that always stay")
    distance = try options.take(
      "distance", default: -25, in: -100_000...100_000,
      "elastic: slot evicted while decoding; not positive: from the end of the merged prompt")
    budget = try options.budget("cache entries kept, of all a layer received") ?? .ratio(0.5)
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    _ = try model.oneAxis(for: Self.name)
    return try model.caches(
      for: Self.name, policy == .local ? nil : Request(attention: .all, summed: true),
      positions: PositionRule(cut: .original, decode: .cacheLength))
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    guard case .cache(let layer) = site else { return nil }
    let count = view.sequences[0].count
    let excess: Int
    switch budget {
    case .ratio(let ratio): excess = Int(Double(count) - Double(view.received) * ratio)
    case .tokens(let tokens): excess = count - tokens
    }
    switch policy {
    case .local:
      guard excess > 0, start + excess < count else { return nil }
      return [.keep(Array(0..<start) + Array((start + excess)..<count), of: count)]
    case .elastic: return try elastic(view, site, layer, excess, notes: &notes)
    case .h2o: return try h2o(view, layer, excess, notes: &notes).map { [.keep($0, of: count)] }
    }
  }

  /// Attention that every entry of a layer received, averaged over heads, added over queries.
  private func received(_ view: borrowing View, _ site: Site) throws(CompressionError) -> [Float] {
    let (recording, cache) = (view.recording(site), view.sequences[0])
    let attention = recording.attention!  // [heads, keys]
    let sum = attention.lineSum()
    return try recording.columns(of: cache).map { sum[$0] / Float(attention.rows) }
  }

  // MARK: Elastic

  private mutating func elastic(
    _ view: borrowing View, _ site: Site, _ layer: Int, _ excess: Int, notes: inout Notes
  ) throws(CompressionError) -> [Reduction]? {
    let count = view.sequences[0].count
    if view.step == 0 {
      let scores = try received(view, site)
      notes.keep("score", scores)
      if excess > 1 {
        let place = distance > 0 ? distance : count - excess + distance
        places[layer] = place
        notes.keep("place", [Float(place)])
        let reduction = Self.merge(scores: scores, excess: excess, start: start, mode: mode, notes: &notes)
        guard let reduction else { throw unreachable(count - excess, of: count) }
        return [reduction]
      }
    }
    if excess <= 0 { return nil }
    // Python's slices: a negative place counts from the end.
    let place = places[layer] ?? 0
    let slot = place < 0 ? max(0, count + place) : min(place, count - 1)
    return [.keep((0..<count).filter { $0 != slot }, of: count)]
  }

  private func unreachable(_ asked: Int, of count: Int) -> CompressionError {
    .unreachable(
      method: Self.name, asked: "\(asked) of \(count) cache entries", reachable: "more than start and last entry",
      fix: CompressionError.largerBudget)
  }

  /// The merge after the prompt: `excess` entries too many, by the attention that each received. nil: nothing would be
  /// left to merge into.
  public static func merge(
    scores: [Float], excess: Int, start: Int = 1, mode: Mode = .official, notes: inout Notes
  ) -> Reduction? {
    let count = scores.count
    guard count > start + 1 else { return nil }
    let candidates = Array(scores[start..<count - 1])
    let ascending = Array(topK(candidates.map { -$0 }, candidates.count))
    var kept: [Int] = []
    var thrown: [Int] = []
    switch mode {
    case .official:
      kept = ascending.indices.filter { ascending[$0] > excess }.map { $0 + start }
      thrown = ascending.indices.filter { ascending[$0] <= excess }
    case .paper:
      let left = Set(notes.top(candidates, max(0, candidates.count - excess - 1)))
      kept = candidates.indices.filter { left.contains($0) }.map { $0 + start }
      thrown = candidates.indices.filter { !left.contains($0) }.map { $0 + start }
    }
    guard !kept.isEmpty else { return nil }
    var rows = (Array(0..<start) + kept + [count - 1]).map { [Int32($0)] }
    for source in thrown {
      // Nearest kept entry, the earlier one on a tie.
      let target = kept.indices.min { (abs(kept[$0] - source), $0) < (abs(kept[$1] - source), $1) }!
      rows[start + target].append(Int32(source))
    }
    return Reduction(rows: rows, of: count, blend: .byCount)
  }

  // MARK: The repository's H2O

  /// Slots to keep, decided at the first cache of every step for all.
  private mutating func h2o(_ view: borrowing View, _ layer: Int, _ excess: Int, notes: inout Notes)
    throws(CompressionError) -> [Int]?
  {
    let layers = try view.shape.decoder(for: Self.name).cutCaches
    if layer > layers[0] { return decision }
    let count = view.sequences[0].count
    var mean = [Float](repeating: 0, count: count)
    for index in layers {
      let attention = view.recording(.cache(index)).attention!
      guard attention.width == count else {
        throw .unsupported(
          method: Self.name, found: "layers with \(count) and \(attention.width) cache entries",
          expected: "the same in all layers", fix: "Run it without a method that cuts inside the language model.")
      }
      let sum = attention.lineSum()
      for slot in 0..<count { mean[slot] += sum[slot] / Float(attention.rows) }
    }
    if scores.count < count { scores += [Float](repeating: 0, count: count - scores.count) }
    for slot in 0..<count { scores[slot] += mean[slot] / Float(layers.count) }
    if view.step == 0 { notes.keep("score", Array(scores[..<count])) }
    decision = nil
    if excess > 1 {
      let ascending = topK(scores[..<(count - 1)].map { -$0 }, count - 1)
      decision = ascending.indices.filter { ascending[$0] > excess } + [count - 1]
    } else if excess == 1 {
      let candidates = scores[start..<(count - 1)]
      guard let least = argmax(candidates.map { -$0 }) else { throw unreachable(count - 1, of: count) }
      scores.remove(at: start + least)
      decision = (0..<count).filter { $0 != start + least }
    }
    return decision
  }
}
