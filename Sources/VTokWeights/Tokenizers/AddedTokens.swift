/// `added_tokens` of a tokenizer file, or special tokens of a GGUF file: tokens that are cut out of the text before all else.
struct AddedTokens: Sendable {
  private struct Token: Sendable {
    let id: Int32
    let content: [Unicode.Scalar]
    let leftStrip: Bool, rightStrip: Bool, singleWord: Bool
    var bytes: Int { content.reduce(0) { $0 + UTF8.width($1) } }
  }

  /// By first scalar, the longest first: the leftmost longest match is the first one found.
  private var raw: [Unicode.Scalar: [Token]] = [:], normalised: [Unicode.Scalar: [Token]] = [:]
  /// Of a GGUF file, the longest first: each is cut out everywhere before the next is looked for.
  private var longestFirst: [Token] = []
  private(set) var names: [Int32: String] = [:]
  private(set) var special: Set<Int32> = []

  init(_ file: TokenizerPart, normalizer: Normalizer) throws(TokenizerError) {
    guard file.json.value(at: "added_tokens") != nil else { return }
    for part in try file.parts("added_tokens") {
      let name = try part.string("content")
      let id = try part.id("id")
      let isNormalised = try part.bool("normalized", default: true)
      var content = Array(name.unicodeScalars)
      if isNormalised { content = normalizer(content) }
      guard let first = content.first else { throw part.refused("content", "a text that is not empty") }
      let token = Token(
        id: id, content: content, leftStrip: try part.bool("lstrip", default: false),
        rightStrip: try part.bool("rstrip", default: false), singleWord: try part.bool("single_word", default: false))
      if isNormalised {
        normalised[first, default: []].append(token)
      } else {
        raw[first, default: []].append(token)
      }
      names[id] = name
      if try part.bool("special", default: false) { special.insert(id) }
    }
    for key in raw.keys { raw[key]!.sort { $0.content.count > $1.content.count } }
    for key in normalised.keys { normalised[key]!.sort { $0.content.count > $1.content.count } }
  }

  /// Those of a GGUF file.
  /// - Parameter placeholder: cut out too; behind all others where the file has no such token.
  init(_ vocabulary: GGUFVocabulary, placeholder: String?) {
    let mark = placeholder.map { (name: $0, id: vocabulary.placeholder($0)) }
    func add(_ name: String, _ id: Int) {
      let content = Array(name.unicodeScalars)
      guard !content.isEmpty else { return }
      names[Int32(id)] = name
      longestFirst.append(
        Token(id: Int32(id), content: content, leftStrip: false, rightStrip: false, singleWord: false))
    }
    for (id, kind) in vocabulary.kinds.enumerated() {
      if kind == .control || kind == .unknown { special.insert(Int32(id)) }
      if kind == .control || kind == .userDefined || id == mark?.id { add(vocabulary.tokens[id], id) }
    }
    if let mark, mark.id == vocabulary.tokens.count || vocabulary.tokens[mark.id] != mark.name {
      add(mark.name, mark.id)
      special.insert(Int32(mark.id))
    }
    longestFirst.sort { ($1.bytes, $0.id) < ($0.bytes, $1.id) }
  }

  /// A stretch of text between added tokens, or one of them.
  enum Part {
    case token(Int32)
    case text(Piece)
  }

  /// The text cut at added tokens: those that are matched as typed first, the others in the normalised rest.
  func split(_ text: [Unicode.Scalar], normalizer: Normalizer) -> [Part] {
    var parts = split(Piece(text: text, isFirst: true), at: raw)
    let scalars = longestFirst.isEmpty ? [] : Set(text)
    for token in longestFirst where scalars.contains(token.content[0]) {
      parts = parts.flatMap { part -> [Part] in
        guard case .text(let piece) = part else { return [part] }
        return split(piece, at: [token.content[0]: [token]])
      }
    }
    return parts.flatMap { part -> [Part] in
      guard case .text(let piece) = part else { return [part] }
      return split(Piece(text: normalizer(piece.text), isFirst: piece.isFirst), at: normalised)
    }
  }

  private func split(_ piece: Piece, at tokens: [Unicode.Scalar: [Token]]) -> [Part] {
    let text = piece.text
    var parts: [Part] = []
    var done = 0
    func add(upTo end: Int) {
      if done < end { parts.append(.text(Piece(text: Array(text[done..<end]), isFirst: piece.isFirst && done == 0))) }
    }
    var at = 0
    while at < text.count {
      guard let token = tokens[text[at]]?.first(where: { text[at...].starts(with: $0.content) }) else {
        at += 1
        continue
      }
      var start = at
      var end = at + token.content.count
      at = end  // also where the match does not count: matches never overlap
      if token.singleWord {
        if start > 0 && text[start - 1].isWordCharacter || end < text.count && text[end].isWordCharacter { continue }
      }
      if token.leftStrip {
        while start > done, text[start - 1].properties.isWhitespace { start -= 1 }
      }
      if token.rightStrip {
        while end < text.count, text[end].properties.isWhitespace { end += 1 }
      }
      add(upTo: start)
      parts.append(.token(token.id))
      done = end
    }
    add(upTo: text.count)
    return parts
  }
}

/// A stretch of text on its way through the pre-tokenizer.
struct Piece: Sendable {
  var text: [Unicode.Scalar]
  /// Whether the whole text starts here. `Metaspace` looks at this.
  var isFirst: Bool

  /// Parts of this piece.
  func parts(_ ranges: [Range<Int>]) -> [Piece] {
    ranges.map { Piece(text: Array(text[$0]), isFirst: isFirst && $0.lowerBound == 0) }
  }

  /// This piece in parts, each as long as `length` says of the position where it starts.
  func cut(_ length: (Int) -> Int) -> [Piece] {
    var pieces: [Piece] = []
    var at = 0
    while at < text.count {
      let end = at + length(at)
      pieces.append(Piece(text: Array(text[at..<end]), isFirst: isFirst && at == 0))
      at = end
    }
    return pieces
  }
}

extension Unicode.Scalar {
  /// `\w` of Unicode regular expressions (UTS 18, Annex C).
  fileprivate var isWordCharacter: Bool {
    switch properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: true
    default: properties.isAlphabetic || properties.isJoinControl
    }
  }
}
