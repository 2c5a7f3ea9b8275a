import VTokCore
import VTokLibC
import VTokTensor

/// Token-level correlation-guided compression: per tile, outliers of late class attention, and of early class attention
/// as many tokens as the tile has that do not repeat each other.
///
/// Zhang et al., "Token-level Correlation-guided Compression for Efficient Multimodal Document Understanding"
/// (arXiv 2407.14439); JiuTian-VL/TokenCorrCompressor holds no code.
public struct TokenCorr: Compressor {
  public static let name = "token-corr"
  public static let summary =
    "keep attention outliers and as many tokens as do not repeat (token correlation, arXiv 2407.14439)"
  public static let remarks = [
    "Experimental: no official code exists. Steps follow the figure and the abstract, constants are ours, golden vectors "
      + "come from our own reference. Do not compare with published numbers.",
    "Local tokens are the highest by early class attention; the paper samples (sample=seeded does).",
    "How many tokens stay depends on the image: there is no budget.",
  ]

  public enum Sample: String, Sendable, CaseIterable { case top, seeded }

  public struct Rule: Sendable {
    /// Two tokens repeat each other above this cosine; a token that does so with a share `repeats` is redundant.
    public var similarity: Float = 0.8, repeats = 0.05
    /// Late attention above the third quartile by so many quartile distances is an outlier.
    public var spread: Float = 1.5
    public init() {}
  }

  public var isStochastic: Bool { sample == .seeded }

  let rule: Rule
  let sample: Sample
  let low: Int?, deep: Int?

  public init(rule: Rule = Rule(), sample: Sample = .top, low: Int? = nil, deep: Int? = nil) {
    self.rule = rule
    self.sample = sample
    self.low = low
    self.deep = deep
  }

  public init(_ options: inout Options) throws(OptionError) {
    var rule = Rule()
    rule.similarity = Float(
      try options.take("similarity", default: 0.8, in: -1...1, "cosine of keys above which two tokens repeat"))
    rule.repeats = try options.take(
      "repeats", default: 0.05, in: 0...1, "share of a tile that a redundant token repeats at least")
    rule.spread = Float(
      try options.take("spread", default: 1.5, in: 0...100, "quartile distances above which attention is an outlier"))
    self.rule = rule
    sample = try options.take("sample", default: Sample.top, "the best local tokens, or drawn by attention (seeded)")
    low = try options.take(
      "low", default: nil, in: 0...1000, "block of early attention and keys (default: a quarter of the depth)")
    deep = try options.take("deep", default: nil, in: 0...1000, "block of late attention (default: of the features)")
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    let tower = try model.classifierTower(for: Self.name)
    let (low, deep) = sites(in: tower)
    var plan = Plan(record: [deep: Request(attention: .classifier)], act: [.features])
    plan.record[low] = Request(attention: .classifier, keys: true)
    return plan
  }

  private func sites(in tower: Shape.Tower) -> (low: Site, deep: Site) {
    (.block(low ?? max(0, tower.blocks / 4 - 1), .end), .block(deep ?? tower.featureBlock, .end))
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let (low, deep) = sites(in: view.shape.tower!)
    var reductions: [Reduction] = []
    for (index, tokens) in view.sequences.enumerated() {
      let (early, late) = (view.recording(low, index), view.recording(deep, index))
      let patches = tokens.rows(.patch)
      let columns = try early.columns(of: tokens)
      let keys = ZeroTPrune.sideBySide(early.keys!).gathered(patches.map { columns[$0] })
      let heads = Float(early.attention!.shape[0])
      let found = Self.select(
        keys: keys, low: try early.summed(early.attention!, at: patches, of: tokens).map { $0 / heads },
        deep: try late.summed(late.attention!, at: patches, of: tokens).map { $0 / heads }, rule, sample,
        seed: view.seed &+ UInt64(index), notes: &notes)
      // A language model gets patches only; a plain ViT needs its class token.
      let prefix = view.shape.layout == nil ? tokens.id.indices.filter { tokens.kind[$0] != .patch } : []
      reductions.append(.keep(prefix + found.kept.map { patches[$0] }, of: tokens.count))
    }
    return reductions
  }

  public struct Selection: Sendable {
    /// How many others every token repeats, and whether that makes it redundant.
    public let repeats: [Int], redundant: [Bool]
    /// Share of tokens that are not redundant.
    public let density: Float
    public let local: [Int], global: [Int], kept: [Int]
  }

  /// Keys `[n, width]` with all heads side by side, class attention `[n]` of the early and the late block.
  public static func select(
    keys: Tensor, low: [Float], deep: [Float], _ rule: Rule = Rule(), _ sample: Sample = .top, seed: UInt64 = 0,
    notes: inout Notes
  ) -> Selection {
    let n = keys.rows
    let cosines = notes.cosines(keys)
    let repeats = (0..<n).map { row in
      cosines.row(row).enumerated().count { $0.offset != row && $0.element > rule.similarity }
    }
    let limit = max(1, Int((rule.repeats * Double(n)).rounded(.up)))
    let redundant = repeats.map { $0 >= limit }
    let density = 1 - Float(redundant.count { $0 }) / Float(n)
    let wanted = min(max(Int(density * Float(n) + 0.5), 1), n)
    var scores = low
    if sample == .seeded {
      // Without replacement, in proportion to attention (Efraimidis and Spirakis): the largest u^(1/p).
      var generator = SeededGenerator(seed: seed)
      scores = low.map { logf(generator.uniform() + 0x1p-25) / max($0, .leastNormalMagnitude) }
    }
    let local = notes.top(scores, wanted).sorted()
    let ordered = deep.sorted()
    let (q1, q3) = (quantile(ordered, 0.25), quantile(ordered, 0.75))
    let isBelow = notes.below(deep.map { -$0 }, -(q3 + rule.spread * (q3 - q1)))
    let global = isBelow.indices.filter { isBelow[$0] }
    return Selection(
      repeats: repeats, redundant: redundant, density: density, local: local, global: global,
      kept: Set(local + global).sorted())
  }
}
