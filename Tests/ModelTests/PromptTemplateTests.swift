import Foundation
import Testing
import VTok

@Suite struct PromptTemplateTests {
  /// A tokenizer that knows these tokens and the letter `a`.
  static func tokenizer(_ tokens: [String]) throws -> TextTokenizer {
    let added = tokens.enumerated().map { ["id": JSON($0 + 1), "content": JSON($1), "special": true] as JSON }
    return try TextTokenizer(["added_tokens": .array(added), "model": ["vocab": ["a": 0], "merges": []]])
  }

  static func checkpoint<Result>(
    _ config: String, _ files: [String: String] = [:], _ body: (Checkpoint) throws -> Result
  ) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("template-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    for (name, text) in files.merging(["config.json": config], uniquingKeysWith: { $1 }) {
      try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/" + name))
    }
    try Safetensors.write([], to: folder + "/model.safetensors")
    return try body(Checkpoint(directory: folder))
  }

  static func template(_ config: String, files: [String: String] = [:], tokens: [String] = []) throws -> PromptTemplate
  {
    try checkpoint(config, files) { checkpoint in
      let family = VisualText(of: checkpoint.config) ?? .llava
      return try PromptTemplate.load(checkpoint, tokenizer: tokenizer(tokens), for: family)
    }
  }

  static func own(_ chat: String, _ family: String = "llava", _ more: [String: String] = [:]) throws -> PromptTemplate {
    try template(
      #"{"model_type": "\#(family)"}"#, files: more.merging(["chat_template.jinja": chat], uniquingKeysWith: { $1 }))
  }

  // MARK: Without a template

  /// By model, where the checkpoint has no chat template, and said so.
  @Test(arguments: [
    (#"{"model_type": "llava"}"#, [String](), "llava"),
    (#"{"model_type": "llava_next"}"#, [], "vicuna-v1"),
    (#"{"model_type": "llava_next", "text_config": {"model_type": "mistral"}}"#, [], "mistral"),
    (#"{"model_type": "llava_next"}"#, ["<|start_header_id|>"], "llama-3"),
    (#"{"model_type": "idefics3"}"#, ["<|begin_of_text|>"], "idefics3"),
    (#"{"model_type": "idefics3"}"#, ["<|im_start|>"], "smolvlm"),
    (#"{"model_type": "smolvlm"}"#, ["<|im_start|>"], "smolvlm"), (#"{"model_type": "qwen2_5_vl"}"#, [], "qwen2-vl"),
    (#"{"model_type": "qwen3_vl"}"#, [], "qwen3-vl"), (#"{"model_type": "gemma3"}"#, [], "gemma3"),
    (#"{"model_type": "qwen3_5"}"#, [], "qwen3.5"),
  ]) func knowsTheModel(config: String, tokens: [String], name: String) throws {
    let known = try Self.template(config, tokens: tokens)
    #expect(known.name == name && known.origin == .model && known.title.contains("no template"))
    // A template of its own is never passed over for it, whatever is in it.
    let own = try Self.own("{% for m in messages %}{{ m.content }}{% endfor %}!")
    #expect(own.origin == .checkpoint(file: "chat_template.jinja"))
  }

  @Test(arguments: [
    (#"{"model_type": "llava_next"}"#, ["<|im_start|>"]),
    (#"{"model_type": "llava", "text_config": {"model_type": "mistral"}}"#, []), (#"{"model_type": "moondream"}"#, []),
    (#"{"model_type": "smolvlm"}"#, []),
  ]) func asksForATemplate(config: String, tokens: [String]) {
    #expect { try Self.template(config, tokens: tokens) } throws: { isTemplateError($0) }
  }

  // MARK: The checkpoint's own

  static func parts(_ start: String) -> String {
    start + "{% for m in messages %}[{{ m.role }}]{% for p in m.content %}{% if p.type == 'image' %}<image>"
      + "{% else %}{{ p.text }}{% endif %}{% endfor %}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
  }

  /// The files in the order in which they count.
  static let files = ["processor_config.json", "chat_template.json", "chat_template.jinja", "tokenizer_config.json"]

  @Test(arguments: files.indices) func readsTheFileThatCounts(_ first: Int) throws {
    let folder = Dictionary(
      uniqueKeysWithValues: Self.files[first...].map { file in
        let text = Self.parts(file + " ")
        return (file, file.hasSuffix("json") ? (["chat_template": JSON(text)] as JSON).text() : text)
      })
    let template = try Self.template(#"{"model_type": "llava"}"#, files: folder)
    #expect(template.name == Self.files[first] && template.origin == .checkpoint(file: Self.files[first]))
    #expect(try template.text("Hm?", images: 1) == Self.files[first] + " [user]<image>Hm?[assistant]")
  }

  @Test func takesTheDefaultOfNamedOnes() throws {
    func list(_ names: [String]) -> String {
      let all = names.map { ["name": JSON($0), "template": JSON(Self.parts($0))] as JSON }
      return (["chat_template": .array(all)] as JSON).text()
    }
    func text(_ names: [String]) throws -> String {
      try Self.template(#"{"model_type": "llava"}"#, files: ["tokenizer_config.json": list(names)]).text("?", images: 1)
    }
    #expect(try text(["tool_use", "default"]).hasPrefix("default["))
    #expect(try text(["only"]).hasPrefix("only["))
    #expect { try text(["a", "b"]) } throws: {
      "\($0)".contains("tokenizer_config.json") && "\($0)".contains("'default'")
    }
    #expect {
      try Self.template(#"{"model_type": "llava"}"#, files: ["chat_template.json": #"{"chat_template": 5}"#])
    } throws: { "\($0)".contains("chat_template.json") }
  }

  /// What cannot be run is said with its name and line, and nothing stands in for it.
  @Test(arguments: [
    ("\n\n{% include 'x' %}", ["line 3", "`include`"]), ("{{ messages|wordwrap }}", ["line 1", "`wordwrap`"]),
    ("{% if %}", ["line 1"]), ("{% for m in messages %}", ["line 1", "endfor"]),
    ("{% for m in messages %}{{ m.x.y }}{% endfor %}", ["line 1", "'x'"]),
    ("{{ raise_exception('Never!') }}", ["refuses", "Never!"]), ("hello", ["`<image>`"]),
    ("{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}", ["`<image>`"]),
    ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", ["nested"]),
  ]) func refusesWhatItCannotRun(chat: String, says: [String]) {
    #expect {
      try Self.own(chat)
    } throws: { error in
      isTemplateError(error) && (says + ["chat_template.jinja"]).allSatisfy { "\(error)".contains($0) }
    }
  }

  /// The content of a message has the form that the template takes, for each role.
  @Test(arguments: [
    (parts(""), "[system]S.[user]<image>Q?[assistant]A.[user]R?[assistant]"),
    (
      "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]",
      "[system]S.[user]<image>\nQ?[assistant]A.[user]R?[assistant]"
    ),
    (
      "{% for m in messages %}[{{ m.role }}]{{ m.content if m.content is string else m.content|tojson }}{% endfor %}",
      "[system]S.[user]<image>\nQ?[assistant]A.[user]R?"
    ),
    (
      "{% for m in messages %}{% if m.role != 'user' %}{{ '[' + m.content + ']' }}{% else %}{% for p in m.content %}"
        + "{{ '<image>' if p['type'] == 'image' else p['text'] }}{% endfor %}{% endif %}{% endfor %}",
      "[S.]<image>Q?[A.]R?"
    ),
    (
      "{% for m in messages %}{% if m.role == 'user' %}{{ m.content + '|' }}{% else %}{{ m.content[0].text }}"
        + "{% endif %}{% endfor %}", "S.<image>\nQ?|A.R?|"
    ),
  ]) func givesTheContentThatTheTemplateTakes(chat: String, text: String) throws {
    let messages = [
      ChatMessage(role: .system, parts: [.text("S.")]), ChatMessage(role: .user, parts: [.image, .text("Q?")]),
      ChatMessage(role: .assistant, parts: [.text("A.")]), ChatMessage(role: .user, parts: [.text("R?")]),
    ]
    #expect(try Self.own(chat).text(messages) == text)
  }

  /// A template that takes no system message refuses one, and takes the rest.
  @Test func refusesWhatTheTemplateRefuses() throws {
    let chat =
      "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
      + Self.parts("")
    let template = try Self.own(chat)
    #expect(try template.text("Hm?", images: 1) == "[user]<image>Hm?[assistant]")
    #expect {
      try template.text("Hm?", images: 1, system: "Be brief.")
    } throws: { "\($0)".contains("System role not supported") }
  }

  @Test func writesTheTokensOfTheTokenizer() throws {
    let chat = Self.parts(
      "{{ bos_token }}{{ image_token }}{{ eos_token }}{{ pad_token }}|".replacing("{{ image_token }}", with: ""))
    let tokens = #"{"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false}, "pad_token": null}"#
    let template = try Self.own(
      chat, "llava", ["tokenizer_config.json": tokens, "special_tokens_map.json": #"{"pad_token": "<pad>"}"#])
    #expect(try template.text("?", images: 0).hasPrefix("<s></s><pad>|"))
  }

  /// What a template does to the text does not hide it.
  @Test(arguments: ["upper", "lower", "title", "capitalize", "trim", "e", "replace('?', '!')"])
  func findsTheTextWhateverBecomesOfIt(filter: String) throws {
    let chat = Self.parts("").replacing("{{ p.text }}", with: "{{ p.text | \(filter) }}")
    #expect(try Self.own(chat).text("1", images: 1) == "[user]<image>1[assistant]")
  }

  @Test func takesTextForWhatItIs() throws {
    let text = #"{{ 1 + 1 }}{% if %} "quoted" \n {images}"#
    #expect(try Self.own(Self.parts("")).text(text, images: 0) == "[user]\(text)[assistant]")
  }

  // MARK: Asked for

  @Test func takesATextOfOnesOwn() throws {
    let template = try PromptTemplate("<s>{system}Q {images}: {prompt}\nA", for: .qwen)
    let image = "<|vision_start|><|image_pad|><|vision_end|>"
    #expect(try template.text("{images}{system}?", images: 2) == "<s>Q \(image)\(image): {images}{system}?\nA")
    #expect(try template.text("?", images: 0, system: "Be {prompt}. ") == "<s>Be {prompt}. Q : ?\nA")
    #expect(
      try PromptTemplate("{prompt}{images}", for: .llava).text("{images}", images: 1, system: "S.")
        == "S. {images}<image>")
    #expect(try PromptTemplate("mistral", for: .llava).name == "mistral")
    for wrong in ["", "USER:", "{prompt}", "{images}{prompt}{prompt}", "mistrall"] {
      #expect { try PromptTemplate(wrong, for: .llava) } throws: { isTemplateError($0) }
    }
    // Several turns are beyond it.
    let turns = ChatMessage.question("?", images: 1) + [ChatMessage(role: .assistant, parts: [.text("A")])]
    #expect { try template.text(turns + turns) } throws: { "\($0)".contains("one question") }
  }

  @Test func takesJinja() throws {
    let template = try PromptTemplate(Self.parts("X"), for: .llava)
    #expect(template.origin == .given)
    #expect(try template.text("Hm?", images: 2) == "X[user]<image><image>Hm?[assistant]")
    #expect { try PromptTemplate("{{ 'a' | xyz }}", for: .llava) } throws: { "\($0)".contains("`xyz`") }
  }

  /// Turns as the models' authors write them.
  @Test(arguments: [
    ("llava", VisualText.llava, "S. USER: <image>\nQ? ASSISTANT: A. USER: R? ASSISTANT:"),
    ("vicuna-v1", .llava, "S. USER: <image>\nQ? ASSISTANT: A.</s>USER: R? ASSISTANT:"),
    ("mistral", .llava, "<<SYS>>\nS.\n<</SYS>>\n\n[INST] <image>\nQ? [/INST] A.</s> [INST] R? [/INST]"),
    (
      "smolvlm", .idefics3,
      "<|im_start|>System: S.<end_of_utterance>\nUser:<image>Q?<end_of_utterance>\nAssistant: A.<end_of_utterance>\n"
        + "User: R?<end_of_utterance>\nAssistant:"
    ),
    (
      "qwen2-vl", .qwen,
      "<|im_start|>system\nS.<|im_end|>\n<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Q?<|im_end|>\n"
        + "<|im_start|>assistant\nA.<|im_end|>\n<|im_start|>user\nR?<|im_end|>\n<|im_start|>assistant\n"
    ),
    (
      "qwen3-vl", .qwen,
      "<|im_start|>system\nS.<|im_end|>\n<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Q?<|im_end|>\n"
        + "<|im_start|>assistant\nA.<|im_end|>\n<|im_start|>user\nR?<|im_end|>\n<|im_start|>assistant\n"
    ),
    (
      "gemma3", .gemma3,
      "<bos><start_of_turn>user\nS.\n\n<start_of_image>Q?<end_of_turn>\n<start_of_turn>model\nA.<end_of_turn>\n"
        + "<start_of_turn>user\nR?<end_of_turn>\n<start_of_turn>model\n"
    ),
  ]) func writesSeveralTurns(name: String, family: VisualText, text: String) throws {
    let messages = [
      ChatMessage(role: .system, parts: [.text("S.")]), ChatMessage(role: .user, parts: [.image, .text("Q?")]),
      ChatMessage(role: .assistant, parts: [.text("A.")]), ChatMessage(role: .user, parts: [.text("R?")]),
    ]
    #expect(try PromptTemplate(name, for: family).text(messages) == text)
  }

  @Test func countsThePlaceholders() {
    for text in ["no image", "<image> and <image>", "<image>\u{301}<image>"] {
      #expect { try VisualText.llava.writtenOut(text, images: [(0, 0, [3])]) } throws: { "\($0)".contains("1 images") }
    }
    #expect(throws: Never.self) { try VisualText.llava.writtenOut("plain", images: []) }
  }
}

/// Whether an error says that another template is needed.
private func isTemplateError(_ error: any Error) -> Bool {
  if case ModelError.template = error { true } else { false }
}
