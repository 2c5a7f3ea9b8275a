/// Where the visual spans of a prompt lie among its text.
package struct PromptPlan: Sendable, Equatable {
  package enum Piece: Sendable, Equatable {
    case text(Range<Int>)
    /// Span `index` of image `image`.
    case span(image: Int, index: Int)
  }

  package let pieces: [Piece]

  /// - Parameters:
  ///   - ids: the prompt. Every span is one placeholder, or as many as it has tokens when nothing is reduced.
  ///   - placeholder: id that stands for an image; need not be in the vocabulary.
  ///   - spans: tokens of every span of every image.
  /// - Throws: `ModelError.input` if placeholders and images do not match, or an id is outside the vocabulary.
  package init(_ ids: [Int], placeholder: Int, spans: [[Int]], vocabulary: Int) throws(ModelError) {
    guard !ids.isEmpty else {
      throw .input(what: "prompt", found: "no token", expected: "at least one", fix: "Give a text or an image.")
    }
    let flat = spans.enumerated().flatMap { image, counts in
      counts.enumerated().map { (image: image, index: $0, count: $1) }
    }
    let total = flat.reduce(0) { $0 + $1.count }
    let found = ids.count { $0 == placeholder }
    guard found == total || found == flat.count else {
      let images = spans.count == 1 ? "1 image" : "\(spans.count) images"
      throw .input(
        what: "prompt", found: "\(found) image placeholders (id \(placeholder)) for \(images)",
        expected: found == 0 || flat.isEmpty ? "\(flat.count)" : "\(flat.count), or \(total) if they are written out",
        fix: "Place every image once in the prompt.")
    }
    let isWrittenOut = found == total
    var pieces: [Piece] = []
    var position = 0
    var next = flat.startIndex
    while position < ids.count {
      let start = position
      if ids[position] == placeholder {
        let span = flat[next]
        let length = isWrittenOut ? span.count : 1
        let end = min(position + length, ids.count)
        guard ids[position..<end].allSatisfy({ $0 == placeholder }), end - position == length else {
          throw .input(
            what: "prompt", found: "other tokens among the \(length) placeholders of image \(span.image + 1)",
            expected: "\(length) in a row", fix: "Write the placeholders of an image without a break.")
        }
        pieces.append(.span(image: span.image, index: span.index))
        (position, next) = (end, next + 1)
      } else {
        while position < ids.count, ids[position] != placeholder {
          guard (0..<vocabulary).contains(ids[position]) else {
            throw .input(
              what: "prompt", found: "token id \(ids[position])", expected: "0 to \(vocabulary - 1)",
              fix: "Use the tokenizer of this model.")
          }
          position += 1
        }
        pieces.append(.text(start..<position))
      }
    }
    self.pieces = pieces
  }
}
