import VTokCore
import VTokTensor

/// Token Merging: between attention and MLP of every block, the `r` most similar pairs of tokens become one.
///
/// Bolya et al., "Token Merging: Your ViT But Faster", ICLR 2023 (arXiv 2210.09461); facebookresearch/ToMe.
/// Tokens at even places (A) look for their most similar token at odd places (B), by the keys averaged over heads; the
/// r best matches are merged as a mean weighted by how many patches each side stands for.
public struct ToMe: Compressor {
  public static let name = "tome"
  public static let summary = "merge the r most similar token pairs in every block (ToMe, ICLR 2023, arXiv 2210.09461)"
  public static let remarks = [
    "Without a class token the unmerged tokens stay in order of similarity, as in the official code.",
    "Layer scale is applied as the model does; the official patch leaves it out.",
    "Register tokens are never merged; the official code does not know them.",
    "A token whose key is zero is never merged; the official code gives NaN.",
  ]

  /// Tokens merged per block: fixed numbers, or solved for a budget when the first image arrives.
  enum Amount: Sendable, Equatable {
    case constant(Int, trend: Double)
    case list([Int])
    case budget(Budget)
  }

  let amount: Amount
  let proportional: Bool
  private var schedule = Solved<[Int]>()

  /// `r` tokens in every block; `trend` in -1...1 makes the schedule decrease (-1: from 2r to 0) or increase.
  public init(r: Int, trend: Double = 0, proportionalAttention: Bool = true) {
    amount = .constant(r, trend: trend)
    proportional = proportionalAttention
  }

  /// `schedule[l]` tokens in block l; blocks beyond the list merge nothing.
  public init(schedule: [Int], proportionalAttention: Bool = true) {
    amount = .list(schedule)
    proportional = proportionalAttention
  }

  /// Tokens are merged evenly in all blocks, until the budget is left.
  public init(keep: Budget, proportionalAttention: Bool = true) {
    amount = .budget(keep)
    proportional = proportionalAttention
  }

  public init(_ options: inout Options) throws(OptionError) {
    let numbers = try options.list(
      "r", "a whole number, or one per block as 8/8/4", as: .amount,
      "tokens merged per block (default: solved for the budget)")
    let trend = try options.take("trend", default: 0.0, in: -1...1, "-1: merge early, 0: evenly, 1: late")
    proportional = try options.take("prop-attn", default: true, "weigh keys by token size in attention")
    let budget = try options.budget("tokens left after the last block")
    if let numbers {
      guard numbers.allSatisfy({ $0 >= 0 && $0 == $0.rounded() && $0 < 1e6 }) else {
        throw options.invalid("r", "\(numbers)", "whole numbers of tokens")
      }
      amount = numbers.count == 1 ? .constant(Int(numbers[0]), trend: trend) : .list(numbers.map { Int($0) })
    } else {
      amount = .budget(budget ?? .ratio(0.5))
    }
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    let tower = try model.tower(for: Self.name)
    _ = try amount.schedule(tokens: tower.prefix + tower.patches, prefix: tower.prefix, blocks: tower.depth) {
      model.perTile($0)
    }
    var plan = Plan(massBias: proportional)
    for block in 0..<tower.depth where amount.canMerge(in: block, of: tower.depth) {
      plan.record[.block(block, .middle)] = Request(keys: true)
      plan.act.insert(.block(block, .middle))
    }
    return plan
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    guard case .block(let block, .middle) = site, let tower = view.shape.tower else { return nil }
    let prefix = view.sequences[0].kind.prefix { $0 != .patch }.count
    let amount = amount
    let schedule = try self.schedule(view) { () throws(CompressionError) in
      try amount.schedule(tokens: view.sequences[0].count, prefix: prefix, blocks: tower.depth) {
        .tokens(view.perTile($0))
      }
    }
    let r = schedule[block]
    if r == 0 { return nil }
    var reductions: [Reduction] = []
    for (index, tokens) in view.sequences.enumerated() {
      let recording = view.recording(site, index)
      // Another method may have acted here since the keys were recorded.
      let columns = try recording.columns(of: tokens)
      let metric = Self.headMean(recording.keys!)
      let matching = Self.match(
        columns.count < metric.rows ? metric.gathered(columns) : metric, r: r, prefix: prefix, notes: &notes)
      reductions.append(matching.reduction(of: tokens.count))
    }
    return reductions
  }

  /// Keys `[heads, n, headDim]` averaged over heads. `[n, headDim]`
  static func headMean(_ keys: Tensor) -> Tensor {
    let heads = keys.shape[0]
    return Tensor(
      keys.reshaped([heads, keys.values.count / heads]).mean(of: Array(0..<heads)), shape: Array(keys.shape.dropFirst())
    )
  }

  // MARK: Matching

  /// Which tokens merge. Indices count inside set A (tokens 0, 2, 4, ...) and set B (tokens 1, 3, 5, ...).
  public struct Matching: Sendable, Equatable {
    /// Members of A that stay, in output order.
    public let unmerged: [Int]
    /// Members of A that are merged, best match first, and the member of B each goes to.
    public let sources: [Int], destinations: [Int]
    let prefix: Int

    /// Output rows: prefix tokens in their order, the rest of A, the rest of B; a destination comes before its sources.
    public func reduction(of count: Int) -> Reduction {
      var rows = (0..<count / 2).map { [Int32(2 * $0 + 1)] }
      for (source, destination) in zip(sources, destinations) { rows[destination].append(Int32(2 * source)) }
      let stay = unmerged.map { [Int32(2 * $0)] }
      let prefixA = (prefix + 1) / 2
      let prefixB = prefix / 2
      var order: [[Int32]] = []
      for index in 0..<prefix { order.append(index % 2 == 0 ? stay[index / 2] : rows[index / 2]) }
      order += stay[prefixA...]
      order += rows[prefixB...]
      return Reduction(rows: order, of: count, blend: .byMass)
    }
  }

  /// Bipartite soft matching of `metric` `[n, c]`. The first `prefix` tokens neither merge nor are merged into; `r` is
  /// clamped to half of the others, as in the official code. O(n²c / 4).
  public static func match(_ metric: Tensor, r: Int, prefix: Int, notes: inout Notes) -> Matching {
    let n = metric.rows
    let even = stride(from: 0, to: n, by: 2).map { $0 }
    let odd = stride(from: 1, to: n, by: 2).map { $0 }
    let unit = notes.normalised(metric)
    let scores = notes.product(unit.gathered(even), unit.gathered(odd))  // [A, B]
    func merges(_ token: Int) -> Bool { token >= prefix && unit.row(token).contains { $0 != 0 } }
    let open = odd.indices.filter { merges(odd[$0]) }
    var best = [Float](repeating: -.infinity, count: even.count)
    var destination = [Int](repeating: 0, count: even.count)
    for a in even.indices where merges(even[a]) {
      for b in open where scores.values[a * odd.count + b] > best[a] {
        best[a] = scores.values[a * odd.count + b]
        destination[a] = b
      }
    }
    let possible = best.count { $0 > -.infinity }
    let merged = max(0, min(r, (n - prefix) / 2, possible))
    let order = topK(best, best.count)
    if merged > 0, merged < possible { notes.book(margin: best[order[merged - 1]] - best[order[merged]]) }
    let left = Array(order[merged...])
    return Matching(
      unmerged: prefix > 0 ? left.sorted() : left, sources: Array(order[..<merged]),
      destinations: order[..<merged].map { destination[$0] }, prefix: prefix)
  }

  /// The `kth` variant: the last of every `k` tokens is a destination, all others merge into their most similar one; a
  /// tail shorter than k is dropped. Row j of the result stands for destination j. It has no place for a class token,
  /// so no option offers it; a golden case calls it.
  package static func matchEveryKth(_ metric: Tensor, k: Int, notes: inout Notes) -> (
    destinations: [Int], reduction: Reduction
  ) {
    precondition(k >= 2)
    let groups = metric.rows / k
    let sources = (0..<groups * k).filter { $0 % k != k - 1 }
    let targets = (0..<groups).map { $0 * k + k - 1 }
    let scores = notes.cosines(metric.gathered(sources), metric.gathered(targets))
    let destinations = sources.indices.map { argmax(scores.row($0)) ?? 0 }
    var rows = targets.map { [Int32($0)] }
    for (source, destination) in zip(sources, destinations) { rows[destination].append(Int32(source)) }
    return (destinations, Reduction(rows: rows, of: metric.rows, blend: .byMass))
  }
}

extension ToMe.Amount {
  func canMerge(in block: Int, of blocks: Int) -> Bool {
    switch self {
    case .budget: true
    case .constant, .list: fixed(blocks: blocks)[block] > 0
    }
  }

  /// Section 3 of the official README: (r, t) runs linearly from r(1 - t) to r(1 + t), truncated block by block.
  private func fixed(blocks: Int) -> [Int] {
    switch self {
    case .constant(let r, let trend):
      let low = Int(Double(r) * (1 - trend))
      let high = 2 * r - low
      let step = blocks > 1 ? Double(high - low) / Double(blocks - 1) : 0
      return (0..<blocks).map { Int(Double(low) + step * Double($0)) }
    case .list(let list): return Array((list + [Int](repeating: 0, count: blocks)).prefix(blocks))
    case .budget: return []
    }
  }

  /// - Parameter share: what of a budget a tile has.
  func schedule(tokens: Int, prefix: Int, blocks: Int, share: (Budget) -> Budget) throws(CompressionError) -> [Int] {
    guard case .budget(let budget) = self else { return fixed(blocks: blocks) }
    return try Schedule.even(
      keeping: share(budget), of: tokens - prefix, blocks: Array(0..<blocks), depth: blocks, method: ToMe.name
    ) { $0 / 2 }
  }
}
