import VTokCore
import VTokTensor

/// Zero-TPrune: behind some blocks, tokens that others already stand for and tokens that nobody attends to are removed,
/// judged by the block's attention and keys alone.
///
/// Wang et al., "Zero-TPrune: Zero-Shot Token Pruning through Leveraging of the Attention Graph in Pre-Trained
/// Transformers", CVPR 2024 (arXiv 2305.17328). Three stages: I' ranks with one vote, S removes tokens similar to more
/// important ones, I ranks what is left by page rank and removes the least important.
public struct ZeroTPrune: Compressor {
  public static let name = "zero-tprune"
  public static let summary =
    "prune similar, then unimportant tokens by page rank over attention (Zero-TPrune, CVPR 2024, arXiv 2305.17328)"
  public static let remarks = [
    "No official code exists: the golden vectors come from our own reference of the published description.",
    "The paper's pruning schedules were never published; all schedules here, presets included, are ours.",
    "Head variance is taken on scores of mean 1, the only scale on which the published range 0.01 to 0.7 can hold.",
    "Without a class token the page rank starts uniform.",
  ]

  /// Where and how much is cut.
  enum Amount: Sendable, Equatable {
    case cuts([Cut], depth: Int?)
    /// Behind these blocks (nil: chosen by depth), with counts solved when the first image arrives.
    case budget(Budget, blocks: [Int]?, Iterations)
  }

  let amount: Amount
  let ranking: Ranking
  private var schedule = Solved<[Cut]>()

  public init(cuts: [Cut], ranking: Ranking = Ranking()) {
    amount = .cuts(cuts, depth: nil)
    self.ranking = ranking
  }

  public init(preset: Preset, ranking: Ranking = Ranking()) {
    amount = .cuts(preset.cuts, depth: Preset.depth)
    self.ranking = ranking
  }

  public init(keep: Budget, ranking: Ranking = Ranking()) {
    amount = .budget(keep, blocks: nil, .published)
    self.ranking = ranking
  }

  public init(_ options: inout Options) throws(OptionError) {
    amount = try Amount(&options)
    ranking = try Ranking(&options)
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    guard let tower = model.tower else {
      throw .unsupported(
        method: Self.name, found: "no vision tower", expected: "one", fix: CompressionError.anotherMethod)
    }
    let blocks: [Int]
    switch amount {
    case .cuts(let cuts, let depth):
      if let depth, depth != tower.depth {
        throw .unsupported(
          method: Self.name, found: "\(tower.depth) blocks", expected: "\(depth), for which the schedule was made",
          fix: "Give a budget instead of the schedule.")
      }
      blocks = cuts.map(\.block)
    case .budget(_, let given, _): blocks = given ?? Schedule.cutBlocks(of: tower.depth)
    }
    try amount.check(patches: tower.patches, depth: tower.depth) { model.perTile($0) }
    var plan = Plan()
    for block in blocks {
      plan.record[.block(block, .end)] = Request(attention: .all, keys: true)
      plan.act.insert(.block(block, .end))
    }
    return plan
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    guard case .block(let block, .end) = site, let tower = view.shape.tower else { return nil }
    let amount = amount
    let schedule = try self.schedule(view) { () throws(CompressionError) in
      try amount.cuts(patches: view.sequences[0].rows(.patch).count, depth: tower.depth) {
        .tokens(view.perTile($0))
      }
    }
    guard let cut = schedule.first(where: { $0.block == block }) else { return nil }
    var reductions: [Reduction] = []
    for (index, tokens) in view.sequences.enumerated() {
      let recording = view.recording(site, index)
      let columns = try recording.columns(of: tokens)
      var graph = AttentionGraph(recording.attention!)
      var keys = Self.sideBySide(recording.keys!)
      if columns.count < graph.count {
        // Another method cut between the attention and this site.
        graph = graph.restricted(to: columns, renormalised: ranking.renormalise)
        keys = keys.gathered(columns)
      }
      let prefix = tokens.kind.prefix { $0 != .patch }.count
      let found = try Self.prune(
        graph, keys: keys, prefix: prefix, hasClassifier: tokens.kind.first == .classifier, cut, ranking, notes: &notes)
      reductions.append(.keep(found.kept, of: tokens.count))
    }
    return reductions
  }

  /// Keys `[heads, n, headDim]` as one key per token. `[n, heads * headDim]`
  static func sideBySide(_ keys: Tensor) -> Tensor {
    let (heads, n, width) = (keys.shape[0], keys.shape[1], keys.shape[2])
    return Tensor(shape: [n, heads * width]) { out in
      keys.values.withUnsafeBufferPointer { source in
        for head in 0..<heads {
          for row in 0..<n {
            (out + (row * heads + head) * width).update(
              from: source.baseAddress! + (head * n + row) * width, count: width)
          }
        }
      }
    }
  }

  /// What one pruning layer found.
  public struct Pruned: Sendable {
    /// nil when the S-stage had nothing to do.
    public var similar: Similar?
    /// Importance of the patch tokens in I' (nil without an S-stage) and in I (nil when I keeps all).
    public var preliminary: HeadMixture?
    public var mixture: HeadMixture?
    /// Page rank `[heads, n]` of the I-stage on what the S-stage left.
    public var scores: Tensor?
    public var iterations = 0
    /// Rows that stay, ascending, prefix rows included.
    public var kept: [Int] = []
  }

  /// One pruning layer: stages I', S and I on the attention and the keys `[n, c]` of a block.
  public static func prune(
    _ graph: AttentionGraph, keys: Tensor, prefix: Int, hasClassifier: Bool, _ cut: Cut, _ ranking: Ranking,
    notes: inout Notes
  ) throws(CompressionError) -> Pruned {
    try cut.check(patches: graph.count - prefix)
    var found = Pruned(kept: Array(0..<graph.count))
    if cut.similar > 0 {
      let preliminary = importance(
        graph, prefix: prefix, hasClassifier: hasClassifier, iterations: 1, ranking, notes: &notes
      ).mixture
      let similar = similar(
        keys, importance: preliminary.importance, prefix: prefix, count: cut.similar, ranking, notes: &notes)
      let dropped = Set(similar.dropped)
      found.kept.removeAll { dropped.contains($0) }
      (found.preliminary, found.similar) = (preliminary, similar)
    }
    let left = found.kept.count - prefix
    let keep = cut.keep.tokens(of: left)
    if keep == left { return found }
    let rest = graph.restricted(to: found.kept, renormalised: ranking.renormalise)
    let (mixture, scores, used) = importance(
      rest, prefix: prefix, hasClassifier: hasClassifier, iterations: cut.iterations, ranking,
      epsilon: ranking.epsilon, notes: &notes)
    let best = notes.top(mixture.importance, keep).map { found.kept[$0 + prefix] }
    found.kept = Array(found.kept[..<prefix]) + best.sorted()
    (found.mixture, found.scores, found.iterations) = (mixture, scores, used)
    return found
  }
}
