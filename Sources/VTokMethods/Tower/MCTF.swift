import VTokCore
import VTokTensor

/// MCTF: in every block, tokens fuse that are similar, little attended to and small, both ways between two halves of them,
/// with the attention of the block to come.
///
/// Lee et al., "Multi-criteria Token Fusion with One-step-ahead Attention for Efficient Vision Transformers", CVPR 2024
/// (arXiv 2403.10030); mlvlab/MCTF.
public struct MCTF: Compressor {
  public static let name = "mctf"
  public static let summary =
    "fuse similar, unattended, small tokens one step ahead (MCTF, CVPR 2024, arXiv 2403.10030)"
  public static let remarks = [
    "ahead=carried, as published, fuses before a block and gives it the attention found then: columns added, rows averaged, "
      + "no second softmax. ahead=precise forms it anew; ahead=none fuses behind the block by its own attention.",
    "Published models are fine-tuned with it; here nothing is trained.",
    "r as published stops at floor tokens; a budget has no floor, and removes equally many tokens in every block.",
    "Distillation and register tokens fuse with none; the official code knows the class token alone.",
  ]

  /// When a block fuses.
  public enum Ahead: String, Sendable, CaseIterable { case carried, precise, none }
  /// What a fused row is averaged by.
  public enum Pooling: String, Sendable, CaseIterable { case importance, size, none }

  /// How tokens are matched and averaged.
  public struct Criteria: Sendable, Equatable {
    /// A criterion counts to the power of 1 / tau; 0: not at all.
    public var similarity: Float = 1, information: Float = 20, size: Float = 40
    public var bothWays = true
    public var pooling = Pooling.importance
    public init() {}
  }

  enum Amount: Sendable, Equatable {
    /// So many tokens a block, or a share of them below 1.
    case removed(Double)
    case budget(Budget)
  }

  let amount: Amount, blocks: [Int]?
  let ahead: Ahead
  let criteria: Criteria
  let proportional: Bool, floor: Int
  private var schedule = Solved<[Int]>()

  public init(
    r: Double, blocks: [Int]? = nil, ahead: Ahead = .carried, criteria: Criteria = Criteria(),
    proportionalAttention: Bool = true, floor: Int = 10
  ) {
    amount = .removed(r)
    self.blocks = blocks
    self.ahead = ahead
    self.criteria = criteria
    proportional = proportionalAttention
    self.floor = floor
  }

  public init(_ options: inout Options) throws(OptionError) {
    let r = try options.amount("r", in: 0...100_000, "tokens fused away per block, or a share below 1 (published: 16)")
    floor = try options.take("floor", default: 10, in: 2...100_000, "tokens that r leaves at least")
    let places = "numbers of blocks, ascending"
    let list = try options.list("blocks", places, "blocks that fuse, counted from 0 (default: all but the first)")
    if let list, zip([-1] + list, list).contains(where: { $0 >= $1 || $1 != $1.rounded() || $1 > 1000 }) {
      throw options.invalid("blocks", "\(list)", places)
    }
    blocks = list?.map { Int($0) }
    ahead = try options.take(
      "ahead", default: Ahead.carried, "fuse before a block, with the attention it then uses or not")
    var criteria = Criteria()
    func tau(_ key: String, _ value: Float, _ about: String) throws(OptionError) -> Float {
      Float(try options.take(key, default: Double(value), in: 0...1000, "1 over the power of \(about); 0: left out"))
    }
    criteria.similarity = try tau("similarity", criteria.similarity, "similarity")
    criteria.information = try tau("information", criteria.information, "how little a token is attended to")
    criteria.size = try tau("size", criteria.size, "how small a token is")
    criteria.bothWays = try options.take("both-ways", default: true, "fuse from either half into the other")
    criteria.pooling = try options.take("pooling", default: Pooling.importance, "what fused tokens are averaged by")
    self.criteria = criteria
    proportional = try options.take("prop-attn", default: true, "weigh keys by token size in attention")
    let budget = try options.budget("tokens left after the last block")
    amount = r.map { .removed($0) } ?? .budget(budget ?? .ratio(0.5))
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    let tower = try model.tower(for: Self.name)
    let places = blocks ?? Array(1..<max(2, tower.depth))
    if let last = places.last, last >= tower.depth {
      throw .unsupported(
        method: Self.name, found: "block \(last)", expected: "blocks 0 to \(tower.depth - 1)",
        fix: "Choose an earlier block.")
    }
    if case .budget(let budget) = amount { _ = try even(model.perTile(budget), tower.patches, tower.depth) }
    var plan = Plan(massBias: proportional)
    // Where all is kept, attention must not be formed twice.
    if amount == .budget(.ratio(1)) { return plan }
    for block in places {
      let site = self.site(of: block)
      plan.record[site] =
        ahead == .none ? Request(attention: .all) : Request(probe: .all, carriesProbe: ahead == .carried)
      plan.act.insert(site)
    }
    return plan
  }

  /// Where a block fuses.
  private func site(of block: Int) -> Site {
    ahead == .none ? .block(block, .end) : block == 0 ? .patches : .block(block - 1, .end)
  }

  private func block(at site: Site) -> Int? {
    switch site {
    case .patches: 0
    case .block(let block, .end): ahead == .none ? block : block + 1
    default: nil
    }
  }

  private func even(_ budget: Budget, _ patches: Int, _ depth: Int) throws(CompressionError) -> [Int] {
    try Schedule.even(
      keeping: budget, of: patches, blocks: blocks ?? Array(1..<max(2, depth)), depth: max(2, depth), method: Self.name
    ) { $0 / 2 }
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    guard let block = block(at: site), let tower = view.shape.tower else { return nil }
    var counts: [Int]?
    if case .budget(let budget) = amount {
      let (now, depth) = (self, tower.depth)
      counts = try schedule(view) { () throws(CompressionError) in
        try now.even(.tokens(view.perTile(budget)), view.sequences[0].rows(.patch).count, depth)
      }
    }
    var reductions: [Reduction] = []
    for (index, tokens) in view.sequences.enumerated() {
      let prefix = tokens.count - tokens.rows(.patch).count
      let r = counts?[block] ?? removed(of: tokens.count, prefix: prefix)
      if r <= 0 { return nil }
      let recording = view.recording(site, index)
      let columns = try recording.columns(of: tokens)
      let attention = (recording.probe ?? recording.attention!).taking(columns)
      let isSized = tokens.mass.contains { $0 != 1 }
      reductions.append(
        Self.fuse(
          tokens.x, attention: attention, size: isSized ? tokens.mass : nil, removing: r, prefix: prefix, criteria,
          notes: &notes))
    }
    return reductions
  }

  /// Tokens that go of `count`, as published.
  package func removed(of count: Int, prefix: Int) -> Int {
    guard case .removed(var r) = amount else { return 0 }
    if Double(count) - r < Double(floor) { r = Double(count - floor) }
    let whole = r < 1 ? Int(Double(count - prefix) * max(0, r)) : Int(r)
    return min(whole, (count - prefix) / 2)
  }
}
