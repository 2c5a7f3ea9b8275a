import VTokCore
import VTokTensor

/// VisPruner: half of what stays is what the class token attends to most, the other half what is left when of the rest,
/// round by round, the tokens go that are most like others. FasterVLM, its first version, keeps the first half alone.
///
/// Zhang et al., "Beyond Text-Visual Attention: Exploiting Visual Cues for Effective Token Pruning in VLMs", ICCV 2025
/// (arXiv 2412.01818, whose first version is FasterVLM); Theia-4869/VisPruner, Theia-4869/FasterVLM.
public struct VisPruner: Compressor {
  public static let name = "vispruner"
  public static let summary =
    "keep attended tokens and, of the rest, those least alike (VisPruner, ICCV 2025, arXiv 2412.01818)"
  public static let remarks = [
    "version=fastervlm is the first version: all by class attention, as with important=1.",
    "LLaVA-NeXT: every tile keeps equally many tokens, padding is not cut and no newline is placed. The authors run "
      + "images on 2x2 tiles only; here they keep the model's own grids.",
    "An odd number of tokens in a round: the first half takes one more. The official code fails there.",
    "A round drops no more than its first half; below 16 tokens the official code then returns too few.",
    "Equal scores: who stands earlier in the list goes first. The official sort leaves that open.",
  ]
  public static let rounding: String? = "a tile has no more than its patches, and no newlines are placed"

  public enum Version: String, Sendable, CaseIterable { case vispruner, fastervlm }

  /// Share of the tokens kept that class attention picks.
  let important: Double
  private var cut: TileCut

  public init(_ amount: TileAmount, important: Double = 0.5, version: Version = .vispruner) {
    self.important = version == .fastervlm ? 1 : important
    cut = TileCut(amount)
  }

  public init(_ options: inout Options) throws(OptionError) {
    let version = try options.take("version", default: Version.vispruner, "the published method, or its first version")
    let isGiven = options.has("important")
    let share = try options.take(
      "important", default: 0.5, in: 0...1, "share of the tokens kept that attention picks (official: important_ratio)")
    if isGiven, version == .fastervlm { throw options.invalid("important", "version=fastervlm", "one of the two") }
    let amount = try options.tileAmount("per-tile", official: "visual_token_num") { .perTile($0) }
    self.init(amount, important: share, version: version)
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    try cut.plan(for: model, byClassToken: Self.name)
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let block = Site.block(view.shape.tower!.featureBlock, .end)
    let share = important
    return try cut.reduce(view, at: site, for: Self.name, notes: &notes) {
      tile, patches, count, notes throws(CompressionError) in
      let tokens = view.sequences[tile]
      let attention = try view.recording(block, tile).meanAttention(at: patches, of: tokens)
      return Self.select(
        tokens.x.gathered(patches), attention: attention, keep: count, important: share, notes: &notes)
    }
  }

  /// Tokens that a round drops.
  private static let step = 8

  /// `keep` rows of features `[n, width]`: the attended ones, best first, then those that no round dropped, as the last
  /// round left them.
  /// - Parameter important: share of the rows that attention picks, rounded down.
  public static func select(
    _ features: Tensor, attention: [Float], keep: Int, important: Double, notes: inout Notes
  ) -> [Int] {
    let attended = Int(Double(keep) * important)
    if attended == keep { return notes.top(attention, keep) }
    let order = notes.ranked(attention)
    let rest = Array(order[attended...])
    let similarity = notes.cosines(features.gathered(rest))
    var list = Array(rest.indices)
    while list.count > keep - attended {
      let parts = (0...1).map { part in stride(from: part, to: list.count, by: 2).map { list[$0] } }
      let likeness = parts[0].map { row in
        let line = similarity.row(row)
        return parts[1].reduce(-Float.infinity) { max($0, line[line.startIndex + $1]) }
      }
      let dropped = min(step, list.count - (keep - attended), parts[0].count)
      list = notes.ranked(likeness).dropFirst(dropped).map { parts[0][$0] } + parts[1]
    }
    return order[..<attended] + list.map { rest[$0] }
  }
}
