/// The text tokenizer of a language model, as its `tokenizer.json` describes it: byte-level BPE (GPT-2, SmolLM, Qwen2,
/// Llama 3) and BPE with byte fallback (Llama, Mistral). Ids, token names and decoded text are those of Hugging Face
/// `tokenizers`; of a tokenizer inside a GGUF file those of llama.cpp. What a file asks for and is not built is an error when the file is read.
/// ```swift
/// let tokenizer = try TextTokenizer(Checkpoint(directory: "llava-1.5-7b-hf"))
/// let ids = tokenizer.encode("USER: <image>\nWhat is this? ASSISTANT:")
/// ```
public struct TextTokenizer: Sendable {
  private let added: AddedTokens
  private let normalizer: Normalizer
  private let preTokenizer: PreTokenizer
  private let model: any TokenModel
  private let postProcessor: PostProcessor
  private let decoder: TokenDecoder
  private let addedIDs: [ExactString: Int32]

  /// From the value of `tokenizer.json`.
  /// - Throws: `TokenizerError` naming the first thing that is missing or not built.
  public init(_ json: JSON) throws(TokenizerError) {
    let file = TokenizerPart(json: json, path: "")
    normalizer = try Normalizer(file.part("normalizer"))
    added = try AddedTokens(file, normalizer: normalizer)
    preTokenizer = try PreTokenizer(file.part("pre_tokenizer"))
    guard let part = file.part("model") else { throw file.refused("model", "a model of type BPE") }
    model = try BPEModel(part, added: added)
    postProcessor = try PostProcessor(file.part("post_processor"))
    decoder = try TokenDecoder(file.part("decoder"))
    addedIDs = Dictionary(added.names.map { (ExactString($1), $0) }) { first, _ in first }
    for (token, id) in addedIDs {
      if let other = model.id(token.string), other != id {
        throw TokenizerError(
          subject: "tokenizer.json: `added_tokens`", found: "id \(id) for `\(shortened(token.string))`",
          expected: "its id \(other) in the vocabulary", fix: "Fetch the file again.")
      }
    }
  }

  init(
    _ vocabulary: GGUFVocabulary, _ placeholder: String?, normalizer: Normalizer, preTokenizer: PreTokenizer,
    model: any TokenModel, postProcessor: PostProcessor, decoder: TokenDecoder
  ) {
    added = AddedTokens(vocabulary, placeholder: placeholder)
    self.normalizer = normalizer
    self.preTokenizer = preTokenizer
    self.model = model
    self.postProcessor = postProcessor
    self.decoder = decoder
    addedIDs = Dictionary(added.names.map { (ExactString($1), $0) }) { first, _ in first }
  }

  /// From the `tokenizer.json` of a checkpoint, the files that came before it, or the keys of a GGUF file.
  /// - Parameter own: tokens that its files may lack.
  public init(_ checkpoint: Checkpoint, adding own: [(token: String, id: Int)] = []) throws {
    if let vocabulary = checkpoint.vocabulary {
      try self.init(vocabulary, placeholder: checkpoint.placeholder)
      return
    }
    guard var json = try checkpoint.json("tokenizer.json") ?? VocabularyFiles.tokenizer(of: checkpoint) else {
      throw TokenizerError(
        subject: checkpoint.name, found: "no text tokenizer",
        expected: "tokenizer.json, or vocab.json with merges.txt",
        fix: "Fetch this file of the checkpoint too; tokenizer.model alone is not read.")
    }
    for (token, id) in own { json = try json.adding(token, id: id, of: checkpoint.name) }
    try self.init(json)
  }

  /// What `encode` puts in front of every text.
  public var start: [Int] { postProcessor.before.map(Int.init) }

  /// The id of a token by its name in the file.
  public func id(_ token: String) -> Int? { (addedIDs[ExactString(token)] ?? model.id(token)).map(Int.init) }

  /// The name of a token in the file.
  public func token(_ id: Int) -> String? {
    Int32(exactly: id).flatMap { added.names[$0] ?? model.names[$0] }
  }

  /// The ids of a text. Names of added tokens (`<image>`) mean those tokens.
  /// - Parameter special: whether the tokens of the post-processor (`<s>`) are put around them.
  public func encode(_ text: String, special: Bool = true) -> [Int] {
    let ids = added.split(Array(text.unicodeScalars), normalizer: normalizer).flatMap { part -> [Int32] in
      switch part {
      case .token(let id): [id]
      case .text(let piece): preTokenizer([piece]).flatMap { model.encode($0.text) }
      }
    }
    return (special ? postProcessor.before + ids + postProcessor.after : ids).map(Int.init)
  }

  /// The text of ids. Ids without a token are left out; bytes that are no UTF-8 become U+FFFD.
  public func decode(_ ids: some Sequence<Int>, skipsSpecial: Bool = true) -> String {
    decoder(ids.filter { !skipsSpecial || !isSpecial($0) }.compactMap(token))
  }

  fileprivate func isSpecial(_ id: Int) -> Bool { Int32(exactly: id).map(added.special.contains) ?? false }
}

/// Text of ids while they come. Characters whose bytes are spread over tokens are held back until they are whole.
///
/// The parts joined are `decode` of all ids, but for text that is not valid UTF-8 with byte fallback: there `decode`
/// takes back what was good before the fault in the same run of bytes.
public struct TokenStream: Sendable {
  private let tokenizer: TextTokenizer
  private let skipsSpecial: Bool
  private var ids: [Int] = []  // the last ids shown, as context, and those held back
  private var shown = 0

  public init(_ tokenizer: TextTokenizer, skipsSpecial: Bool = true) {
    self.tokenizer = tokenizer
    self.skipsSpecial = skipsSpecial
  }

  /// What the next id adds.
  public mutating func append(_ id: Int) -> String {
    if skipsSpecial && tokenizer.isSpecial(id) { return "" }
    ids.append(id)
    return flush(all: false)
  }

  /// What is still held back, at the end.
  public mutating func finish() -> String { flush(all: true) }

  private mutating func flush(all: Bool) -> String {
    let text = Array(tokenizer.decode(ids, skipsSpecial: false).utf8)
    if !all, text.suffix(3) == [0xEF, 0xBF, 0xBD] { return "" }  // U+FFFD: not whole yet
    let old = Array(tokenizer.decode(ids[..<shown], skipsSpecial: false).utf8)
    let new =
      text.starts(with: old)
      ? text[old.count...] : Array(tokenizer.decode(ids[shown...], skipsSpecial: false).utf8)[...]
    if !new.isEmpty { ids.removeFirst(shown) }
    shown = ids.count
    return String(decoding: new, as: UTF8.self)
  }
}

extension JSON {
  /// A `tokenizer.json` with one more special token, where it lacks it.
  fileprivate func adding(_ token: String, id: Int, of name: String) throws(TokenizerError) -> JSON {
    let (added, vocabulary) = (self["added_tokens"]?.array ?? [], value(at: "model.vocab")?.object ?? JSONObject())
    if vocabulary[token] != nil || added.contains(where: { $0["content"]?.string == token }) { return self }
    let other = added.first { $0["id"]?.int == id }?["content"]?.string ?? vocabulary.first { $0.value.int == id }?.key
    if let other {
      throw TokenizerError(
        subject: "tokenizer of \(name)", found: "`\(shortened(other))` with the id \(id)",
        expected: "no token there: `\(token)` has that id", fix: "Use tokenizer and configuration of one revision.")
    }
    var file = object ?? JSONObject()
    file["added_tokens"] = .array(
      added + [["content": JSON(token), "id": JSON(id), "special": true, "normalized": false]])
    return .object(file)
  }
}
