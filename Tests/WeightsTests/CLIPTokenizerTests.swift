import Testing
import VTokTensor
import VTokWeights

@Suite struct CLIPTokenizerTests {
  private static func text(_ path: String) throws -> String {
    try MappedFile(path: golden("clip-tokenizer/" + path)).withBytes { String(decoding: $0, as: UTF8.self) }
  }

  private static func mini() throws -> CLIPTokenizer {
    try CLIPTokenizer(vocabulary: JSON(parsing: text("mini_600/vocab.json")), merges: text("mini_600/merges.txt"))
  }

  @Test func agreesWithOpenCLIP() throws {
    let manifest = try JSON(parsing: Self.text("mini_600.json"))
    let config = try #require(manifest["config"])
    let texts = try config.strings("texts")
    let tokenizer = try Self.mini()
    #expect(try tokenizer.start == config.int("sot") && tokenizer.end == config.int("eot"))
    #expect(try tokenizer.count == config.int("vocab_size"))
    for (text, ids) in zip(texts, try config.array("raw_ids")) {
      #expect(tokenizer.encode(text) == ids.ints, "\(text)")
    }
    let rows = try tokenizer(texts, contextLength: config.int("context_length"))
    let expected = try Safetensors(path: golden("clip-tokenizer/mini_600.safetensors"))
    #expect(try rows.ids.joined().map(Int64.init) == expected.integers("out.input_ids"))
    #expect(try rows.lengths.map(Int64.init) == expected.integers("out.lengths"))
  }

  /// The three ways to load one vocabulary.
  @Test func loadsEveryLayout() throws {
    let vocabulary = try JSON(parsing: Self.text("mini_600/vocab.json"))
    let merges = try Self.text("mini_600/merges.txt")
    let lines = merges.split(separator: "\n").dropFirst().map(String.init)
    let pairs = lines.map { $0.split(separator: " ").map(String.init) }
    let sample = "A photo of the small CAT, naïve café 日本語 it's 2024!"
    let ids = try Self.mini().encode(sample)
    #expect(try CLIPTokenizer(merges: pairs.map { ($0[0], $0[1]) }).encode(sample) == ids)
    for merges in [JSON(lines), JSON.array(pairs.map { JSON($0) })] {
      let file: JSON = [
        "added_tokens": [["id": 1112, "content": "<start_of_text>"]],
        "model": ["type": "BPE", "end_of_word_suffix": "</w>", "vocab": vocabulary, "merges": merges],
      ]
      let tokenizer = try CLIPTokenizer(tokenizer: file)
      #expect(tokenizer.encode(sample) == ids && tokenizer.start == 1112)
    }
    try withFolder { folder in
      try write("{}", folder + "/config.json")
      try Safetensors.write([], to: folder + "/model.safetensors")
      let checkpoint = try Checkpoint(directory: folder)
      #expect(throws: TokenizerError.self) { try CLIPTokenizer(checkpoint) }
      try write(vocabulary.text(), folder + "/vocab.json")
      let error = #expect(throws: TokenizerError.self) { try CLIPTokenizer(checkpoint) }
      #expect(error?.found.contains("merges.txt") == true)
      try write(merges, folder + "/merges.txt")
      #expect(try CLIPTokenizer(checkpoint).encode(sample) == ids)
    }
  }

  @Test func refusesOtherVocabularies() throws {
    let full = try #require(try JSON(parsing: Self.text("mini_600/vocab.json")).object)
    func refused(_ object: JSONObject, _ merges: String, _ part: String) {
      let error = #expect(throws: TokenizerError.self) {
        try CLIPTokenizer(vocabulary: .object(object), merges: merges)
      }
      #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
    }
    refused(JSONObject(), "", "no symbol")
    refused(full, "q q", "no symbol `qq`")
    refused(full, "a b c", "the line `a b c`")
    var object = full
    object["<end_of_text>"] = nil
    refused(object, "", "<|startoftext|>")
    object = full
    object["a"] = -1
    refused(object, "", "the number -1 for `a`")
    #expect(throws: TokenizerError.self) { try CLIPTokenizer(tokenizer: ["model": ["type": "Unigram"]]) }
    #expect(throws: TokenizerError.self) { try Self.mini()(["a"], contextLength: 1) }
  }

  @Test func cutsAndPads() throws {
    let tokenizer = try Self.mini()
    let ids = tokenizer.encode("a photo of a dog.")
    let rows = try tokenizer(["a photo of a dog.", ""], contextLength: 4, padding: .end)
    #expect(rows.ids == [[1112] + ids[..<2] + [1113], [1112, 1113, 1113, 1113]] && rows.lengths == [ids.count, 0])
    #expect(try tokenizer([""], contextLength: 4, padding: .id(9)).ids == [[1112, 1113, 9, 9]])
    #expect(try tokenizer([""]).ids[0].count == 77)
  }

  /// Pairs of texts that must give the same ids.
  static let equal = [
    ("A  Photo\u{a0}of\tTHE\u{3000}dog ", "a photo of the dog"), ("a &amp; b", "a & b"), ("a &amp;amp; b", "a & b"),
    ("caf&eacute;", "café"), ("caf&#233;", "café"), ("caf&#xE9;", "café"), ("caf&eacute s", "café s"),
    ("&lt;b&gt;&quot;&apos;", "<b>\"'"), ("x&nbsp;y", "x y"),
    ("&#128; &#0; &#xD800; &#99999999999999999999;", "€ \u{fffd} \u{fffd} \u{fffd}"),
    ("&copy2024 &hellip;", "©2024 …"), ("&notanentity; &; &#; &#x; &", "¬anentity; &; &#; &#x; &"),
    ("ΣΑΣ", "σας"), ("2024", "2 0 2 4"), ("a!b", "a ! b"), ("dog's", "dog 's"), ("½²", "½ ²"),
  ]

  @Test(arguments: equal) func cleans(_ text: String, _ plain: String) throws {
    let tokenizer = try Self.mini()
    #expect(tokenizer.encode(text) == tokenizer.encode(plain))
  }

  @Test func readsSpecialTokensOnDemand() throws {
    var tokenizer = try Self.mini()
    #expect(tokenizer.encode("a <start_of_text><END_OF_TEXT>") == [320, 1112, 1113])
    tokenizer.readsSpecialTokens = false
    #expect(tokenizer.encode("<end_of_text>").allSatisfy { $0 < 1112 })
  }

  /// Any text has ids below the special ones, and a text of words is the sum of its words.
  @Test func takesAnyText() throws {
    let tokenizer = try Self.mini()
    var random = SeededGenerator(seed: 3)
    let pieces = [
      "a", "the", "dog's", "&amp", ";", "&#", "x41", "é", "日本", "🐶", "\u{301}", "\0", "\u{feff}", "12", " ", "\n", "'",
      "'S",
    ]
    for _ in 0..<2000 {
      let words = (0..<Int.random(in: 0..<8, using: &random)).map { _ in pieces.randomElement(using: &random)! }
      #expect(tokenizer.encode(words.joined()).allSatisfy { (0..<1112).contains($0) })
      let plain = words.filter { !$0.contains("&") && !$0.contains("#") && !$0.contains("41") }
      #expect(tokenizer.encode(plain.joined(separator: " ")) == plain.flatMap { tokenizer.encode($0) })
    }
  }

  /// A text without spaces costs no more than one with: seconds would mean that merging is quadratic.
  @Test(.timeLimit(.minutes(1))) func takesLongWords() throws {
    let ids = try Self.mini().encode(String(repeating: "thein", count: 200_000))
    #expect(ids.count < 1_000_000 && ids.count > 1000)
  }
}
