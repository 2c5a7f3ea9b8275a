/// The pattern of a pre-tokenizer. The most common regular expressions are matched by hand, which is many times as fast as
/// the standard library; they cut a text completely, every position starts a match.
package enum SplitPattern: Sendable, Equatable {
  /// GPT-2; SmolLM.
  case gpt2
  /// GPT-4's cl100k form; Qwen2 with single digits, Llama 3 with up to three.
  case cl100k(digits: Int)
  /// A text that is not empty.
  case literal([Unicode.Scalar])
  case expression(SplitExpression)

  /// - Parameter digits: the expression of a piece of a number.
  static func cl100kText(digits: String) -> String { cl100kStart + digits + cl100kEnd }

  private static let cl100kStart = #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"#
  private static let cl100kEnd = #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

  /// A regular expression.
  /// - Throws: `SplitExpression.Refusal`.
  package init(_ pattern: String) throws(SplitExpression.Refusal) {
    switch pattern {
    case #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#: self = .gpt2
    case Self.cl100kText(digits: #"\p{N}"#): self = .cl100k(digits: 1)
    case Self.cl100kText(digits: #"\p{N}{1,3}"#): self = .cl100k(digits: 3)
    default: self = .expression(try SplitExpression(pattern))
    }
  }

  /// Where the pattern matches, from left to right; no match is empty.
  package func matches(in text: [Unicode.Scalar]) -> [Range<Int>] {
    var matches: [Range<Int>] = []
    var at = 0
    switch self {
    case .gpt2, .cl100k:
      while at < text.count {
        let end = at + length(in: text, at: at)
        matches.append(at..<end)
        at = end
      }
    case .literal(let literal):
      while at < text.count {
        let isMatch = text[at] == literal[0] && text[at...].starts(with: literal)
        if isMatch { matches.append(at..<at + literal.count) }
        at += isMatch ? literal.count : 1
      }
    case .expression(let expression): return expression.matches(in: text)
    }
    return matches
  }

  /// Length of the match that starts at `start`, of an expression that is matched by hand. The alternatives are tried in the pattern's order.
  private func length(in text: [Unicode.Scalar], at start: Int) -> Int {
    func kind(_ at: Int) -> Unicode.Scalar.Class? { at < text.count ? text[at].splitClass : nil }
    func run(from at: Int, _ wanted: Unicode.Scalar.Class, most: Int = .max) -> Int {
      var end = at
      while end - at < most, kind(end) == wanted { end += 1 }
      return end - at
    }
    func isLineEnd(_ at: Int) -> Bool { at < text.count && (text[at] == "\r" || text[at] == "\n") }

    if let length = contraction(in: text, at: start) { return length }
    let space = text[start] == " " ? 1 : 0
    let spaced = kind(start + space)
    switch self {
    case .gpt2:
      if let spaced, spaced != .space { return space + run(from: start + space, spaced) }
    case .cl100k(let digits):
      if kind(start) == .letter { return run(from: start, .letter) }
      if kind(start) != .number, !isLineEnd(start), kind(start + 1) == .letter {
        return 1 + run(from: start + 1, .letter)
      }
      if kind(start) == .number { return run(from: start, .number, most: digits) }
      if spaced == .other {
        var end = start + space + run(from: start + space, .other)
        while isLineEnd(end) { end += 1 }
        return end - start
      }
      let spaces = run(from: start, .space)
      if let last = (start..<start + spaces).last(where: isLineEnd) { return last + 1 - start }
    case .literal, .expression: preconditionFailure("matched elsewhere")
    }
    // White space leaves its last character to the word that follows.
    let spaces = run(from: start, .space)
    return spaces > 1 && start + spaces < text.count ? spaces - 1 : spaces
  }

  /// `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll`, `'d`, in GPT-2's pattern only as written.
  private func contraction(in text: [Unicode.Scalar], at start: Int) -> Int? {
    guard text[start] == "'" else { return nil }
    let ending = text[(start + 1)...].prefix(2).map { scalar -> Unicode.Scalar in
      guard self != .gpt2 else { return scalar }
      if scalar == "ſ" { return "s" }  // equal to s when case is ignored
      return (65...90).contains(scalar.value) ? Unicode.Scalar(scalar.value + 32)! : scalar
    }
    for known in ["s", "t", "re", "ve", "m", "ll", "d"] where ending.starts(with: known.unicodeScalars) {
      return 1 + known.unicodeScalars.count
    }
    return nil
  }
}
