import Foundation
import Testing
import VTok

@Suite struct PromptTemplateTests {
  /// A tokenizer that knows these tokens and the letter `a`.
  static func tokenizer(_ tokens: [String]) throws -> TextTokenizer {
    let added = tokens.enumerated().map { ["id": JSON($0 + 1), "content": JSON($1), "special": true] as JSON }
    return try TextTokenizer(["added_tokens": .array(added), "model": ["vocab": ["a": 0], "merges": []]])
  }

  static func template(_ config: String, files: [String: String] = [:], tokens: [String] = []) throws -> PromptTemplate
  {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("template-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    for (name, text) in files.merging(["config.json": config], uniquingKeysWith: { $1 }) {
      try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/" + name))
    }
    try Safetensors.write([], to: folder + "/model.safetensors")
    return try PromptTemplate.load(Checkpoint(directory: folder), tokenizer: tokenizer(tokens))
  }

  /// By model, where the checkpoint has no chat template or one that is not known.
  @Test(arguments: [
    (#"{"model_type": "llava"}"#, [String](), "llava"),
    (#"{"model_type": "llava_next"}"#, [], "vicuna-v1"),
    (#"{"model_type": "llava_next", "text_config": {"model_type": "mistral"}}"#, [], "mistral"),
    (#"{"model_type": "llava_next"}"#, ["<|start_header_id|>"], "llama-3"),
    (#"{"model_type": "idefics3"}"#, ["<|begin_of_text|>"], "idefics3"),
    (#"{"model_type": "idefics3"}"#, ["<|im_start|>"], "smolvlm"),
    (#"{"model_type": "smolvlm"}"#, ["<|im_start|>"], "smolvlm"), (#"{"model_type": "qwen2_5_vl"}"#, [], "qwen2-vl"),
  ]) func knowsTheModel(config: String, tokens: [String], name: String) throws {
    #expect(try Self.template(config, tokens: tokens).name == name)
    #expect(try Self.template(config, files: ["chat_template.jinja": "{{ x }}"], tokens: tokens).name == name)
  }

  @Test(arguments: [
    (#"{"model_type": "llava_next"}"#, ["<|im_start|>"]),
    (#"{"model_type": "llava", "text_config": {"model_type": "mistral"}}"#, []), (#"{"model_type": "gemma3"}"#, []),
    (#"{"model_type": "smolvlm"}"#, []),
  ]) func asksForATemplate(config: String, tokens: [String]) {
    #expect { try Self.template(config, tokens: tokens) } throws: { "\($0)".contains("--template") }
  }

  /// The checkpoint's own template goes before what its model is known by, wherever it is kept.
  @Test(arguments: ["chat_template.jinja", "chat_template.json", "processor_config.json", "tokenizer_config.json"])
  func prefersTheCheckpoint(file: String) throws {
    let chat =
      "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}{% if message['content'][0]['type'] == "
      + "'image' %}{{':'}}{% else %}{{': '}}{% endif %}{% for line in message['content'] %}{% if line['type'] == 'text' %}"
      + "{{line['text']}}{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
      + "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}\n"
    let text = file.hasSuffix("json") ? (["chat_template": JSON(chat)] as JSON).text() : chat
    #expect(try Self.template(#"{"model_type": "llava"}"#, files: [file: text]).name == "smolvlm")
  }

  @Test func takesATextOfOnesOwn() throws {
    let template = try PromptTemplate("<s>{system}Q {images}: {prompt}\nA", for: .qwen)
    let image = "<|vision_start|><|image_pad|><|vision_end|>"
    #expect(template.text("{images}{system}?", images: 2) == "<s>Q \(image)\(image): {images}{system}?\nA")
    #expect(template.text("?", images: 0, system: "Be brief. ") == "<s>Be brief. Q : ?\nA")
    #expect(try PromptTemplate("mistral", for: .llava).name == "mistral")
    for wrong in ["", "USER:", "{prompt}", "{images}{prompt}{prompt}", "mistrall"] {
      #expect { try PromptTemplate(wrong, for: .llava) } throws: { "\($0)".contains("--template") }
    }
  }

  @Test func countsThePlaceholders() {
    for text in ["no image", "<image> and <image>", "<image>\u{301}<image>"] {
      #expect { try VisualText.llava.writtenOut(text, images: [(0, 0, [3])]) } throws: { "\($0)".contains("1 images") }
    }
    #expect(throws: Never.self) { try VisualText.llava.writtenOut("plain", images: []) }
  }
}
