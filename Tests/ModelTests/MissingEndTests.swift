import Foundation
import TestSupport
import Testing
import VTok

/// A model whose files do not say what ends an answer is refused: its answers would run on to their limit.
@Suite struct MissingEndTests {
  private static let model = ConfigFuzzTests.repository + "/Benchmarks/models/vqa-small"

  /// The stop tokens of a copy.
  private func stops(
    generation: String? = nil, tokenizer: String = "{}",
    config: (inout JSONObject) -> Void = { _ in }
  ) throws -> Set<Int> {
    var files = ["tokenizer_config.json": tokenizer]
    for name in ["tokenizer.json", "processor_config.json"] {
      files[name] = try String(contentsOfFile: Self.model + "/" + name, encoding: .utf8)
    }
    files["generation_config.json"] = generation
    return try withCopy(
      of: Self.model,
      config: {
        var text = $0["text_config"]!.object!
        (text["eos_token_id"], $0["eos_token_id"]) = (nil, nil)
        $0["text_config"] = .object(text)
        config(&$0)
      }, files: files, body: { try Generator(model: $0).model.stops })
  }

  @Test func whateverSaysItCounts() throws {
    let token = #"{"eos_token": "</s>"}"#
    #expect(try stops(generation: #"{"eos_token_id": [2, 5]}"#, tokenizer: token) == [2, 5])
    #expect(try stops(config: { $0["eos_token_id"] = 7 }) == [7])
    #expect(
      try stops(generation: #"{"eos_token_id": []}"#, config: { $0["eos_token_id"] = 7 }) == [7])
    #expect(try stops(tokenizer: token) == [2])
    #expect(
      try stops(
        generation: "{}", tokenizer: #"{"eos_token": {"content": "</s>", "lstrip": false}}"#) == [2]
    )
  }

  @Test(arguments: ["{}", #"{"eos_token": null}"#, #"{"eos_token": "<|no such token|>"}"#])
  func nothingSaysIt(tokenizer: String) {
    let error = modelError { _ = try stops(tokenizer: tokenizer) }
    #expect(
      error?.description.contains("generation_config.json") == true,
      "\(error.map { "\($0)" } ?? "none")")
  }
}
