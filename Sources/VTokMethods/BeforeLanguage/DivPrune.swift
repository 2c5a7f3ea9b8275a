import VTokCore
import VTokTensor

/// DivPrune: the subset of visual tokens whose smallest pairwise cosine distance is largest, by greedy farthest point.
///
/// Alvar et al., "DivPrune: Diversity-based Visual Token Pruning for Large Multimodal Models", CVPR 2025
/// (arXiv 2503.02175); vbdi/divprune. Needs no text, no attention and no training. Acts on the tower's output in a
/// plain ViT and on the packed visual rows before the first layer of an LVLM.
public struct DivPrune: Compressor {
  public static let name = "divprune"
  public static let summary =
    "keep the most diverse tokens by greedy farthest point (DivPrune, CVPR 2025, arXiv 2503.02175)"
  public static let remarks = [
    "Acts after the tower: it saves nothing inside a ViT, only in what follows.",
    "A token is never chosen twice; the official code may repeat one when all the rest are duplicates.",
    "In a language model every image keeps its share, newline tokens are candidates, and positions are numbered anew.",
    "A row of zeros has cosine 0 to all others; the official code gives NaN.",
    "parts=tiles selects in the first tile and in all others apart, and leaves newlines alone, as VLMUniPruneBench does "
      + "where every tile is a span of its own (InternVL).",
  ]
  public static let rounding: String? = "with parts=tiles newlines stay, and each part keeps whole tokens"

  public enum Order: String, Sendable, CaseIterable { case sorted, raw }
  /// Among which tokens of an image it selects.
  public enum Parts: String, Sendable, CaseIterable {
    case joint
    /// The first tile by itself, and all others together; each keeps its share.
    case tiles
  }

  let budget: Budget
  let order: Order
  let parts: Parts

  public init(keep: Budget, order: Order = .sorted, parts: Parts = .joint) {
    budget = keep
    self.order = order
    self.parts = parts
  }

  public init(_ options: inout Options) throws(OptionError) {
    order = try options.take("order", default: Order.sorted, "sequence order as published, or the greedy order (raw)")
    parts = try options.take(
      "parts", default: Parts.joint, "all tokens of an image together, or its first tile and its others apart (tiles)")
    budget = try options.budget("visual tokens kept, of each image") ?? .ratio(0.5)
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    if model.decoder != nil { return Plan(act: [.layer(0)], positions: PositionRule(cut: .renumbered, decode: .next)) }
    return Plan(act: [.features])
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    var reductions: [Reduction] = []
    for tokens in view.sequences {
      let patches = tokens.rows(.patch)
      let groups: [(rows: [Int], keep: Int)] =
        site == .features
        ? [(rows: patches, keep: budget.tokens(of: patches.count))]
        : view.images.indices.flatMap { self.groups(of: tokens, image: $0, view) }
      let candidates = Set(groups.flatMap(\.rows))
      var chosen: [Int] = []
      for (rows, keep) in groups {
        chosen += Self.select(tokens.x.gathered(rows), keep: min(keep, rows.count), notes: &notes).map { rows[$0] }
      }
      let rest = (0..<tokens.count).filter { !candidates.contains($0) }
      let kept = order == .sorted || site != .features ? (rest + chosen).sorted() : rest + chosen
      reductions.append(.keep(kept, of: tokens.count))
    }
    return reductions
  }

  /// Rows of an image that are compared with each other, and how many of them stay.
  private func groups(of tokens: TokenSequence, image: Int, _ view: borrowing View) -> [(rows: [Int], keep: Int)] {
    let all = view.visual(tokens, image: image)
    guard parts == .tiles else { return [(all, budget.tokens(of: all.count))] }
    let parts = view.parts(of: tokens, image: image)
    guard case .tokens(let wanted) = budget else { return parts.map { ($0, max(1, budget.tokens(of: $0.count))) } }
    let patches = parts.reduce(0) { $0 + $1.count }
    return Array(zip(parts, shared(wanted - (all.count - patches), among: parts.map(\.count))))
  }

  /// Greedy max-min selection of `keep` rows of `features` `[n, width]`, in the order chosen. O(n² width + keep n).
  public static func select(_ features: Tensor, keep: Int, notes: inout Notes) -> [Int] {
    let n = features.rows
    if keep == 0 || n == 0 { return [] }
    if n == 1 { return [0] }
    let distance = notes.cosines(features).values.map { 1 - $0 }  // [n, n], the computed diagonal stays
    notes.keep("distance.diagonal", (0..<n).map { distance[$0 * n + $0] })
    // The start is the token whose nearest neighbour is farthest: the second smallest distance, since the smallest is
    // its own.
    let neighbour = (0..<n).map { row -> Float in
      var (smallest, second) = (Float.infinity, Float.infinity)
      for value in distance[row * n..<(row + 1) * n] {
        if value < smallest {
          (smallest, second) = (value, smallest)
        } else if value < second {
          second = value
        }
      }
      return second
    }
    var chosen = [notes.first(neighbour)]
    var nearest = [Float](repeating: .infinity, count: n)  // to the chosen ones; the scores above are not reused
    while chosen.count < keep {
      let last = chosen.last!
      nearest[last] = -.infinity  // never again
      for column in 0..<n { nearest[column] = min(nearest[column], distance[last * n + column]) }
      chosen.append(notes.first(nearest))
    }
    return chosen
  }
}
