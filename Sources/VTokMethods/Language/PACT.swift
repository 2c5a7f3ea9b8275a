import VTokCore
import VTokLibC
import VTokTensor

/// PACT: before a layer of the language model the least of the visual tokens go, the others gather around centres that no
/// other centre is near, and tokens that went join a centre that they are near. Attention then counts what a row stands for.
///
/// Dhouib et al., "PACT: Pruning and Clustering-Based Token Reduction for Faster Visual Language Models", CVPR 2025
/// (arXiv 2504.08966); orailix/PACT.
public struct PACT: Compressor {
  public static let name = "pact"
  public static let summary =
    "prune by pooled attention, gather the rest around centres (PACT, CVPR 2025, arXiv 2504.08966)"
  public static let remarks = [
    "How many tokens stay depends on the image: there is no budget.",
    "Scores take keys before rotation, distances take them after; scores pool over all rows up to the last image row.",
    "Sizes and their logarithms are float32; the official code keeps them in half precision.",
    "Every image is pruned and gathered by itself.",
    "Checked against the official code's two kernels; there is no official run of a whole model to compare with.",
  ]

  public struct Rule: Sendable {
    /// Share of the tokens that pruning leaves, rounded down.
    public var keep = 0.55
    /// Distance, 1 less the cosine of keys, up to which a token is near a centre.
    public var cutoff: Float = 0.21
    /// Pruned tokens join a centre up to so many cutoffs away.
    public var retrieve: Float = 1.5
    public init() {}
  }

  let layer: CutLayer
  let rule: Rule

  /// - Parameter layer: counted from 0; the layers before it see everything.
  public init(layer: Int = 4, rule: Rule = Rule()) {
    self.layer = CutLayer(layer)
    self.rule = rule
  }

  public init(_ options: inout Options) throws(OptionError) {
    layer = try CutLayer(&options, default: 4, "on entering this layer, counted from 0; auto: one that has keys")
    var rule = Rule()
    rule.keep = try options.take(
      "ratio", default: 0.55, in: 0.0...1, "share of the tokens that pruning leaves (official: keep_ratio)")
    rule.cutoff = Float(
      try options.take("cutoff", default: 0.21, in: 0.0...2, "distance of keys up to which a token is near a centre"))
    rule.retrieve = Float(
      try options.take(
        "retrieve", default: 1.5, in: 0.0...1000, "cutoffs up to which pruned tokens join (official: coef_pruned)"))
    self.rule = rule
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    let request = Request(projections: true)
    let site = try layer.site(in: model, for: request, of: Self.name)
    return Plan(
      record: [site: request], act: [site],
      positions: PositionRule(cut: .original, decode: .next), decoderMassBias: true)
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let (tokens, decoder) = (view.sequences[0], view.shape.decoder!)
    let visual = view.visual(tokens)
    guard let last = visual.last else { return nil }
    let formed = view.recording(site).projections!
    let before = Array(0...last)
    let attention = Self.attention(
      formed.queries.gathered(before), formed.keys.gathered(before), heads: decoder.heads, kvHeads: decoder.kvHeads,
      notes: &notes)
    var members: [Int: [Int]] = [:]  // of every centre, itself first
    var gone = Set<Int>()
    for image in view.images.indices {
      let rows = view.visual(tokens, image: image)
      if rows.isEmpty { continue }
      let scores = zip(rows, Self.lengths(tokens.x, rows)).map { attention[$0] * $1 }
      let kept = notes.top(scores, Int(Double(rows.count) * rule.keep)).sorted()
      gone.formUnion(rows)
      if kept.isEmpty { continue }
      let isKept = Set(kept)
      let pruned = rows.indices.filter { !isKept.contains($0) }
      let all = kept + pruned
      let found = Self.cluster(
        formed.rotatedKeys.gathered(kept.map { rows[$0] }),
        pruned: formed.rotatedKeys.gathered(pruned.map { rows[$0] }),
        rule, notes: &notes)
      for group in found.groups { members[rows[all[group[0]]]] = group.map { rows[all[$0]] } }
    }
    let rows = (0..<tokens.count).filter { !gone.contains($0) || members[$0] != nil }
    return [
      Reduction(
        rows: rows.map { row in (members[row] ?? [row]).map { Int32($0) } }, of: tokens.count, blend: .byCount)
    ]
  }

  /// How much every row is attended to by the mean query of all, mean over heads.
  /// - Parameters:
  ///   - queries: before rotation. `[rows, heads * headDim]`
  ///   - keys: before rotation. `[rows, kvHeads * headDim]`
  public static func attention(_ queries: Tensor, _ keys: Tensor, heads: Int, kvHeads: Int, notes: inout Notes)
    -> [Float]
  {
    let (count, headDim) = (queries.rows, queries.width / heads)
    let mean = queries.mean(of: Array(0..<count))
    notes.book(macs: count * heads * headDim)
    var total = [Float](repeating: 0, count: count)
    for head in 0..<heads {
      let query = mean[head * headDim..<(head + 1) * headDim]
      let start = head * kvHeads / heads * headDim
      let logits: [Float] = (0..<count).map { row in
        var sum: Float = 0
        for (a, b) in zip(query, keys.row(row).dropFirst(start)) { sum += a * b }
        return sum / Float(headDim).squareRoot()
      }
      let top = logits.max()!
      let powers = logits.map { expf($0 - top) }
      let sum = powers.reduce(0, +)
      for row in 0..<count { total[row] += powers[row] / sum }
    }
    return total.map { $0 / Float(heads) }
  }

  /// Lengths of rows.
  public static func lengths(_ x: Tensor, _ rows: [Int]) -> [Float] {
    rows.map { row in Float(x.row(row).reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()) }
  }

  public struct Clusters: Sendable {
    /// Ascending.
    public let centres: [Int]
    /// The centre of every kept, then every pruned token; -1: none is near.
    public let labels: [Int]

    /// What gathers around every centre, itself first.
    var groups: [[Int]] {
      var groups = Dictionary(uniqueKeysWithValues: centres.map { ($0, [$0]) })
      for (token, centre) in labels.enumerated() where centre >= 0 && centre != token { groups[centre]!.append(token) }
      return centres.map { groups[$0]! }
    }

    /// Every centre's mean, of kept tokens with the pruned ones behind them.
    public func reduction(of count: Int) -> Reduction {
      Reduction(rows: groups.map { $0.map { Int32($0) } }, of: count, blend: .byCount)
    }
  }

  /// - Parameters:
  ///   - keys: of the kept tokens, after rotation, heads side by side. `[n, width]`
  ///   - pruned: those of the pruned ones.
  public static func cluster(_ keys: Tensor, pruned: Tensor, _ rule: Rule, notes: inout Notes) -> Clusters {
    let n = keys.rows
    let cosines = notes.cosines(keys)
    func distance(_ a: Int, _ b: Int) -> Float { a == b ? 0 : max(0, 1 - cosines.values[a * n + b]) }
    let density: [Float] = (0..<n).map { row in
      var sum: Float = 0
      for other in 0..<n {
        let half = distance(row, other) / 2
        sum += expf(-half * half)
      }
      return sum
    }
    var centres: [Int] = []
    for token in topK(density, n) {
      let nearest = centres.reduce(Float.infinity) { min($0, distance(token, $1)) }
      if nearest.isFinite { notes.book(margin: abs(nearest - rule.cutoff)) }
      if nearest > rule.cutoff { centres.append(token) }
    }
    centres.sort()
    func nearest(_ distances: [Float]) -> Int { notes.first(distances.map { -$0 }) }
    var labels = (0..<n).map { token in centres[nearest(centres.map { distance(token, $0) })] }
    guard pruned.rows > 0 else { return Clusters(centres: centres, labels: labels) }
    let across = notes.cosines(pruned, keys.gathered(centres))
    for row in 0..<pruned.rows {
      let distances = across.row(row).map { 1 - $0 }
      let best = nearest(distances)
      let limit = rule.cutoff * rule.retrieve
      notes.book(margin: abs(distances[best] - limit))
      labels.append(distances[best] <= limit ? centres[best] : -1)
    }
    return Clusters(centres: centres, labels: labels)
  }
}
