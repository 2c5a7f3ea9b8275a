import VTokCore
import VTokLibC
import VTokTensor

/// MMTok: tokens chosen one by one for how much they cover of what the question's words and the image's own features
/// attend to.
///
/// Dong et al., "MMTok: Multimodal Coverage Maximization for Efficient Inference of VLMs", ICLR 2026 (arXiv 2508.18264);
/// Ironieser/MMTok.
public struct MMTok: Compressor {
  public static let name = "mmtok"
  public static let summary =
    "keep what covers the question's words and the image (MMTok, ICLR 2026, arXiv 2508.18264)"
  public static let remarks = [
    "Reads the question: its words are rows of the language model's embedding table, not hidden states.",
    "LLaVA: short English words and the sentences that ask for short answers are left out of the question (keywords=on); "
      + "Qwen-VL reads it whole, with \"Question: \" before it.",
    "LLaVA-1.5 with a picture padded to a square: patches that lie wholly in the padding are no candidates.",
    "LLaVA-NeXT: every tile keeps equally many tokens, padding is not cut, and a newline ends images of one tile alone.",
    "Qwen-VL with ratio: images of at most 64 tokens stay whole, as in the official code; a budget holds for all.",
  ]
  public static let rounding: String? =
    "a tile has no more than its patches outside the padding, and no newlines are placed"

  enum Amount: Sendable, Equatable {
    /// Official for Qwen-VL: of the merged tokens, rounded down.
    case ratio(Double)
    case tiles(TileAmount)
  }

  /// Weight of the image's own features, what cosines are divided by for words and for features, and whether words are
  /// filtered; nil: as published for the model.
  public struct Coverage: Sendable {
    public var alpha: Float = 0.5
    public var words: Float?, features: Float = 0.2
    public var filters: Bool?
    public init() {}
  }

  let amount: Amount
  let coverage: Coverage

  public init(_ amount: TileAmount, _ coverage: Coverage = Coverage()) {
    self.amount = .tiles(amount)
    self.coverage = coverage
  }

  /// - Parameter ratio: of the tokens of an image, rounded down.
  public init(ratio: Double, _ coverage: Coverage = Coverage()) {
    (amount, self.coverage) = (.ratio(ratio), coverage)
  }

  public enum Keywords: String, Sendable, CaseIterable { case auto, on, off }

  public init(_ options: inout Options) throws(OptionError) {
    var coverage = Coverage()
    coverage.alpha = Float(try options.take("alpha", default: 0.5, in: 0...1000, "weight of the image's own features"))
    let text = try options.number(
      "words", in: 0.0001...1000, "what cosines to words are divided by (default: 0.02; Qwen-VL 0.01)")
    coverage.words = text.map { Float($0) }
    coverage.features = Float(
      try options.take("features", default: 0.2, in: 0.0001...1000, "what cosines of features are divided by"))
    let keywords = try options.take(
      "keywords", default: Keywords.auto, "whether small words are left out; auto: as published for the model")
    coverage.filters = keywords == .auto ? nil : keywords == .on
    self.coverage = coverage
    let ratio = try options.amount(
      "ratio", in: 0...1, "share of an image's tokens, rounded down (official for Qwen-VL)")
    let tiles = try options.tileAmount("per-tile", official: "target_vision_tokens") { .perTile($0) }
    amount = ratio.map { .ratio($0) } ?? .tiles(tiles)
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    let (tower, isMerged) = try model.patchesOrMerged(for: Self.name)
    if !isMerged { try model.packs(for: Self.name) }
    if case .tiles(let amount) = amount { try amount.check(tower, for: Self.name) }
    return Plan(
      record: [.features: Request(tokens: true), .pack: Request(words: true)], act: [.pack], readsQuestion: true)
  }

  public func words(of question: String, for model: Shape) -> [String] {
    let isMerged = (model.tower?.fuse ?? 1) > 1
    let text = coverage.filters ?? !isMerged ? Self.keywords(of: question) : (isMerged ? "Question: " : "") + question
    return text.split(whereSeparator: \.isWhitespace).map(String.init)
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    guard let words = view.words else {
      throw .unsupported(method: Self.name, found: "no question", expected: "one", fix: "Ask something.")
    }
    guard let counts = try counts(view) else { return nil }
    let tiles = Tiles(view)
    let isMerged = view.shape.tower!.fuse > 1
    let padding = isMerged ? [] : Self.padding(view)
    let temperature = coverage.words ?? (isMerged ? 0.01 : 0.02)
    var (kept, chosen): ([[Int]], [Float]) = ([], [])
    for (tile, tokens) in view.sequences.enumerated() {
      let patches = tokens.rows(.patch)
      let before = view.recording(.features, tile).tokens!
      let members = try view.members(of: patches, of: tokens, among: before)
      let features = Tensor(members.flatMap { before.x.mean(of: $0) }, shape: [patches.count, before.x.width])
      let excluded = Set(patches.indices.filter { padding.contains(tiles.cell(patches[$0], of: tokens)) })
      let order = Self.select(
        tokens.x.gathered(patches), features, words, keep: min(counts[tile], patches.count - excluded.count),
        excluded: excluded, coverage, temperature: temperature, notes: &notes)
      kept.append(order.sorted().map { patches[$0] })
      chosen += order.map { Float($0) }
    }
    notes.keep("selected", chosen)
    let newline = tiles.grid == nil ? view.newline.map { [Int($0)] } ?? [] : []
    return [.keep(tiles.inOrder(kept, of: view) + newline, of: tiles.count)]
  }

  /// Tokens kept of every tile; nil: all stay.
  private func counts(_ view: borrowing View) throws(CompressionError) -> [Int]? {
    switch amount {
    case .tiles(let amount): return try amount.counts(view, for: Self.name)
    case .ratio(let ratio):
      let counts = view.sequences.map { $0.rows(.patch).count }
      let isSmall = view.shape.tower!.fuse > 1 && counts[0] <= 64
      return isSmall ? nil : counts.map { max(1, Int(ratio * Double($0))) }
    }
  }

  /// `keep` tokens in the order chosen. O(n² width + keep n (n + words)).
  /// - Parameters:
  ///   - projected: rows behind the connector. `[n, width]`
  ///   - features: the same before it. `[n, width']`
  ///   - words: rows of the embedding table. `[m, width]`
  public static func select(
    _ projected: Tensor, _ features: Tensor, _ words: Tensor, keep: Int, excluded: Set<Int> = [], _ coverage: Coverage,
    temperature: Float, notes: inout Notes
  ) -> [Int] {
    let n = projected.rows
    var shares: [Float] = []  // of words, then of features, a line each
    if words.rows > 0 {
      shares += Self.shares(notes.cosines(words, projected), over: temperature, times: 1 / Float(words.rows))
    }
    shares += Self.shares(notes.cosines(features), over: coverage.features, times: coverage.alpha / Float(n))
    let lines = shares.count / n
    notes.book(macs: keep * lines * n)
    var covered = [Float](repeating: 0, count: lines)
    var isOut = (0..<n).map { excluded.contains($0) }
    var chosen: [Int] = []
    while chosen.count < keep {
      var gains = [Float](repeating: 0, count: n)
      shares.withUnsafeBufferPointer { shares in
        for line in 0..<lines {
          let level = covered[line]
          for token in 0..<n { gains[token] += max(0, shares[line * n + token] - level) }
        }
      }
      let best = notes.first(gains.indices.map { isOut[$0] ? -.infinity : gains[$0] })
      isOut[best] = true
      chosen.append(best)
      for line in 0..<lines { covered[line] = max(covered[line], shares[line * n + best]) }
    }
    return chosen
  }

  /// The softmax of every line of cosines over a temperature, times a factor.
  private static func shares(_ cosines: Tensor, over temperature: Float, times factor: Float) -> [Float] {
    (0..<cosines.rows).flatMap { row in
      let logits = cosines.row(row).map { $0 / temperature }
      let top = logits.max()!
      let powers = logits.map { expf($0 - top) }
      let total = powers.reduce(0, +)
      return powers.map { $0 / total * factor }
    }
  }
}
