/// From pieces of text to tokens.
protocol TokenModel: Sendable {
  /// Names of tokens by id.
  var names: [Int32: String] { get }
  func id(_ token: String) -> Int32?
  func encode(_ piece: [Unicode.Scalar]) -> [Int32]
}

/// `model` of a tokenizer file of type BPE: the vocabulary and its merges.
struct BPEModel: TokenModel {
  private let ids: [ExactString: Int32]
  private let symbols: [Unicode.Scalar: Int32]  // entries of one scalar
  private let pairs: BytePairs
  private let bytes: [Int32?]  // `<0x00>`...`<0xFF>`; empty without byte fallback
  private let unknown: Int32?
  private let fusesUnknown: Bool, ignoresMerges: Bool
  private(set) var names: [Int32: String] = [:]

  init(_ part: TokenizerPart, added: AddedTokens) throws(TokenizerError) {
    // Older files leave the type out.
    guard try part.stringIfPresent("type") ?? "BPE" == "BPE" else { throw part.refused("type", "BPE") }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
      guard try part.stringIfPresent(key) ?? "" == "" else { throw part.refused(key, "null") }
    }
    guard (part.json.value(at: "dropout") ?? 0).double == 0 else { throw part.refused("dropout", "null") }
    guard let vocabulary = part.json["vocab"]?.object else { throw part.refused("vocab", "tokens with their ids") }
    var ids = [ExactString: Int32](minimumCapacity: vocabulary.count)
    var symbols: [Unicode.Scalar: Int32] = [:]
    let entries = TokenizerPart(json: .object(vocabulary), path: part.path + ".vocab")
    for (name, _) in vocabulary {
      let id = try entries.id(name)
      ids[ExactString(name)] = id
      names[id] = name
      if let scalar = name.unicodeScalars.first, name.unicodeScalars.dropFirst().isEmpty { symbols[scalar] = id }
    }

    func id(_ token: String, _ key: String) throws(TokenizerError) -> Int32 {
      if let id = ids[ExactString(token)] { return id }
      throw TokenizerError(
        subject: "tokenizer.json: `\(part.path).\(key)`",
        found: "`\(shortened(token))`, which is not in the vocabulary",
        expected: "tokens of the vocabulary", fix: "Fetch the file again.")
    }
    var pairs = BytePairs(order: .oneByOne)
    for (rank, merge) in try part.parts("merges").enumerated() {
      let two = merge.json.strings ?? merge.json.string?.split(separator: " ").map(String.init) ?? []
      guard two.count == 2 else { throw part.refused("merges", "pairs of tokens") }
      pairs.append(
        try id(two[0], "merges"), try id(two[1], "merges"), to: try id(two[0] + two[1], "merges"), rank: rank)
    }
    if let token = try part.stringIfPresent("unk_token") {
      let known = added.names.first { $0.value == token }?.key
      unknown = if let known { known } else { try id(token, "unk_token") }
    } else {
      unknown = nil
    }
    let falls = try part.bool("byte_fallback", default: false)
    bytes = falls ? (0...255).map { ids[ExactString(Self.byteToken(UInt8($0)))] } : []
    fusesUnknown = try part.bool("fuse_unk", default: false)
    ignoresMerges = try part.bool("ignore_merges", default: false)
    self.ids = ids
    self.symbols = symbols
    self.pairs = pairs
  }

  /// That of a GGUF file with merges.
  /// - Parameter ignoresMerges: whether a piece that is a token is taken as it is.
  init(_ vocabulary: GGUFVocabulary, ignoresMerges: Bool) throws {
    var pairs = BytePairs(order: .oneByOne)
    for (rank, merge) in try vocabulary.merges().enumerated() {
      guard let left = vocabulary.id(merge.left), let right = vocabulary.id(merge.right),
        let both = vocabulary.id(merge.left + merge.right)
      else {
        throw vocabulary.refused(
          "ggml.merges", "`\(shortened(merge.left))` and `\(shortened(merge.right))`, which are not among the tokens",
          "tokens whose texts joined are one too")
      }
      pairs.append(Int32(left), Int32(right), to: Int32(both), rank: rank)
    }
    names = vocabulary.names
    ids = Dictionary(names.map { (ExactString($1), $0) }) { max($0, $1) }
    symbols = Dictionary(
      ids.compactMap { name, id in
        let scalars = name.string.unicodeScalars
        return scalars.count == 1 ? (scalars.first!, id) : nil
      }
    ) { first, _ in first }
    self.pairs = pairs
    bytes = []
    unknown = nil
    fusesUnknown = false
    self.ignoresMerges = ignoresMerges
  }

  func id(_ token: String) -> Int32? { ids[ExactString(token)] }

  /// The name of a byte in a vocabulary with byte fallback: `<0x0A>`.
  static func byteToken(_ byte: UInt8) -> String {
    let digits = String(byte, radix: 16, uppercase: true)
    return "<0x" + (digits.count == 1 ? "0" : "") + digits + ">"
  }

  func encode(_ piece: [Unicode.Scalar]) -> [Int32] {
    if ignoresMerges, let whole = id(String(String.UnicodeScalarView(piece))) { return [whole] }
    var word: [Int32] = []
    var pending: Int32?  // an unknown symbol, which the next one may join
    for scalar in piece {
      if let id = symbols[scalar] {
        if let unknown = pending { word.append(unknown) }
        pending = nil
        word.append(id)
        continue
      }
      let fallback = bytes.isEmpty ? [] : UTF8.encode(scalar)!.map { bytes[Int($0)] }
      if !fallback.isEmpty, !fallback.contains(nil) {
        word += fallback.compactMap(\.self)
        continue
      }
      if let unknown = pending, !fusesUnknown { word.append(unknown) }
      pending = unknown
    }
    if let unknown = pending { word.append(unknown) }
    return pairs.merged(word)
  }
}
