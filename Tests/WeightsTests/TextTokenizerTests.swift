import Foundation
import Testing
import VTokWeights

@Suite struct TextTokenizerTests {
  static let names = ["llama-prepend", "llama-metaspace", "qwen2-bytelevel", "smollm-bytelevel"]

  static func json(_ file: String) throws -> JSON {
    try JSON(parsing: [UInt8](Data(contentsOf: URL(fileURLWithPath: golden("lvlm/tokenizers/" + file)))))
  }

  /// Ids one by one give the text of all ids, and no half character on the way.
  @Test(arguments: names) func streams(_ name: String) throws {
    let tokenizer = try TextTokenizer(Self.json(name + ".tokenizer.json"))
    for row in try Self.json(name + ".json").array("rows") {
      for skips in [true, false] {
        let ids = row["ids"]!.ints!
        var stream = TokenStream(tokenizer, skipsSpecial: skips)
        let parts = ids.map { stream.append($0) }
        #expect(!parts.contains { $0.contains("\u{FFFD}") })
        let joined = parts.joined() + stream.finish()
        #expect(joined.utf8.elementsEqual(tokenizer.decode(ids, skipsSpecial: skips).utf8), "\(joined)")
      }
    }
  }

  @Test func holdsBackWhatIsNotWhole() throws {
    let tokenizer = try TextTokenizer(Self.json("llama-metaspace.tokenizer.json"))
    var stream = TokenStream(tokenizer)
    let emoji = ["<0xF0>", "<0x9F>", "<0x98>", "<0x80>"].map { tokenizer.id($0)! }
    #expect(emoji.map { stream.append($0) } == ["", "", "", "😀"])
    // Cut in the middle, the rest shows at the end, as `decode` shows it.
    #expect(emoji.dropLast().map { stream.append($0) } == ["", "", ""])
    #expect(stream.finish().hasSuffix("\u{FFFD}"))
    #expect(tokenizer.decode([999_999, -1]) == "" && tokenizer.token(999_999) == nil)
  }

  /// Whatever a file asks for and is not built is refused by name when it is read.
  @Test(arguments: [
    ("normalizer", #"{"type": "BertNormalizer"}"#, "`normalizer.type`"),
    ("normalizer", #"{"type": "Sequence", "normalizers": [{"type": "NFKC"}]}"#, "`normalizer.normalizers[0].type`"),
    ("normalizer", #"{"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "x"}"#, "`normalizer.pattern`"),
    ("pre_tokenizer", #"{"type": "Whitespace"}"#, "`pre_tokenizer.type`"),
    (
      "pre_tokenizer", #"{"type": "Split", "pattern": {"Regex": "(?m)\\d+"}, "behavior": "Isolated"}"#,
      "pre_tokenizer.pattern"
    ),
    ("model", #"{"type": "Unigram", "vocab": [["a", -1]]}"#, "`model.type`"),
    ("model", #"{"type": "WordPiece", "vocab": {}}"#, "`model.type`"),
    ("model", #"{"vocab": {"a": 0}, "merges": ["a b"]}"#, "`model.merges`"),
    ("model", #"{"vocab": {"a": 0}, "merges": [], "unk_token": "<unk>"}"#, "`model.unk_token`"),
    ("model", #"{"vocab": {"a": 0}, "merges": [], "end_of_word_suffix": "</w>"}"#, "`model.end_of_word_suffix`"),
    ("model", #"{"vocab": {"a": -1}, "merges": []}"#, "`model.vocab.a`"),
    ("model", "null", "`model`"),
    ("post_processor", #"{"type": "BertProcessing"}"#, "`post_processor.type`"),
    (
      "post_processor", #"{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}]}"#,
      "special_tokens"
    ),
    ("decoder", #"{"type": "WordPiece"}"#, "`decoder.type`"),
    ("added_tokens", #"[{"id": 1, "content": "a"}]"#, "`added_tokens`"),
    ("added_tokens", #"[{"content": "<x>"}]"#, "`added_tokens[0].id`"),
  ])
  func refuses(key: String, value: String, subject: String) throws {
    var file = try #require(try Self.json("smollm-bytelevel.tokenizer.json").object)
    file[key] = try JSON(parsing: value)
    #expect {
      try TextTokenizer(.object(file))
    } throws: { error in
      (error as? TokenizerError)?.subject.contains(subject) == true
    }
  }

  @Test func namesTheMissingFile() throws {
    try withFolder { folder in
      try write("{}", folder + "/config.json")
      try Safetensors.write([], to: folder + "/model.safetensors")
      #expect(throws: TokenizerError.self) { try TextTokenizer(Checkpoint(directory: folder)) }
    }
  }
}
