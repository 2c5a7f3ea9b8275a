import VTokCore

/// StreamingLLM: the first few cache entries, on which attention rests, and the latest; what lies between goes after every
/// step. Positions are places in the cache.
///
/// Xiao et al., "Efficient Streaming Language Models with Attention Sinks", ICLR 2024 (arXiv 2309.17453);
/// mit-han-lab/streaming-llm. Cut once: Zefan-Cai/KVCache-Factory, and NVIDIA/kvpress for shares of a prompt.
public struct StreamingLLM: Compressor {
  public static let name = "streaming-llm"
  public static let summary =
    "keep the first and the latest cache entries (StreamingLLM, ICLR 2024, arXiv 2309.17453)"
  public static let counted = Counted.entries
  public static let remarks = [
    "What is kept does not depend on content: a picture in the middle of the prompt is lost as a whole. A baseline.",
    "A key is turned when its entry moves; the official code keeps keys unturned, which rounds otherwise (about 1e-6).",
    "The whole prompt is one pass, where the official evaluation feeds token by token and never sees more than the budget.",
    "mode=prefill cuts once and counts on at true positions (KVCache-Factory; with a share kvpress); rerotate=on numbers "
      + "what is left anew (kvpress' KeyRerotationPress). Three-axis positions (M-RoPE) know no places: mode=prefill only.",
  ]

  public enum Mode: String, Sendable, CaseIterable {
    /// After every step; rows stand at their places.
    case rolling
    /// Once, when the prompt has been read.
    case prefill
  }

  let mode: Mode
  let start: Int
  let amount: Amount
  /// prefill: whether rows are numbered by their places from then on.
  let rerotate: Bool
  /// Entries that a layer keeps, decided when the prompt has been read.
  private var sizes: [Int: Int] = [:]

  enum Amount: Sendable, Equatable {
    /// So many latest ones.
    case recent(Int)
    /// In all, the first ones included.
    case budget(Budget)
  }

  public init(_ options: inout Options) throws(OptionError) {
    mode = try options.take(
      "mode", default: Mode.rolling, "cut after every step, or once when the prompt has been read")
    start = try options.take("start", default: 4, in: 0...100_000, "first entries that always stay (attention sinks)")
    rerotate = try options.take("rerotate", default: false, "prefill: number what is left by its places")
    let recent = try options.take(
      "recent", default: nil, in: 1...10_000_000, as: .amount, "latest entries (default: 2000)")
    let budget = try options.budget("cache entries kept, of the prompt", published: true)
    amount = budget.map { .budget($0) } ?? .recent(recent ?? 2000)
    if rerotate, mode == .rolling { throw options.invalid("rerotate", "on", "mode=prefill with it") }
  }

  init(mode: Mode = .rolling, start: Int, amount: Amount, rerotate: Bool = false) {
    self.mode = mode
    self.start = start
    self.amount = amount
    self.rerotate = rerotate
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    if case .budget(.tokens(let tokens)) = amount { try check(tokens) }
    guard mode == .rolling || rerotate else { return try model.caches(for: Self.name) }
    _ = try model.oneAxis(for: Self.name)
    return try model.caches(for: Self.name, positions: PositionRule(cut: .slots, decode: .cacheLength))
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    guard case .cache(let layer) = site, view.step == 0 || mode == .rolling else { return nil }
    let count = view.sequences[0].count
    if sizes[layer] == nil { sizes[layer] = try size(of: count) }
    guard let size = sizes[layer], count > size else { return nil }
    return view.sequences.map { _ in .keep(Array(0..<start) + Array(count - (size - start)..<count), of: count) }
  }

  private func size(of count: Int) throws(CompressionError) -> Int {
    switch amount {
    case .recent(let recent): return start + recent
    case .budget(let budget):
      let size = budget.tokens(of: count, .towardZero)
      try check(size)
      return size
    }
  }

  private func check(_ size: Int) throws(CompressionError) {
    guard size <= start else { return }
    throw .unreachable(
      method: Self.name, asked: "\(size) cache entries", reachable: "more than the \(start) first ones",
      fix: CompressionError.largerBudget)
  }
}
