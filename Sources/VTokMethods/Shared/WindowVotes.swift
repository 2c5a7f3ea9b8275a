import VTokCore
import VTokTensor

/// What the last rows of a prompt attend to, pooled over neighbours, head by head: SnapKV chooses by it, PyramidKV too.
struct WindowVotes: Sendable, Equatable {
  /// The last rows, which vote and stay.
  let window: Int
  /// Neighbours that are pooled, an odd number.
  let kernel: Int
  let pool: Pool
  let aggregate: GroupScore
  let granularity: Granularity

  enum Pool: String, Sendable, CaseIterable { case average, max }

  enum Granularity: String, Sendable, CaseIterable {
    /// One choice for every cached head.
    case cached = "kv-head"
    /// One for every query head, each with a cache of its own.
    case query = "query-head"
  }

  init(
    window: Int, kernel: Int, pool: Pool, aggregate: GroupScore = .mean, granularity: Granularity = .cached
  ) {
    self.window = window
    self.kernel = kernel
    self.pool = pool
    self.aggregate = aggregate
    self.granularity = granularity
  }

  init(_ options: inout Options) throws(OptionError) {
    window = try options.take("window", default: 32, in: 1...100_000, "last entries, which vote and stay")
    kernel = try options.take(
      "kernel", default: 5, in: 1...1001, "neighbours that votes are pooled over, an odd number")
    if kernel % 2 == 0 { throw options.invalid("kernel", "\(kernel)", "an odd number") }
    pool = try options.take("pool", default: Pool.average, "how votes are pooled")
    aggregate = try options.take(
      "aggregate", default: GroupScore.mean, "how the votes of query heads that share a cached head become one")
    granularity = try options.take(
      "granularity", default: Granularity.cached, "one choice for every cached head, or one cache for every query head")
  }

  func plan(for model: Shape, _ method: String) throws(CompressionError) -> Plan {
    try model.caches(for: method, Request(attention: .window(window), summed: true, inPrefill: true))
  }

  /// - Throws: where so many entries of a capacity do not hold the window and one more.
  func check(_ budget: Budget, _ method: String) throws(CompressionError) {
    if case .tokens(let capacity) = budget, capacity <= window { throw tooFew(capacity, method) }
  }

  private func tooFew(_ kept: Int, _ method: String) -> CompressionError {
    .unreachable(
      method: method, asked: "\(kept) cache entries of a layer", reachable: "more than the window of \(window)",
      fix: "Ask for more, or for a smaller window.")
  }

  /// The window, and of the entries before it those that got most votes; `kept` in all, of every head.
  func reductions(
    _ view: borrowing View, at site: Site, keeping kept: Int, _ method: String, notes: inout Notes
  ) throws(CompressionError) -> [Reduction] {
    let (count, decoder) = (view.sequences[0].count, try view.shape.decoder(for: method))
    if kept < window { throw tooFew(kept, method) }
    let heads = granularity == .query ? decoder.heads : decoder.kvHeads
    let votes = view.recording(site).attention!.grouped(heads, aggregate)
    let scores = votes.map { pooled($0[..<(count - window)]) }
    notes.keep("score", scores.flatMap { $0 })
    return scores.map { scores in
      Reduction.keep(notes.top(scores, kept - window).sorted() + Array(count - window..<count), of: count)
    }
  }

  /// Beyond the ends lie zeros for an average, nothing for a maximum.
  private func pooled(_ votes: ArraySlice<Float>) -> [Float] {
    let reach = kernel / 2
    return votes.indices.map { place in
      let near = votes[max(0, place - reach)...min(votes.count - 1, place + reach)]
      return pool == .max ? near.max()! : near.reduce(0, +) / Float(kernel)
    }
  }
}
