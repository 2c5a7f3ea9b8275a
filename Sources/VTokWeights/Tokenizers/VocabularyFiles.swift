/// Text tokenizers in the files that came before `tokenizer.json`: `vocab.json`, `merges.txt`, and added tokens in
/// `added_tokens.json` and `tokenizer_config.json`. They are read as the `tokenizer.json` that transformers makes of them.
struct VocabularyFiles {
  /// What a class of transformers does around the merges.
  private struct Kind {
    let classes: [String]
    let normalizer: JSON
    /// nil: GPT-2's, which byte-level BPE has built in.
    let pattern: String?
  }

  private static let kinds = [
    Kind(
      classes: ["Qwen2Tokenizer"], normalizer: ["type": "NFC"], pattern: SplitPattern.cl100kText(digits: #"\p{N}"#)),
    Kind(classes: ["GPT2Tokenizer"], normalizer: .null, pattern: nil),
  ]

  /// nil: the folder has no such files.
  /// - Throws: `TokenizerError` for a class whose rules are not built; `WeightError`.
  static func tokenizer(of checkpoint: Checkpoint) throws -> JSON? {
    guard let vocabulary = try checkpoint.json("vocab.json"), let merges = try checkpoint.text("merges.txt") else {
      return nil
    }
    let settings = try checkpoint.json("tokenizer_config.json") ?? [:]
    let named = settings["tokenizer_class"]?.string
    let name = named.map { $0.hasSuffix("Fast") ? String($0.dropLast(4)) : $0 }
    guard let kind = kinds.first(where: { name.map($0.classes.contains) ?? false }) else {
      throw TokenizerError(
        subject: "\(checkpoint.name)/tokenizer_config.json: `tokenizer_class`",
        found: named.map { "'\(shortened($0))'" } ?? "nothing",
        expected: "one of \(kinds.flatMap(\.classes).joined(separator: ", ")), or a tokenizer.json in the folder",
        fix: "Save the tokenizer once with transformers, which writes tokenizer.json.")
    }
    let spaced = settings["add_prefix_space"]?.bool ?? false
    let bytes: JSON = [
      "type": "ByteLevel", "add_prefix_space": JSON(spaced), "use_regex": JSON(kind.pattern == nil),
    ]
    let split: [JSON] =
      kind.pattern.map {
        [["type": "Split", "pattern": ["Regex": JSON($0)], "behavior": "Isolated", "invert": false]]
      } ?? []
    return [
      "added_tokens": .array(try addedTokens(of: checkpoint)), "normalizer": kind.normalizer,
      "pre_tokenizer": ["type": "Sequence", "pretokenizers": .array(split + [bytes])],
      "model": ["type": "BPE", "vocab": vocabulary, "merges": .array(lines(merges).map { JSON($0) })],
      "decoder": ["type": "ByteLevel"],
    ]
  }

  /// Pairs of tokens, one a line; the first line may be a comment on the version.
  private static func lines(_ text: String) -> [String] {
    let lines = text.split(whereSeparator: \.isNewline)
    return lines.enumerated().compactMap { index, line in
      index == 0 && line.hasPrefix("#version") ? nil : String(line)
    }
  }

  /// Added tokens in the form of `tokenizer.json`, by id.
  private static func addedTokens(of checkpoint: Checkpoint) throws -> [JSON] {
    var tokens: [Int: JSON] = [:]
    for (name, id) in try checkpoint.json("added_tokens.json")?.object ?? JSONObject() {
      guard let id = id.int else { continue }
      tokens[id] = ["content": JSON(name), "id": JSON(id), "normalized": false]
    }
    for (key, value) in try checkpoint.json("tokenizer_config.json")?["added_tokens_decoder"]?.object ?? JSONObject() {
      guard let id = Int(key), var token = value.object else { continue }
      token["id"] = JSON(id)
      tokens[id] = .object(token)
    }
    return tokens.sorted { $0.key < $1.key }.map(\.value)
  }
}

extension Checkpoint {
  /// Id of an added token by its name, without reading the whole vocabulary where smaller files have it; nil: there is none.
  package func id(ofAdded name: String) throws -> Int? {
    if let id = vocabulary?.id(name) { return id }
    if let id = try json("added_tokens.json")?[name]?.int { return id }
    let listed = try json("tokenizer_config.json")?["added_tokens_decoder"]?.object ?? JSONObject()
    if let found = listed.first(where: { $0.value["content"]?.string == name }) { return Int(found.key) }
    let tokens = try json("tokenizer.json")?["added_tokens"]?.array ?? []
    return tokens.first { $0["content"]?.string == name }?["id"]?.int
  }
}
