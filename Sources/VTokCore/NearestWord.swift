import VTokFiles
import VTokTensor

/// The word of `known` nearest to `word` by edit distance, if it is near enough to be a slip.
public func closest(to word: String, in known: [String]) -> String? {
  guard let best = nearest(to: word, in: known), best.distance <= max(1, word.count / 3) else { return nil }
  return best.word
}

/// The word of `known` nearest to `word`, however far it is; of equals the first in order. nil for an empty list.
package func nearest(to word: String, in known: [String]) -> (word: String, distance: Int)? {
  func letters(_ text: String) -> [UInt32] { text.lowercased().unicodeScalars.map(\.value) }
  return known.map { (word: $0, distance: editDistance(letters(word), letters($0))) }
    .min { ($0.distance, $0.word) < ($1.distance, $1.word) }
}
