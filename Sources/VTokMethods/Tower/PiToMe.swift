import VTokCore
import VTokLibC
import VTokTensor

/// PiToMe: between attention and MLP of every block, tokens merge that lie in large groups of similar ones; those that
/// stand alone are protected.
///
/// Tran et al., "Accelerating Transformers with Spectrum-Preserving Token Merging", NeurIPS 2024 (arXiv 2405.16148);
/// hchautran/PiToMe. Similarity is that of the keys averaged over heads, as in ToMe.
public struct PiToMe: Compressor {
  public static let name = "pitome"
  public static let summary =
    "merge tokens of large groups first, by an energy score (PiToMe, NeurIPS 2024, arXiv 2405.16148)"
  public static let remarks = [
    "Attention is not weighted by token size: the official blocks never pass sizes, whatever their option says.",
    "Distillation and register tokens are never merged; the official code takes them for patches.",
    "ratio is of what is left, block by block, as published. A budget removes equally many tokens in every block.",
    "Rows leave in another order than the patches': unmerged or protected ones first, then those that others went to.",
  ]

  enum Amount: Sendable, Equatable {
    /// Share of its tokens that every block keeps.
    case ratio(Double)
    case budget(Budget)
  }

  let amount: Amount
  private var schedule = Solved<[Int]>()

  public init(ratio: Double) { amount = .ratio(ratio) }
  public init(keep: Budget) { amount = .budget(keep) }

  public init(_ options: inout Options) throws(OptionError) {
    let ratio = try options.amount(
      "ratio", in: 0.5...1, "share of its tokens that every block keeps (published: 0.9 to 0.975)")
    let budget = try options.budget("tokens left after the last block")
    amount = ratio.map { .ratio($0) } ?? .budget(budget ?? .ratio(0.5))
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    let tower = try model.tower(for: Self.name)
    if case .budget(let budget) = amount { _ = try Self.even(model.perTile(budget), tower.patches, tower.depth) }
    var plan = Plan(massBias: false)
    for block in 0..<tower.depth {
      plan.record[.block(block, .middle)] = Request(keys: true)
      plan.act.insert(.block(block, .middle))
    }
    return plan
  }

  private static func even(_ budget: Budget, _ patches: Int, _ depth: Int) throws(CompressionError) -> [Int] {
    try Schedule.even(
      keeping: budget, of: patches, blocks: Array(0..<depth), depth: depth, method: name
    ) { $0 / 2 }
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    guard case .block(let block, .middle) = site, let tower = view.shape.tower else { return nil }
    let depth = tower.depth
    var counts: [Int]?
    if case .budget(let budget) = amount {
      counts = try schedule(view) { () throws(CompressionError) in
        try Self.even(.tokens(view.perTile(budget)), view.sequences[0].rows(.patch).count, depth)
      }
    }
    var reductions: [Reduction] = []
    for (index, tokens) in view.sequences.enumerated() {
      let patches = tokens.rows(.patch)
      let r = counts?[block] ?? removed(of: patches.count)
      if r == 0 { return nil }
      let recording = view.recording(site, index)
      let columns = try recording.columns(of: tokens)
      let metric = ToMe.headMean(recording.keys!).gathered(columns)
      let margin = 0.75 - 0.75 * Float(block) / Float(tower.blocks)
      reductions.append(
        Self.merge(
          metric, removing: r, margin: margin, prefix: tokens.count - patches.count,
          isBipartite: block < (tower.blocks + 1) / 2, notes: &notes))
    }
    return reductions
  }

  package func removed(of count: Int) -> Int {
    guard case .ratio(let ratio) = amount else { return 0 }
    return Int((Double(count) - Double(count) * ratio).rounded(.down))
  }

  /// One merge of `metric` `[n, c]`, whose first `prefix` rows stay alone.
  /// - Parameters:
  ///   - r: tokens that go, at most half of the others.
  ///   - margin: similarity above which tokens count as close.
  ///   - isBipartite: every second token by energy may merge; else only the 2r of most energy take part, and the others are
  ///     protected.
  package static func merge(
    _ metric: Tensor, removing r: Int, margin: Float, prefix: Int, isBipartite: Bool, notes: inout Notes
  ) -> Reduction {
    let count = metric.rows
    let open = Array(prefix..<count)
    let similar = notes.cosines(metric.gathered(open))  // [open, open]
    let energy = open.indices.map { row in
      similar.row(row).reduce(Float(0)) { sum, value in
        let above = value - margin
        return sum + (above > 0 ? above : expf(above) - 1)
      } / Float(open.count)
    }
    let order = notes.top(energy, energy.count)
    let part = isBipartite ? order[...] : order.prefix(2 * r)
    let sources = part.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
    let targets = part.enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
    let best = sources.map { source in
      notes.first(targets.map { similar.row(source)[similar.row(source).startIndex + $0] })
    }
    let scores = zip(sources, best).map { source, target in similar.values[source * open.count + targets[target]] }
    let ranked = isBipartite ? notes.top(scores, r) + rest(scores, after: r) : Array(sources.indices)
    var rows = targets.map { [Int32(prefix + $0)] }
    for place in ranked.prefix(r) { rows[best[place]].append(Int32(prefix + sources[place])) }
    let unmerged = ranked.dropFirst(r).map { sources[$0] } + (isBipartite ? [] : Array(order.dropFirst(2 * r)))
    let alone = (0..<prefix).map { [Int32($0)] } + unmerged.map { [Int32(prefix + $0)] }
    return Reduction(rows: alone + rows, of: count, blend: .byMass)
  }

  /// Places of the scores behind the `k` largest, best first.
  private static func rest(_ scores: [Float], after k: Int) -> [Int] { Array(topK(scores, scores.count).dropFirst(k)) }
}
