import VTokCore

// What MMTok leaves out: small words of the question, and patches that show nothing.

extension MMTok {
  private static let requests = [
    "Answer the question using a single word or phrase.",
    "Answer with the option's letter from the given choices directly.",
  ]
  private static let small: Set<String> = [
    "a", "an", "the", "is", "are", "was", "were", "be", "been", "being", "have", "has", "had", "do", "does", "did",
    "it",
    "they", "he", "she", "we", "you", "i", "what", "where", "when", "why", "how", "who", "which", "and", "or", "but",
    "so",
    "if", "then", "question", "answer", "to", "for", "with", "by", "from", "at", "into", "onto", "upon",
  ]

  /// A question without small words and punctuation; where nothing else is left, without the sentences alone that ask for
  /// short answers.
  public static func keywords(of question: String) -> String {
    var text = question
    for request in requests { text = text.split(separator: request, omittingEmptySubsequences: false).joined() }
    let words = text.unicodeScalars.split { !isOfWords($0) }.map { String(String.UnicodeScalarView($0)) }
    let found = words.filter { !small.contains($0.lowercased()) }.joined(separator: " ")
    return found.isEmpty ? text : found
  }

  /// Letters, numbers and the underscore of any script.
  private static func isOfWords(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .decimalNumber,
      .letterNumber, .otherNumber:
      true
    default: scalar == "_"
    }
  }

  /// Cells of the only tile that lie wholly in the padding, where the picture was padded to a square.
  static func padding(_ view: borrowing View) -> Set<Int> {
    let (layout, tower) = (view.images[view.image ?? 0], view.shape.tower!)
    guard layout.isSquared else { return [] }
    return Set(
      padding(width: layout.width, height: layout.height, side: tower.rows * tower.patch, patch: tower.patch)
        .flatMap { Array($0) })
  }

  /// Ranges of the cells that lie wholly in the padding of a picture of `width` x `height` pixels, padded to a square and
  /// scaled to `side` pixels; ascending, those that touch joined.
  public static func padding(width: Int, height: Int, side: Int, patch: Int) -> [Range<Int>] {
    let (long, short, cells) = (max(width, height), min(width, height), side / patch)
    let shown = Int((Double(short) * (Double(side) / Double(long))).rounded(.toNearestOrEven))
    let before = (side - shown) / 2
    let (first, last) = (before / patch, (side - shown - before) / patch)
    if width >= height {
      let (top, bottom) = (first * cells, (cells - last) * cells)
      return joined([0..<top, bottom..<cells * cells])
    }
    var ranges: [Range<Int>] = []
    for line in 0..<cells {
      let (start, end) = (line * cells, (line + 1) * cells)
      ranges.append(start..<start + first)
      ranges.append(end - last..<end)
    }
    return joined(ranges)
  }

  private static func joined(_ ranges: [Range<Int>]) -> [Range<Int>] {
    var joined: [Range<Int>] = []
    for range in ranges where !range.isEmpty {
      if let before = joined.last, before.upperBound == range.lowerBound {
        joined[joined.count - 1] = before.lowerBound..<range.upperBound
      } else {
        joined.append(range)
      }
    }
    return joined
  }
}
