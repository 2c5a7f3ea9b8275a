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
  ]

  public enum Order: String, Sendable, CaseIterable { case sorted, raw }

  let budget: Budget
  let order: Order

  public init(keep: Budget, order: Order = .sorted) {
    budget = keep
    self.order = order
  }

  public init(_ options: inout Options) throws(OptionError) {
    order = try options.take("order", default: Order.sorted, "sequence order as published, or the greedy order (raw)")
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
      let groups =
        site == .features
        ? [tokens.rows(.patch)] : view.images.indices.map { view.visual(tokens, image: $0) }
      let candidates = Set(groups.joined())
      var chosen: [Int] = []
      for group in groups {
        let keep = budget.tokens(of: group.count)
        chosen += Self.select(tokens.x.gathered(group), keep: min(keep, group.count), notes: &notes).map { group[$0] }
      }
      let rest = (0..<tokens.count).filter { !candidates.contains($0) }
      let kept = order == .sorted || site != .features ? (rest + chosen).sorted() : rest + chosen
      reductions.append(.keep(kept, of: tokens.count))
    }
    return reductions
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
