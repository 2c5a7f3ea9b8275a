/// `pre_tokenizer` of a tokenizer file: how a text is cut into the pieces that BPE merges within.
indirect enum PreTokenizer: Sendable {
  case sequence([PreTokenizer])
  /// Spaces become a visible character, which also goes in front where `scheme` says so.
  case metaspace(Unicode.Scalar, scheme: Scheme, splits: Bool)
  /// Numbers on their own, whole or digit by digit.
  case digits(individual: Bool)
  case split(SplitPattern, SplitBehaviour = .isolated, inverts: Bool = false)
  /// UTF-8 bytes as printable characters, after a split.
  case byteLevel(prefixSpace: Bool, SplitPattern?)

  /// Where `Metaspace` puts its character: in front of every piece, of the piece that starts the text, of none.
  enum Scheme: String, Sendable { case always, first, never }

  init(_ part: TokenizerPart?) throws(TokenizerError) {
    guard let part else {
      self = .sequence([])
      return
    }
    switch try part.string("type") {
    case "Sequence":
      var steps: [PreTokenizer] = []
      for step in try part.parts("pretokenizers") { steps.append(try PreTokenizer(step)) }
      self = .sequence(steps)
    case "Metaspace":
      let replacement = Array(try part.string("replacement").unicodeScalars)
      guard replacement.count == 1 else { throw part.refused("replacement", "one character") }
      // Older files have `add_prefix_space` in place of the scheme.
      let named = try part.stringIfPresent("prepend_scheme")
      let prefix = try part.bool("add_prefix_space", default: true)
      guard let scheme = Scheme(rawValue: named ?? (prefix ? "always" : "never")) else {
        throw part.refused("prepend_scheme", "always, first or never")
      }
      self = .metaspace(replacement[0], scheme: scheme, splits: try part.bool("split", default: true))
    case "Digits": self = .digits(individual: try part.bool("individual_digits", default: false))
    case "Split":
      guard let behaviour = SplitBehaviour(rawValue: try part.string("behavior")) else {
        throw part.refused("behavior", "one of " + SplitBehaviour.allCases.map(\.rawValue).joined(separator: ", "))
      }
      self = .split(try Self.pattern(part), behaviour, inverts: try part.bool("invert", default: false))
    case "ByteLevel":
      self = .byteLevel(
        prefixSpace: try part.bool("add_prefix_space", default: true),
        try part.bool("use_regex", default: true) ? .gpt2 : nil)
    default: throw part.refused("type", "one of Sequence, Metaspace, Digits, Split, ByteLevel")
    }
  }

  private static func pattern(_ part: TokenizerPart) throws(TokenizerError) -> SplitPattern {
    if let text = part.json.value(at: "pattern.String")?.string, !text.isEmpty {
      return .literal(Array(text.unicodeScalars))
    }
    guard let text = part.json.value(at: "pattern.Regex")?.string else {
      throw part.refused("pattern", "a Regex, or a String that is not empty")
    }
    do throws(SplitExpression.Refusal) {
      return try SplitPattern(text)
    } catch {
      throw part.refused("pattern", "a regular expression that all libraries read alike: \(error.reason)")
    }
  }

  func callAsFunction(_ pieces: [Piece]) -> [Piece] {
    switch self {
    case .sequence(let steps): return steps.reduce(pieces) { $1($0) }
    case .metaspace(let mark, let scheme, let splits):
      return pieces.flatMap { piece -> [Piece] in
        var piece = piece
        piece.text = piece.text.map { $0 == " " ? mark : $0 }
        if scheme == .always || scheme == .first && piece.isFirst, piece.text.first != mark {
          piece.text.insert(mark, at: 0)
        }
        guard splits else { return [piece] }
        return piece.cut { start in 1 + piece.text[(start + 1)...].prefix { $0 != mark }.count }
      }
    case .digits(let individual):
      return pieces.flatMap { piece in
        piece.cut { start in
          let isNumber = piece.text[start].splitClass == .number
          if isNumber && individual { return 1 }
          return piece.text[start...].prefix { ($0.splitClass == .number) == isNumber }.count
        }
      }
    case .split(let pattern, let behaviour, let inverts):
      return pieces.flatMap { piece in
        piece.parts(behaviour.pieces(pattern.matches(in: piece.text), of: piece.text.count, inverts: inverts))
      }
    case .byteLevel(let prefixSpace, let pattern):
      let spaced = pieces.map { piece in
        prefixSpace && piece.text.first != " " ? Piece(text: [" "] + piece.text, isFirst: piece.isFirst) : piece
      }
      let split = pattern.map { PreTokenizer.split($0)(spaced) } ?? spaced
      return split.map { piece in
        let characters = piece.text.flatMap { UTF8.encode($0)!.map { ByteAlphabet.characters[Int($0)] } }
        return Piece(text: characters, isFirst: piece.isFirst)
      }
    }
  }
}
