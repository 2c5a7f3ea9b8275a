/// `decoder` of a tokenizer file: from the names of tokens to text.
struct TokenDecoder: Sendable {
  fileprivate enum Step: Sendable {
    case replace(LiteralReplacement)
    /// Runs of `<0xHH>` as UTF-8; a run that is not valid becomes U+FFFD per byte.
    case byteFallback
    case fuse
    /// A character at the start and end of every token.
    case strip(Unicode.Scalar, start: Int, stop: Int)
    /// Printable characters back to bytes.
    case byteLevel
  }

  private var steps: [Step] = []
  private let joint: String  // between tokens, where the file has no decoder

  init(_ part: TokenizerPart?) throws(TokenizerError) {
    joint = part == nil ? " " : ""
    if let part { try add(part) }
  }

  private init(_ steps: [Step]) {
    self.steps = steps
    joint = ""
  }

  /// Of byte-level BPE.
  static let byteLevel = TokenDecoder([.byteLevel])

  /// Of SentencePiece.
  /// - Parameters:
  ///   - mark: stands for a space.
  ///   - strips: whether the first one was put in front of the text.
  static func pieces(_ mark: Unicode.Scalar, strips: Bool) -> TokenDecoder {
    let spaces = Step.replace(LiteralReplacement([mark], by: [" "]))
    return TokenDecoder([spaces, .byteFallback, .fuse] + (strips ? [.strip(" ", start: 1, stop: 0)] : []))
  }

  private mutating func add(_ part: TokenizerPart) throws(TokenizerError) {
    switch try part.string("type") {
    case "Sequence": for step in try part.parts("decoders") { try add(step) }
    case "Replace": steps.append(.replace(try LiteralReplacement(part)))
    case "ByteFallback": steps.append(.byteFallback)
    case "Fuse": steps.append(.fuse)
    case "Strip":
      let content = Array(try part.string("content").unicodeScalars)
      guard content.count == 1 else { throw part.refused("content", "one character") }
      steps.append(.strip(content[0], start: Int(try part.id("start")), stop: Int(try part.id("stop"))))
    case "ByteLevel": steps.append(.byteLevel)
    default: throw part.refused("type", "one of Sequence, Replace, ByteFallback, Fuse, Strip, ByteLevel")
    }
  }

  func callAsFunction(_ tokens: [String]) -> String {
    steps.reduce(tokens) { $1($0) }.joined(separator: joint)
  }
}

extension TokenDecoder.Step {
  fileprivate func callAsFunction(_ tokens: [String]) -> [String] {
    switch self {
    case .replace(let replacement):
      return tokens.map { String(String.UnicodeScalarView(replacement(Array($0.unicodeScalars)))) }
    case .byteFallback:
      var out: [String] = []
      var run: [UInt8] = []
      func flush() {
        if run.isEmpty { return }
        out.append(String(validating: run, as: UTF8.self) ?? String(repeating: "\u{FFFD}", count: run.count))
        run = []
      }
      for token in tokens {
        if let byte = Self.byte(token) {
          run.append(byte)
        } else {
          flush()
          out.append(token)
        }
      }
      flush()
      return out
    case .fuse: return [tokens.joined()]
    case .strip(let character, let start, let stop):
      return tokens.map { token in
        var text = Array(token.unicodeScalars)[...]
        text = text.dropFirst(text.prefix(start).prefix { $0 == character }.count)
        text = text.dropLast(text.suffix(stop).reversed().prefix { $0 == character }.count)
        return String(String.UnicodeScalarView(text))
      }
    case .byteLevel:
      let bytes = tokens.flatMap { token -> [UInt8] in
        let own = token.unicodeScalars.map { ByteAlphabet.byte($0) }
        return own.contains(nil) ? Array(token.utf8) : own.compactMap(\.self)
      }
      return [String(decoding: bytes, as: UTF8.self)]
    }
  }

  /// The byte that a token `<0xHH>` stands for.
  private static func byte(_ token: String) -> UInt8? {
    guard token.utf8.count == 6, token.hasPrefix("<0x"), token.hasSuffix(">") else { return nil }
    return UInt8(token.dropFirst(3).dropLast(), radix: 16)
  }
}
