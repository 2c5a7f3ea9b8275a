import VTokCore
import VTokLibC
import VTokTensor

/// LLaVA-PruMerge: outliers of the class token's attention stay, each with what its nearest neighbours by key add to it, and
/// one token more holds all the rest. PruMerge+ adds tokens at even distances.
///
/// Shang et al., "LLaVA-PruMerge: Adaptive Token Reduction for Efficient Large Multimodal Models", ICCV 2025
/// (arXiv 2403.15388); 42Shawn/LLaVA-PruMerge.
public struct PruMerge: Compressor {
  public static let name = "prumerge"
  public static let summary =
    "keep attention outliers, add their neighbours and the rest (LLaVA-PruMerge, ICCV 2025, arXiv 2403.15388)"
  public static let remarks = [
    "version=plus is PruMerge+, with tokens at even distances beside the outliers.",
    "Without an amount the image decides how many tokens stay (outliers by quartiles), as published.",
    "A kept token is itself plus the sum of its neighbours weighted by their attention, and one more token sums up all "
      + "the rest; the paper has weighted means.",
    "Attention and keys are those of the block after the features, with one head of the tower's whole width.",
    "Rows come by falling attention, then the even ones, then the sum of the rest: not by position.",
    "A patch may feed several rows: weights of origins are attention, and do not sum to 1.",
    "version=plus with an amount leaves out what is kept already; the official code keeps it twice.",
  ]
  public static let rounding: String? =
    "one row holds the rest; with version=plus the even distances follow from how many outliers are kept"

  public enum Version: String, Sendable, CaseIterable { case base, plus }

  public enum Amount: Sendable, Equatable {
    /// As many outliers as the image has.
    case adaptive
    /// Of the patches, rounded down: kept beside the even ones and the rest.
    case ratio(Double)
    case budget(Budget)
  }

  let amount: Amount
  let version: Version
  /// Patches that a kept token gathers.
  let neighbours: Int

  public init(_ amount: Amount = .adaptive, version: Version = .base, neighbours: Int = 32) {
    self.amount = amount
    self.version = version
    self.neighbours = neighbours
  }

  public init(_ options: inout Options) throws(OptionError) {
    version = try options.take(
      "version", default: Version.base, "outliers alone, or with tokens at even distances (plus)")
    neighbours = try options.take(
      "neighbours", default: 32, in: 0...100_000, "patches that a kept token gathers, where there are as many")
    let ratio = try options.amount("ratio", in: 0...1, "share of the patches kept (official: reduction_ratio)")
    let budget = try options.budget("rows left, the one for the rest among them", published: true)
    amount = ratio.map { .ratio($0) } ?? budget.map { .budget($0) } ?? .adaptive
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    let block = try model.probedBlock(for: Self.name)
    guard model.layout?.tiling == .one else {
      throw .unsupported(
        method: Self.name, found: model.layout == nil ? "no connector" : "images of several tiles",
        expected: "images of one tile (LLaVA-1.5)", fix: CompressionError.anotherMethod)
    }
    return Plan(
      record: [.block(block, .end): Request(probe: .classifier, values: .logits, probeKeys: true)], act: [.features])
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let site = Site.block(view.shape.tower!.featureBlock, .end)
    var attention: [[Float]] = []
    for (tile, tokens) in view.sequences.enumerated() {
      let recording = view.recording(site, tile)
      attention.append(Self.attention(recording.probe!, at: try recording.columns(of: tokens), tokens.rows(.patch)))
    }
    guard let share = try share(attention, view, notes: &notes) else { return nil }
    notes.keep("attention", attention.flatMap { $0 })
    var (reductions, order): ([Reduction], [Float]) = ([], [])
    for (tile, tokens) in view.sequences.enumerated() {
      let recording = view.recording(site, tile)
      let patches = tokens.rows(.patch)
      let kept = try self.kept(attention[tile], share: share, notes: &notes)
      let columns = try recording.columns(of: tokens)
      let keys = ZeroTPrune.sideBySide(recording.probeKeys!).gathered(patches.map { columns[$0] })
      reductions.append(merge(kept, attention[tile], keys, patches, of: tokens.count, notes: &notes))
      order += kept.map { Float($0) }
    }
    notes.keep("kept", order)
    return reductions
  }

  /// The class token's attention with one head of the whole width, from the logits of its heads; at patches.
  private static func attention(_ logits: Tensor, at columns: [Int], _ patches: [Int]) -> [Float] {
    let heads = Float(logits.shape[0])
    let joined = logits.lineSum().map { $0 / heads.squareRoot() }
    let all = columns.map { joined[$0] }
    let top = all.max() ?? 0
    let powers = all.map { expf($0 - top) }
    let total = powers.reduce(0, +)
    return patches.map { powers[$0] / total }
  }

  /// Share of the patches kept for their attention; nil: the image stays as it is. All tiles of a view together decide.
  private func share(_ attention: [[Float]], _ view: borrowing View, notes: inout Notes) throws(CompressionError)
    -> Double?
  {
    let count = attention[0].count
    switch amount {
    case .ratio(let ratio): return ratio
    case .adaptive:
      let all = attention.flatMap { $0 }
      let sorted = all.sorted()
      let (q1, q3) = (quantile(sorted, 0.25), quantile(sorted, 0.75))
      let outliers = notes.below(all.map { -$0 }, -(q3 + 1.5 * (q3 - q1))).count { $0 }
      return Double(outliers) / Double(all.count)
    case .budget(let budget):
      let (wanted, whole) = (view.wanted(budget), view.whole)
      if wanted == whole { return nil }
      // Of two as near the one that keeps fewer. A little more than k / n, so that rounding down gives k again.
      let best = (0...count).min { a, b in
        abs(left(of: attention[0], a) - wanted) < abs(left(of: attention[0], b) - wanted)
      }
      return best.map { Double($0) / Double(count) }
    }
  }

  /// Rows left when so many patches are kept for their attention.
  private func left(of attention: [Float], _ count: Int) -> Int {
    guard version == .plus, count > 0 else { return version == .plus ? 0 : count + (count < attention.count ? 1 : 0) }
    let top = topK(attention, count)
    let kept = count + Self.samples(attention.count, ratio: Double(count) / Double(attention.count), without: top).count
    return kept + (kept < attention.count ? 1 : 0)
  }

  /// Patches kept, in the order of their rows.
  private func kept(_ attention: [Float], share: Double, notes: inout Notes) throws(CompressionError) -> [Int] {
    let top = notes.top(attention, min(Int(Double(attention.count) * share), attention.count))
    guard version == .plus else { return top }
    guard share > 0 else {
      throw .unreachable(
        method: Self.name, asked: "tokens at even distances beside outliers of attention",
        reachable: "no outlier in this image", fix: "Use version=base, or give a ratio.")
    }
    return top + Self.samples(attention.count, ratio: share, without: top)
  }

  /// Patches at even distances that are not among `kept`; the last patch never is one.
  private static func samples(_ count: Int, ratio: Double, without kept: [Int]) -> [Int] {
    let stride = max(1, Int(1 / ratio) / 3)
    let kept = Set(kept)
    return Swift.stride(from: 0, to: count - 1, by: stride).filter { !kept.contains($0) }
  }

  /// Every kept patch with its neighbours by key, then all the rest in one row.
  /// - Parameters:
  ///   - keys: of the patches. `[n, width]`
  ///   - patches: the rows of the sequence that they are.
  private func merge(
    _ kept: [Int], _ attention: [Float], _ keys: Tensor, _ patches: [Int], of count: Int, notes: inout Notes
  ) -> Reduction {
    let isKept = Set(kept)
    let rest = patches.indices.filter { !isKept.contains($0) }
    let all = kept + rest
    let cosines = kept.isEmpty ? nil : notes.cosines(keys.gathered(kept), keys)
    var (rows, weights): ([[Int]], [Float]) = ([], [])
    for (index, token) in kept.enumerated() {
      let candidates = all.filter { $0 != token }
      let line = Array(cosines!.row(index))
      let near = notes.top(candidates.map { line[$0] }, min(neighbours, candidates.count)).map { candidates[$0] }
      rows.append([token] + near)
      weights += [1] + near.map { attention[$0] }
    }
    if !rest.isEmpty {
      rows.append(rest)
      weights += rest.map { attention[$0] }
    }
    return Reduction(rows: rows.map { $0.map { Int32(patches[$0]) } }, of: count, blend: .weighted(weights))
  }
}
