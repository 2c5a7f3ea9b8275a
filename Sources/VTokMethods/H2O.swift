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
  public static let remarks = [
    "Grouped query attention is refused: the official code keeps one score per cached head.",
    "Entries go after the step in which they were seen, so the prefill's cache is dense for a moment.",
    "A budget is a share of the prompt (or a number of entries), half of it heavy hitters; the size then stays.",
  ]

  enum Amount: Sendable, Equatable {
    case sizes(heavy: Int, recent: Int)
    case budget(Budget)
  }

  let amount: Amount
  /// Attention gathered by every entry, by layer and head, in slot order.
  private var scores: [Int: [[Float]]] = [:]
  private var sizes: [Int: (heavy: Int, recent: Int)] = [:]

  public init(heavy: Int, recent: Int) { amount = .sizes(heavy: heavy, recent: recent) }
  public init(keep: Budget) { amount = .budget(keep) }

  public init(_ options: inout Options) throws(OptionError) {
    let heavy = try options.take("heavy", default: nil, in: 0...1_000_000, "heavy hitters of a head (hh_size)")
    let recent = try options.take("recent", default: nil, in: 1...1_000_000, "latest entries (recent_size)")
    let hasKeep = options.has("keep")
    let budget = try options.budget("cache entries kept, of the prompt")
    switch (heavy, recent) {
    case (let heavy?, let recent?):
      guard !hasKeep else { throw options.invalid("keep", "heavy too", "either keep or heavy and recent") }
      amount = .sizes(heavy: heavy, recent: recent)
    case (nil, nil): amount = .budget(budget ?? .ratio(0.5))
    default: throw options.invalid(heavy == nil ? "heavy" : "recent", "", "heavy and recent together")
    }
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    let decoder = try model.decoder(for: Self.name)
    guard decoder.heads == decoder.kvHeads else {
      throw .unsupported(
        method: Self.name, found: "\(decoder.heads) heads on \(decoder.kvHeads) cached ones",
        expected: "a cached head for every head", fix: "Use elastic-cache with this model.")
    }
    let sites = (0..<decoder.layers).map { Site.cache($0) }
    let request = Request(attention: .all, summed: true)
    return Plan(
      record: Dictionary(uniqueKeysWithValues: sites.map { ($0, request) }), act: Set(sites),
      positions: PositionRule(cut: .original, decode: .next))
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    guard case .cache(let layer) = site else { return nil }
    let heads = try view.shape.decoder(for: Self.name).kvHeads
    var gathered = scores[layer] ?? [[Float]](repeating: [], count: heads)
    let count = view.sequences[0].count
    let size = sizes[layer] ?? self.sizes(of: count)
    sizes[layer] = size
    for head in 0..<heads {
      // One recording for all heads until the cache has split.
      let isSplit = view.sequences.count > 1
      let attention = view.recording(site, isSplit ? head : 0).attention!  // [heads, keys]
      let line = Array(attention.row(isSplit ? 0 : head))
      gathered[head] = line.indices.map { $0 < gathered[head].count ? line[$0] + gathered[head][$0] : line[$0] }
    }
    var reductions: [Reduction]?
    if count > size.heavy + size.recent {
      reductions = (0..<heads).map { head in
        let latest = count - size.recent
        let kept = notes.top(Array(gathered[head][..<latest]), size.heavy).sorted() + Array(latest..<count)
        gathered[head] = kept.map { gathered[head][$0] }
        return .keep(kept, of: count)
      }
    }
    notes.keep("score", gathered.flatMap { $0 })
    scores[layer] = gathered
    return reductions
  }

  /// Heavy hitters and latest entries for a prompt of `count`.
  private func sizes(of count: Int) -> (heavy: Int, recent: Int) {
    switch amount {
    case .sizes(let heavy, let recent): return (heavy, recent)
    case .budget(let budget):
      let total = max(1, budget.tokens(of: count, .towardZero))
      return (total / 2, total - total / 2)
    }
  }
}
