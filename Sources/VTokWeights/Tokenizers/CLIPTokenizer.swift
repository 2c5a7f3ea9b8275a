/// The text tokenizer of CLIP: lower-cased byte-level BPE with a mark at the end of each word.
/// Radford et al., "Learning Transferable Visual Models From Natural Language Supervision"; openai/CLIP,
/// `clip/simple_tokenizer.py`. It cleans as the original does (`cleanedForCLIP`); Hugging Face's own tokenizer does not
/// unescape HTML, and agrees on plain text.
public struct CLIPTokenizer: Sendable {
  /// What fills a row up to the context length. Both give the same text vector.
  public enum Padding: Sendable, Equatable {
    /// Zeros, as the original does.
    case zero
    /// The end token, as Hugging Face does.
    case end
    case id(Int)
  }

  /// Texts as rows of one length.
  public struct Rows: Sendable, Equatable {
    /// `[texts, contextLength]`: start, the ids of the text, end, padding.
    public let ids: [[Int]]
    /// Ids of each text without start and end, before cutting.
    public let lengths: [Int]
  }

  /// Ids of the start and end tokens: 49406 and 49407 in the published vocabulary.
  public let start: Int, end: Int
  /// Number of ids.
  public let count: Int
  /// Whether the names of the two special tokens mean those tokens when a text contains them. The original says yes.
  public var readsSpecialTokens = true

  private let inner: [Int32]  // id of a byte inside a word
  private let final: [Int32]  // id of a byte at the end of a word
  private let pairs: BytePairs
  private let specials: [(name: [Unicode.Scalar], id: Int)]

  /// The published vocabulary needs no file of its own: its ids follow from the merges. 256 bytes, 256 bytes at the end
  /// of a word, the merges in order, start, end.
  /// - Parameter merges: pairs of symbols, best first: 48894 in the published vocabulary.
  public init(merges: [(String, String)]) throws(TokenizerError) {
    let symbols = ByteAlphabet.bytes.map { String(ByteAlphabet.characters[Int($0)]) }
    var ids: [ExactString: Int32] = [:]
    for symbol in symbols + symbols.map({ $0 + "</w>" }) { ids[ExactString(symbol)] = Int32(ids.count) }
    // Of equal results the last id counts, as in Python's `dict(zip(vocab, range))`.
    for (rank, (left, right)) in merges.enumerated() { ids[ExactString(left + right)] = Int32(512 + rank) }
    ids[ExactString("<|startoftext|>")] = Int32(512 + merges.count)
    ids[ExactString("<|endoftext|>")] = Int32(513 + merges.count)
    try self.init(ids: ids, merges: merges, subject: "merges")
  }

  /// From the text of `vocab.json` and `merges.txt`.
  public init(vocabulary: JSON, merges: String) throws(TokenizerError) {
    let lines = merges.split(whereSeparator: \.isNewline).drop { $0.hasPrefix("#version") }
    try self.init(ids: Self.ids(vocabulary, "vocab.json"), merges: Self.pairs(lines), subject: "vocab.json")
  }

  /// From `tokenizer.json` of a CLIP checkpoint.
  public init(tokenizer: JSON) throws(TokenizerError) {
    let model = tokenizer["model"]
    guard let model, model["type"]?.string ?? "BPE" == "BPE", model["end_of_word_suffix"]?.string == "</w>" else {
      throw TokenizerError(
        subject: "tokenizer.json", found: "a model of another kind", expected: "BPE with the end of word `</w>`",
        fix: "This is not the tokenizer of a CLIP text tower.")
    }
    var ids = try Self.ids(model["vocab"] ?? .null, "tokenizer.json")
    for token in tokenizer["added_tokens"]?.array ?? [] {
      if let name = token["content"]?.string, let id = token["id"]?.int, let id = Int32(exactly: id), id >= 0 {
        ids[ExactString(name)] = id
      }
    }
    var merges: [(String, String)] = []
    for entry in model["merges"]?.array ?? [] {
      if let parts = entry.strings, parts.count == 2 {
        merges.append((parts[0], parts[1]))
      } else {
        merges += try Self.pairs([entry.string ?? ""])
      }
    }
    try self.init(ids: ids, merges: merges, subject: "tokenizer.json")
  }

  /// From the files of a checkpoint: `tokenizer.json`, or `vocab.json` and `merges.txt`.
  public init(_ checkpoint: Checkpoint) throws {
    if let tokenizer = try checkpoint.json("tokenizer.json") {
      try self.init(tokenizer: tokenizer)
      return
    }
    guard let vocabulary = try checkpoint.json("vocab.json") else {
      throw TokenizerError(
        subject: checkpoint.name, found: "no text tokenizer", expected: "tokenizer.json, or vocab.json and merges.txt",
        fix: "Fetch these files of the checkpoint too.")
    }
    guard let merges = try checkpoint.text("merges.txt") else {
      throw TokenizerError(
        subject: checkpoint.name, found: "vocab.json without merges.txt", expected: "both",
        fix: "Fetch this file of the checkpoint too.")
    }
    try self.init(vocabulary: vocabulary, merges: merges)
  }

  private init(ids: [ExactString: Int32], merges: [(String, String)], subject: String) throws(TokenizerError) {
    func id(_ symbol: String) throws(TokenizerError) -> Int32 {
      if let id = ids[ExactString(symbol)] { return id }
      throw TokenizerError(
        subject: subject, found: "no symbol `\(shortened(symbol))`",
        expected: "all 512 byte symbols, the merges and"
          + " their parts", fix: "Fetch vocabulary and merges of one revision of the checkpoint again.")
    }
    var inner: [Int32] = []
    var final: [Int32] = []
    for character in ByteAlphabet.characters {
      inner.append(try id(String(character)))
      final.append(try id(String(character) + "</w>"))
    }
    var pairs = BytePairs(order: .rounds)
    for (rank, (left, right)) in merges.enumerated() {
      pairs.append(try id(left), try id(right), to: try id(left + right), rank: rank)
    }
    let names = [("<|startoftext|>", "<|endoftext|>"), ("<start_of_text>", "<end_of_text>")]
    let found = names.first { ids[ExactString($0.0)] != nil && ids[ExactString($0.1)] != nil }
    let (start, end) = found ?? names[0]
    self.start = Int(try id(start))
    self.end = Int(try id(end))
    self.inner = inner
    self.final = final
    self.pairs = pairs
    specials = [(Array(start.unicodeScalars), self.start), (Array(end.unicodeScalars), self.end)]
    count = Int(ids.values.max() ?? -1) + 1
  }

  private static func ids(_ vocabulary: JSON, _ subject: String) throws(TokenizerError) -> [ExactString: Int32] {
    var ids: [ExactString: Int32] = [:]
    for (symbol, value) in vocabulary.object ?? JSONObject() {
      guard let id = value.int, id >= 0, let id = Int32(exactly: id) else {
        throw TokenizerError(
          subject: subject, found: "\(value.summary) for `\(shortened(symbol))`", expected: "an id",
          fix: "Fetch the file again.")
      }
      ids[ExactString(symbol)] = id
    }
    return ids
  }

  private static func pairs(_ lines: some Sequence<some StringProtocol>) throws(TokenizerError) -> [(String, String)] {
    var pairs: [(String, String)] = []
    for line in lines {
      let parts = line.split(separator: " ")
      guard parts.count == 2 else {
        throw TokenizerError(
          subject: "merges", found: "the line `\(shortened(String(line)))`", expected: "two symbols",
          fix: "Fetch the file again.")
      }
      pairs.append((String(parts[0]), String(parts[1])))
    }
    return pairs
  }

  // MARK: Encoding

  /// The ids of a text, without start and end.
  public func encode(_ text: String) -> [Int] {
    let scalars = Array(cleanedForCLIP(text).unicodeScalars)
    var ids: [Int] = []
    var at = 0
    while at < scalars.count {
      if readsSpecialTokens, let special = specials.first(where: { scalars[at...].starts(with: $0.name) }) {
        ids.append(special.id)
        at += special.name.count
        continue
      }
      let length = Self.wordLength(scalars[at...])
      if length > 0 { ids += word(scalars[at..<at + length]) }
      at += max(length, 1)
    }
    return ids
  }

  /// Rows of one length for the text tower. A text that is too long is cut, and its last id is the end token.
  public func callAsFunction(
    _ texts: [String], contextLength: Int = 77, padding: Padding = .zero
  ) throws(TokenizerError) -> Rows {
    guard contextLength >= 2 else {
      throw TokenizerError(
        subject: "context length", found: "\(contextLength)", expected: "2 or more", fix: "CLIP was trained with 77.")
    }
    let filler =
      switch padding {
      case .zero: 0
      case .end: end
      case .id(let id): id
      }
    let encoded = texts.map(encode)
    let rows = encoded.map { ids in
      let row = [start] + ids.prefix(contextLength - 2) + [end]
      return row + repeatElement(filler, count: contextLength - row.count)
    }
    return Rows(ids: rows, lengths: encoded.map(\.count))
  }

  /// Length of the word that starts here: `'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+`, ignoring case.
  /// 0 at white space.
  private static func wordLength(_ text: ArraySlice<Unicode.Scalar>) -> Int {
    if text.first == "'" {
      for ending in ["s", "ſ", "t", "re", "ve", "m", "ll", "d"]  // ſ is an s when case is ignored
      where text.dropFirst().starts(with: ending.unicodeScalars) {
        return 1 + ending.unicodeScalars.count
      }
    }
    let kind = text[text.startIndex].splitClass
    switch kind {
    case .space: return 0
    case .number: return 1
    case .letter, .other: return text.prefix { $0.splitClass == kind }.count
    }
  }

  private func word(_ scalars: ArraySlice<Unicode.Scalar>) -> [Int] {
    var bytes: [UInt8] = []
    for scalar in scalars { bytes.append(contentsOf: UTF8.encode(scalar)!) }
    var symbols = bytes.map { inner[Int($0)] }
    symbols[symbols.count - 1] = final[Int(bytes[bytes.count - 1])]
    return pairs.merged(symbols).map(Int.init)
  }
}
