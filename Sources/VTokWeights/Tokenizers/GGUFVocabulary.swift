import VTokFiles

/// The tokens of a language model in a GGUF file, and what its keys say about them (`tokenizer.*`).
public struct GGUFVocabulary: Sendable {
  enum Kind: Int, Sendable {
    case undefined, normal, unknown, control, userDefined, unused, byte
  }

  /// Path of the file.
  public let file: String
  /// In the order of their ids.
  public let tokens: [String]
  let kinds: [Kind]
  /// `tokenizer.ggml.model`
  let model: String
  /// The chat template in Jinja; nil: the file has none.
  public let template: String?
  let unknown: Int?
  private let values: GGUFMetadata
  private let ids: [ExactString: Int]
  /// By the key without `_token_id`.
  private let named: [String: Int]

  /// - Returns: nil for a file without a tokenizer.
  /// - Throws: `TokenizerError` for keys that are missing, or that contradict each other; `WeightError` for values that would
  ///   take more memory than a vocabulary may.
  public init?(_ values: GGUFMetadata, file: String) throws {
    guard let entry = values["tokenizer.ggml.model"] else { return nil }
    guard let model = entry.text else { throw Self.refused(file, "ggml.model", "no text", "a name") }
    self.file = file
    self.values = values
    self.model = model
    guard let array = values["tokenizer.ggml.tokens"]?.array, let tokens = try array.texts(), !tokens.isEmpty,
      tokens.count < 1 << 24
    else { throw Self.refused(file, "ggml.tokens", "no list of texts", "the texts of all tokens") }
    self.tokens = tokens
    kinds = try Self.kinds(values, file, count: tokens.count)
    ids = Dictionary(
      zip(tokens, kinds).enumerated().filter { $1.1 != .unused }.map { (ExactString($1.0), $0) }
    ) { $1 }
    var named: [String: Int] = [:]
    for name in ["bos", "eos", "eot", "unknown", "padding"] {
      let key = "ggml.\(name)_token_id"
      guard let value = values["tokenizer." + key] else { continue }
      guard let id = value.int, tokens.indices.contains(id) else {
        throw Self.refused(
          file, key, value.int.map { "\($0)" } ?? "no whole number", "an id below the \(tokens.count) of the tokens")
      }
      named[name] = id
    }
    self.named = named
    unknown = named["unknown"] ?? kinds.firstIndex(of: .unknown)
    if let entry = values["tokenizer.chat_template"] {
      guard let text = entry.text else { throw Self.refused(file, "chat_template", "no text", "a template in Jinja") }
      template = text
    } else {
      template = nil
    }
  }

  private static func kinds(_ values: GGUFMetadata, _ file: String, count: Int) throws -> [Kind] {
    guard let value = values["tokenizer.ggml.token_type"] else { return [Kind](repeating: .normal, count: count) }
    let kinds = try value.array?.ints()?.compactMap(Kind.init) ?? []
    guard kinds.count == count else {
      let found = value.array.map { "\($0.count) values" } ?? "no list"
      throw refused(file, "ggml.token_type", found, "a number from 1 to 6 for each of the \(count) tokens")
    }
    return kinds
  }

  // MARK: Tokens by name

  func id(_ token: String) -> Int? { ids[ExactString(token)] }

  /// The id that stands for an image: the token's own, or one behind all others where the file has no such token.
  /// Files made with the tokenizer of another model have another spelling.
  public func placeholder(_ token: String) -> Int {
    id(token) ?? Self.placeholders.lazy.compactMap { id($0) }.first ?? tokens.count
  }

  /// Spellings of the token that stands for an image in published tokenizers.
  private static let placeholders = ["<|image_pad|>", "<IMG_CONTEXT>", "<image_soft_token>", "<image>"]

  /// Ids that end a text: the file's own, and those of tokens that end a turn.
  public var stops: [Int] {
    let ends = ["<|im_end|>", "<end_of_turn>", "<end_of_utterance>", "<|eot_id|>"]
    return Set([named["eos"], named["eot"]].compactMap(\.self) + ends.compactMap(id)).sorted()
  }

  /// Special tokens by the names that templates have for them.
  public var special: [(name: String, token: String)] {
    [("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"), ("pad_token", "padding")]
      .compactMap { name, key in named[key].map { (name, tokens[$0]) } }
  }

  /// What is put around every text.
  func surroundings(startsByDefault: Bool) throws(TokenizerError) -> PostProcessor {
    func id(_ name: String, _ switched: String, _ standard: Bool) throws(TokenizerError) -> [Int32] {
      guard try flag("ggml.\(switched)", standard) else { return [] }
      guard let id = named[name] else {
        throw refused("ggml.\(name)_token_id", "nothing", "an id, as every text has that token (\(switched))")
      }
      return [Int32(id)]
    }
    return PostProcessor(
      before: try id("bos", "add_bos_token", startsByDefault), after: try id("eos", "add_eos_token", false))
  }

  // MARK: Keys

  func flag(_ key: String, _ standard: Bool) throws(TokenizerError) -> Bool {
    guard let value = values["tokenizer." + key] else { return standard }
    guard let flag = value.bool else { throw refused(key, "no truth value", "true or false") }
    return flag
  }

  /// One number for every token.
  func scores() throws -> [Float] {
    let key = "ggml.scores"
    let array = values["tokenizer." + key]?.array
    guard let scores = try array?.floats(), scores.count == tokens.count, !scores.contains(where: \.isNaN) else {
      throw refused(
        key, array.map { "\($0.count) values" } ?? "no list", "a number for each of the \(tokens.count) tokens")
    }
    return scores
  }

  /// The pairs of tokens that merge, those of highest priority first.
  func merges() throws -> [(left: String, right: String)] {
    let key = "ggml.merges"
    guard let texts = try values["tokenizer." + key]?.array?.texts() else {
      throw refused(key, "no list of texts", "pairs of tokens")
    }
    return try texts.map { text in
      // A token may be a space itself: the one that parts stands behind the first character.
      let scalars = text.unicodeScalars
      guard let first = scalars.indices.dropFirst().first(where: { scalars[$0] == " " }) else {
        throw refused(key, "'\(shortened(text))'", "two tokens with a space between them")
      }
      return (String(scalars[..<first]), String(scalars[scalars.index(after: first)...]))
    }
  }

  /// How a text is cut before it is merged, by the name that the file gives; nil: the file gives none.
  var cut: String? { values["tokenizer.ggml.pre"]?.text }

  func refused(_ key: String, _ found: String, _ expected: String) -> TokenizerError {
    Self.refused(file, key, found, expected)
  }

  private static func refused(_ file: String, _ key: String, _ found: String, _ expected: String) -> TokenizerError {
    TokenizerError(
      subject: "\(file): `tokenizer.\(key)`", found: found, expected: expected,
      fix: "Use the file as published; other kinds of tokenizers are not built.")
  }
}

// MARK: Tokenizers

extension TextTokenizer {
  /// The tokenizer of a GGUF file: SentencePiece with scores (`llama`), or byte-level BPE (`gpt2`). Ids are those of
  /// llama.cpp: texts are not normalised.
  /// - Parameter placeholder: the token that stands for an image, cut out of texts whatever its type; nil: there is none.
  /// - Throws: `TokenizerError` that names a kind of tokenizer that is not built, and what is wrong with this one.
  public init(_ vocabulary: GGUFVocabulary, placeholder: String? = nil) throws {
    switch vocabulary.model {
    case "llama":
      let spaced = try vocabulary.flag("ggml.add_space_prefix", true)
      let mark: Unicode.Scalar = "\u{2581}"
      let replace = Normalizer.replace(LiteralReplacement([" "], by: [mark]))
      self.init(
        vocabulary, placeholder, normalizer: .sequence((spaced ? [.prepend([mark])] : []) + [replace]),
        preTokenizer: .sequence([]), model: try ScoredPieces(vocabulary),
        postProcessor: try vocabulary.surroundings(startsByDefault: true), decoder: .pieces(mark, strips: spaced))
    case "gpt2":
      // Names of llama.cpp for the patterns of published tokenizers.
      let cuts: [String: (PreTokenizer, startsText: Bool, takesWhole: Bool)] = [
        "gpt-2": (.byteLevel(prefixSpace: false, .gpt2), false, false),
        "smollm": (.sequence([.digits(individual: true), .byteLevel(prefixSpace: false, .gpt2)]), false, false),
        "qwen2": (.sequence([.split(.cl100k(digits: 1)), .byteLevel(prefixSpace: false, nil)]), false, false),
        "llama-bpe": (.sequence([.split(.cl100k(digits: 3)), .byteLevel(prefixSpace: false, nil)]), true, true),
      ]
      let others = ["llama3": "llama-bpe", "llama-v3": "llama-bpe"]
      guard let name = vocabulary.cut, let cut = cuts[others[name] ?? name] else {
        throw vocabulary.refused(
          "ggml.pre", vocabulary.cut.map { "'\(shortened($0))'" } ?? "nothing",
          "one of \(cuts.keys.sorted().joined(separator: ", "))")
      }
      self.init(
        vocabulary, placeholder, normalizer: .sequence([]), preTokenizer: cut.0,
        model: try BPEModel(vocabulary, ignoresMerges: cut.takesWhole),
        postProcessor: try vocabulary.surroundings(startsByDefault: cut.startsText), decoder: .byteLevel)
    default:
      throw vocabulary.refused("ggml.model", "'\(shortened(vocabulary.model))'", "llama or gpt2")
    }
  }
}

extension GGUFVocabulary {
  /// Names of tokens by id; those that are never made have none.
  var names: [Int32: String] {
    Dictionary(
      uniqueKeysWithValues: zip(tokens, kinds).enumerated().filter { $1.1 != .unused }.map { (Int32($0), $1.0) })
  }
}
