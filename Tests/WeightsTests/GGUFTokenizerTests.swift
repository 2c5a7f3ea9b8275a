import Testing
import VTokWeights

/// Tokenizers inside GGUF files: what the goldens (`gguf.tokenize`) leave open, and what is refused and how.
@Suite struct GGUFTokenizerTests {
  /// SentencePiece: all bytes, then pieces with scores.
  static let pieces = pieces(image: "<image>")

  /// - Parameter image: the token that stands for an image.
  static func pieces(image: String) -> GGUFBuilder {
    var file = GGUFBuilder()
    let bytes = (0..<256).map { "<0x" + ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: true) + ">" }
    let tokens: [(String, Float, Int32)] =
      [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3)] + bytes.map { ($0, 0, 6) }
      + [
        ("▁", -1, 1), ("a", -1, 1), ("b", -1, 1), ("ab", -3, 1), ("ba", -2, 1), ("▁a", -4, 1), ("aba", -9, 1),
        (image, 0, 1), ("[PAD]", 0, 5), ("<im", 0, 4), ("age>", 0, 3),
      ]
    file.add("tokenizer.ggml.model", "llama")
    file.add("tokenizer.ggml.tokens", tokens.map(\.0))
    file.add("tokenizer.ggml.scores", tokens.map(\.1))
    file.add("tokenizer.ggml.token_type", tokens.map(\.2))
    file.add("tokenizer.ggml.bos_token_id", UInt32(1))
    file.add("tokenizer.ggml.eos_token_id", UInt32(2))
    return file
  }

  /// Byte-level BPE with four letters and two merges.
  static let merges: GGUFBuilder = {
    var file = GGUFBuilder()
    file.add("tokenizer.ggml.model", "gpt2")
    file.add("tokenizer.ggml.pre", "llama-bpe")
    file.add("tokenizer.ggml.tokens", ["a", "b", "Ġ", "ab", "Ġab", "bab", "<|im_end|>", "<|s|>"])
    file.add("tokenizer.ggml.token_type", [1, 1, 1, 1, 1, 1, 3, 3] as [Int32])
    file.add("tokenizer.ggml.merges", ["a b", "Ġ ab"])
    file.add("tokenizer.ggml.bos_token_id", UInt32(7))
    return file
  }()

  private func vocabulary(_ file: GGUFBuilder) throws -> GGUFVocabulary {
    try #require(try GGUFVocabulary(file.opened().values, file: "test.gguf"))
  }
  private func names(_ tokenizer: TextTokenizer, _ text: String) -> [String] {
    tokenizer.encode(text).map { tokenizer.token($0) ?? "?" }
  }

  @Test func theHighestScoreMergesFirst() throws {
    let tokenizer = try TextTokenizer(vocabulary(Self.pieces))
    // `ba` before `ab`; then nothing fits but what stands alone.
    #expect(names(tokenizer, "aba") == ["<s>", "▁a", "ba"])
    #expect(names(tokenizer, "abab") == ["<s>", "▁a", "ba", "b"])
    #expect(names(tokenizer, "c") == ["<s>", "▁", "<0x63>"])
    #expect(names(tokenizer, "é") == ["<s>", "▁", "<0xC3>", "<0xA9>"])
    #expect(names(tokenizer, "") == ["<s>"])
    #expect(tokenizer.decode(tokenizer.encode("aba é")) == "aba é")
    // A filler is never made, and none of its letters is a token.
    #expect(names(tokenizer, "[PAD]").filter { $0 == "[PAD]" }.isEmpty && tokenizer.id("[PAD]") == nil)
    // Long texts without a space cost no more than n log n.
    #expect(tokenizer.encode(String(repeating: "ab", count: 50_000), special: false).count == 50_001)
  }

  /// The placeholder is cut out whatever its type, and is behind all tokens where the file has none. The longest token is
  /// looked for first.
  @Test func thePlaceholder() throws {
    let own = try TextTokenizer(vocabulary(Self.pieces), placeholder: "<image>")
    #expect(names(own, "a<image>a") == ["<s>", "▁a", "<image>", "▁a"])
    // Files made with the tokenizer of another model spell it otherwise.
    let other = try TextTokenizer(vocabulary(Self.pieces), placeholder: "<picture>")
    #expect(
      names(other, "a<picture>a") == ["<s>", "▁a", "<picture>", "▁a"] && other.id("<picture>") == own.id("<image>"))
    let without = Self.pieces(image: "<other>")
    let none = try TextTokenizer(vocabulary(without), placeholder: "<picture>")
    let count = try vocabulary(without).tokens.count
    #expect(none.id("<picture>") == count && none.encode("<picture>", special: false) == [count])
    #expect(none.token(count) == "<picture>" && none.decode([count]) == "")
    // Without the placeholder its two halves are tokens that are cut out.
    #expect(names(none, "<image>") == ["<s>", "<im", "age>"])
  }

  @Test func spacesAreNotPutWhereTheFileSaysSo() throws {
    var file = Self.pieces
    file.add("tokenizer.ggml.add_space_prefix", false)
    file.add("tokenizer.ggml.add_bos_token", false)
    file.add("tokenizer.ggml.add_eos_token", true)
    let tokenizer = try TextTokenizer(vocabulary(file))
    #expect(names(tokenizer, "a a") == ["a", "▁a", "</s>"] && tokenizer.start.isEmpty)
    #expect(tokenizer.decode(tokenizer.encode(" a")) == " a")
  }

  @Test func llamaBPE() throws {
    let tokenizer = try TextTokenizer(vocabulary(Self.merges))
    // A whole piece that is a token is not merged anew; the file has the start token by its pattern's default.
    #expect(names(tokenizer, "bab ab<|im_end|>") == ["<|s|>", "bab", "Ġab", "<|im_end|>"])
    #expect(tokenizer.decode(tokenizer.encode("bab ab")) == "bab ab")
    #expect(try vocabulary(Self.merges).stops == [6])
    for (name, plain) in [("llama3", true), ("gpt-2", false), ("smollm", false), ("qwen2", false)] {
      var file = Self.merges
      file.remove("tokenizer.ggml.pre")
      file.add("tokenizer.ggml.pre", name)
      let other = try TextTokenizer(vocabulary(file))
      #expect(
        other.start == (plain ? [7] : []) && names(other, "bab").suffix(2) == (plain ? ["<|s|>", "bab"] : ["b", "ab"]))
    }
  }

  @Test func noTokenizerIsNone() throws {
    #expect(try GGUFVocabulary(GGUFBuilder().opened().values, file: "test.gguf") == nil)
  }

  /// Keys that are wrong, each with what the message must name.
  private struct Fault: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let isMerges: Bool
    let change: @Sendable (inout GGUFBuilder) -> Void
    init(_ name: String, merges: Bool = false, _ key: String, _ change: @escaping @Sendable (inout GGUFBuilder) -> Void)
    {
      testDescription = name
      isMerges = merges
      self.change = {
        $0.remove("tokenizer." + key)
        change(&$0)
      }
    }
  }
  private static let faults: [Fault] = [
    Fault("'bert'", "ggml.model") { $0.add("tokenizer.ggml.model", "bert") },
    Fault("ggml.model", "ggml.model") { $0.add("tokenizer.ggml.model", UInt32(3)) },
    Fault("ggml.tokens", "ggml.tokens") { _ in },
    Fault("ggml.tokens", "ggml.tokens") { $0.add("tokenizer.ggml.tokens", [] as [String]) },
    Fault("ggml.tokens", "ggml.tokens") { $0.add("tokenizer.ggml.tokens", [1, 2] as [Int32]) },
    Fault("ggml.scores", "ggml.scores") { _ in },
    Fault("ggml.scores", "ggml.scores") { $0.add("tokenizer.ggml.scores", [0, 1] as [Float]) },
    Fault("ggml.token_type", "ggml.token_type") { $0.add("tokenizer.ggml.token_type", [1] as [Int32]) },
    Fault("ggml.token_type", "ggml.token_type") {
      $0.add("tokenizer.ggml.token_type", [Int32](repeating: 99, count: 270))
    },
    Fault("ggml.bos_token_id", "ggml.bos_token_id") { $0.add("tokenizer.ggml.bos_token_id", UInt32.max) },
    Fault("ggml.bos_token_id", "ggml.bos_token_id") { $0.add("tokenizer.ggml.bos_token_id", Int32(-1)) },
    Fault("ggml.bos_token_id", "ggml.bos_token_id") { _ in },
    Fault("ggml.eot_token_id", "ggml.eot_token_id") { $0.add("tokenizer.ggml.eot_token_id", "end") },
    Fault("ggml.add_bos_token", "ggml.add_bos_token") { $0.add("tokenizer.ggml.add_bos_token", "yes") },
    Fault("chat_template", "chat_template") { $0.add("tokenizer.chat_template", UInt32(1)) },
    Fault("'deepseek-llm'", merges: true, "ggml.pre") { $0.add("tokenizer.ggml.pre", "deepseek-llm") },
    Fault("ggml.pre", merges: true, "ggml.pre") { _ in },
    Fault("ggml.merges", merges: true, "ggml.merges") { _ in },
    Fault("ggml.merges", merges: true, "ggml.merges") { $0.add("tokenizer.ggml.merges", ["ab"]) },
    Fault("ggml.merges", merges: true, "ggml.merges") { $0.add("tokenizer.ggml.merges", ["a x"]) },
    Fault("ggml.merges", merges: true, "ggml.merges") { $0.add("tokenizer.ggml.merges", [" "]) },
  ]

  @Test(arguments: faults.indices) func whatIsWrongIsNamed(_ index: Int) throws {
    let fault = Self.faults[index]
    var file = fault.isMerges ? Self.merges : Self.pieces
    fault.change(&file)
    do {
      _ = try TextTokenizer(vocabulary(file))
      Issue.record("nothing was refused: \(fault.testDescription)")
    } catch let error as TokenizerError {
      #expect(error.description.contains(fault.testDescription) && error.subject.hasPrefix("test.gguf"), "\(error)")
    }
  }
}
