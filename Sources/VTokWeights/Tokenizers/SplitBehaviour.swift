/// What becomes of the matches of a pattern, and of what lies between them.
package enum SplitBehaviour: String, Sendable, CaseIterable {
  /// Every match and every stretch between is a piece.
  case isolated = "Isolated"
  /// The stretches between are.
  case removed = "Removed"
  case mergedWithPrevious = "MergedWithPrevious"
  case mergedWithNext = "MergedWithNext"
  /// As `isolated`, matches behind each other joined.
  case contiguous = "Contiguous"

  /// The pieces of a text of `count` scalars.
  /// - Parameter inverts: whether what lies between the matches counts as the matches.
  package func pieces(_ matches: [Range<Int>], of count: Int, inverts: Bool) -> [Range<Int>] {
    var all: [(range: Range<Int>, isMatch: Bool)] = []
    var at = 0
    for match in matches {
      if at < match.lowerBound { all.append((at..<match.lowerBound, inverts)) }
      all.append((match, !inverts))
      at = match.upperBound
    }
    if at < count { all.append((at..<count, inverts)) }
    switch self {
    case .isolated: return all.map(\.range)
    case .removed: return all.filter { !$0.isMatch }.map(\.range)
    case .contiguous: return joined(all) { $0 == $1 }
    // A match joins its neighbour unless that is one too.
    case .mergedWithPrevious: return joined(all) { !$0 && $1 }
    case .mergedWithNext: return joined(all) { $0 && !$1 }
    }
  }

  /// - Parameter joins: whether a stretch joins the one before it, by whether the earlier and the later are matches.
  private func joined(
    _ all: [(range: Range<Int>, isMatch: Bool)], _ joins: (Bool, Bool) -> Bool
  ) -> [Range<Int>] {
    var pieces: [Range<Int>] = []
    for (index, part) in all.enumerated() {
      if index > 0, joins(all[index - 1].isMatch, part.isMatch) {
        pieces[pieces.count - 1] = pieces.last!.lowerBound..<part.range.upperBound
      } else {
        pieces.append(part.range)
      }
    }
    return pieces
  }
}
