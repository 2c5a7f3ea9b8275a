import VTokImage
import VTokWeights

/// How a question and its images become the text that a model was trained on.
///
/// A checkpoint's own chat template is a program (Jinja) and is not run. It is compared with the published ones, of which
/// these are what is left for one question; the rest is known by model.
public struct PromptTemplate: Sendable, Equatable {
  public let name: String
  /// Before all else.
  private let start: String
  /// Around a system sentence, `{system}` in it; `standard` stands where none is given.
  private let system: String, standard: String
  /// One image: the placeholder and what belongs to it.
  private let image: String
  /// `{images}` and `{prompt}`; where there are no images `bare` stands in their place.
  private let body: String, bare: String

  private init(
    _ name: String, start: String = "", system: String, standard: String = "", image: String, body: String,
    bare: String = ""
  ) {
    (self.name, self.start, self.system, self.standard) = (name, start, system, standard)
    (self.image, self.body, self.bare) = (image, body, bare)
  }

  /// The text of one question. Text of the question is never taken for a part of the template.
  /// - Parameter system: a sentence before the question; nil: the template's own, which most have not.
  public func text(_ question: String, images: Int, system: String? = nil) -> String {
    let pictures = images == 0 ? bare : String(repeating: image, count: images)
    let parts = body.replacingFirst("{images}", with: pictures).splitOnce("{prompt}")
    return start + (system.map { self.system.replacingFirst("{system}", with: $0) } ?? standard) + parts.0 + question
      + parts.1
  }

  // MARK: Templates by name

  /// Every template that is known, by name.
  public static let builtIn = [
    llava, vicuna, mistral, llama3, smolVLM, idefics3, qwen,
  ]

  /// llava-hf's LLaVA-1.5.
  static let llava = PromptTemplate(
    "llava", system: "{system} ", image: "<image>\n", body: "USER: {images}{prompt} ASSISTANT:")
  /// Vicuna v1 with its system sentence: LLaVA-1.5 in the papers' evaluations, and LLaVA-NeXT with Vicuna.
  static let vicuna = PromptTemplate(
    "vicuna-v1", system: "{system} ",
    standard: "A chat between a curious user and an artificial intelligence assistant. "
      + "The assistant gives helpful, detailed, and polite answers to the user's questions. ",
    image: "<image>\n", body: "USER: {images}{prompt} ASSISTANT:")
  /// LLaVA-NeXT with Mistral.
  static let mistral = PromptTemplate(
    "mistral", system: "<<SYS>>\n{system}\n<</SYS>>\n\n", image: "<image>\n", body: "[INST] {images}{prompt} [/INST]")
  /// LLaVA-NeXT with Llama 3.
  static let llama3 = PromptTemplate(
    "llama-3", system: "<|start_header_id|>system<|end_header_id|>\n\n\n{system}<|eot_id|>", image: "<image>",
    body: "<|start_header_id|>user<|end_header_id|>\n\n{images}\n{prompt}<|eot_id|>"
      + "<|start_header_id|>assistant<|end_header_id|>\n\n")
  static let smolVLM = PromptTemplate(
    "smolvlm", start: "<|im_start|>", system: "System: {system}<end_of_utterance>\n", image: "<image>",
    body: "User:{images}{prompt}<end_of_utterance>\nAssistant:", bare: " ")
  static let idefics3 = PromptTemplate(
    "idefics3", start: "<|begin_of_text|>", system: smolVLM.system, image: smolVLM.image, body: smolVLM.body,
    bare: smolVLM.bare)
  /// Qwen2-VL and Qwen2.5-VL: ChatML.
  static let qwen = PromptTemplate(
    "qwen2-vl", system: "<|im_start|>system\n{system}<|im_end|>\n",
    standard: "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n",
    image: "<|vision_start|><|image_pad|><|vision_end|>",
    body: "<|im_start|>user\n{images}{prompt}<|im_end|>\n<|im_start|>assistant\n")

  /// A name of `builtIn`, or a text with `{prompt}`, `{images}` and perhaps `{system}` in it.
  /// - Parameter family: whose placeholder `{images}` stands for.
  public init(_ given: String, for family: VisualText) throws(ModelError) {
    if let known = Self.builtIn.first(where: { $0.name == given }) {
      self = known
      return
    }
    let fields = ["{prompt}", "{images}"]
    guard fields.allSatisfy({ given.count(of: $0) == 1 }), given.count(of: "{system}") <= 1 else {
      throw .input(
        what: "--template", found: "'\(given)'",
        expected:
          "one of \(Self.builtIn.map(\.name).joined(separator: ", ")), or a text with {prompt} and {images} once",
        fix: #"For example --template "USER: {images}\n{prompt} ASSISTANT:"."#)
    }
    let (before, after) = given.splitOnce("{system}")
    let hasSystem = given.count(of: "{system}") == 1
    self.init(
      "custom", start: hasSystem ? before : "", system: hasSystem ? "{system}" : "{system} ", image: family.image,
      body: hasSystem ? after : given)
  }

  // MARK: Templates of checkpoints

  /// The template of a checkpoint: its own chat template if that is a published one, else the one its model is known by.
  /// - Throws: `ModelError.input` that asks for `--template` where neither is known.
  public static func load(_ checkpoint: Checkpoint, tokenizer: TextTokenizer) throws -> PromptTemplate {
    if let known = try checkpoint.chatTemplate.flatMap(published) { return known }
    let config = checkpoint.config
    let type = config["model_type"]?.string ?? ""
    let text = (config.value(at: "text_config.model_type") ?? config["model_type"])?.string ?? ""
    func knows(_ token: String) -> Bool { tokenizer.id(token) != nil }
    let isMistral = text.contains("mistral")
    let known: PromptTemplate?
    switch type {
    case "llava", "llava_llama", "llava_mistral", "llava_next", "pmod_llava_llama":
      if knows("<|start_header_id|>") {
        known = llama3
      } else if knows("<|im_start|>") || isMistral && type != "llava_next" {
        known = nil
      } else if type == "llava_next" {
        known = isMistral ? mistral : vicuna
      } else {
        known = llava
      }
    case "idefics3", "smolvlm":  // SmolVLM is of type idefics3 in its first generation
      known = knows("<|begin_of_text|>") ? idefics3 : knows("<|im_start|>") ? smolVLM : nil
    case "qwen2_vl", "qwen2_5_vl": known = qwen
    default: known = nil
    }
    guard let known else {
      throw ModelError.input(
        what: "prompt template of \(checkpoint.name)", found: "none that is known for '\(type)' with '\(text)'",
        expected: "a published chat template, or a model with a template of its own",
        fix: #"Give one, for example --template "USER: {images}\n{prompt} ASSISTANT:", or one by name: "#
          + builtIn.map(\.name).joined(separator: ", ") + ".")
    }
    return known
  }

  /// What a published chat template (Jinja) makes of one question; nil for one that is not known.
  package static func published(_ chatTemplate: String) -> PromptTemplate? { published[fingerprint(chatTemplate)] }

  private static let published: [UInt64: PromptTemplate] = [
    0xd9ce_d1d7_141b_9c24: llava, 0x4101_6294_ec8d_9cfa: llama3, 0x92cf_2b51_e627_e013: smolVLM,
    0x357a_1549_38db_1b0b: smolVLM, 0x4c01_4775_db0e_175f: idefics3, 0x2750_4678_98fc_405a: idefics3,
    0x7124_2f76_359e_71e8: qwen,
    // With and without a system message, and with three spellings of the end mark.
    0xce77_4978_6d3f_fecd: mistral, 0x8cae_050d_f880_c380: mistral, 0x205f_5240_b53d_6f56: mistral,
    0x1a3d_1232_9308_ec17: mistral, 0x4687_7a6b_22d2_e998: mistral, 0x3233_2b55_7aef_eb22: mistral,
  ]

  /// FNV-1a of the template, line ends written as such and none behind.
  private static func fingerprint(_ template: String) -> UInt64 {
    var scalars = Array(template.unicodeScalars)
    while let last = scalars.last, last.properties.isWhitespace { scalars.removeLast() }
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    var bytes = Array(String(String.UnicodeScalarView(scalars)).utf8)[...]
    while let byte = bytes.popFirst() {
      let isLineEnd = byte == UInt8(ascii: "\\") && bytes.first == UInt8(ascii: "n")
      if isLineEnd { bytes.removeFirst() }
      hash = (hash ^ UInt64(isLineEnd ? 10 : byte)) &* 0x100_0000_01b3
    }
    return hash
  }
}

extension Checkpoint {
  /// The file that holds the chat template; nil where none does.
  public var chatTemplateFile: String? {
    get throws {
      if try text("chat_template.jinja") != nil { return "chat_template.jinja" }
      return try ["chat_template.json", "processor_config.json", "tokenizer_config.json"].first {
        try json($0)?["chat_template"]?.string != nil
      }
    }
  }

  /// The chat template as a checkpoint has it, in one of four places.
  var chatTemplate: String? {
    get throws {
      if let text = try text("chat_template.jinja") { return text }
      for file in ["chat_template.json", "processor_config.json", "tokenizer_config.json"] {
        if let text = try json(file)?["chat_template"]?.string { return text }
      }
      return nil
    }
  }
}

/// How images stand in the text of a family's prompts.
public enum VisualText: Sendable, Equatable {
  /// LLaVA: one placeholder per token of the image.
  case llava
  /// Idefics3: tiles by row and column, then the whole image, a placeholder per token of each.
  case idefics3
  /// Qwen-VL.
  case qwen

  /// By `model_type`; nil for a model that is none of these.
  public init?(modelType: String) {
    switch modelType {
    case "llava", "llava_llama", "llava_mistral", "llava_next", "pmod_llava_llama": self = .llava
    case "idefics3", "smolvlm": self = .idefics3
    case "qwen2_vl", "qwen2_5_vl": self = .qwen
    default: return nil
    }
  }

  /// The token that stands for one visual token.
  public var placeholder: String { self == .qwen ? "<|image_pad|>" : "<image>" }
  /// One image in a prompt before it is written out.
  public var image: String { self == .qwen ? "<|vision_start|><|image_pad|><|vision_end|>" : "<image>" }

  /// The text with its placeholders, one an image, written out: one for every visual token.
  /// - Parameter images: in the text's order: tiles that the image was cut into, and tokens of every visual span.
  /// - Throws: `ModelError.input` if there are more or fewer placeholders than images.
  public func writtenOut(_ text: String, images: [(rows: Int, columns: Int, spans: [Int])]) throws(ModelError) -> String
  {
    try check(text, images: images.count)
    var rest = text
    var out = ""
    for image in images {
      let (before, after) = rest.splitOnce(placeholder)
      out += before + writtenOut(image)
      rest = after
    }
    return out + rest
  }

  /// Refuses a text that does not hold as many placeholders as there are images.
  public func check(_ text: String, images: Int) throws(ModelError) {
    let found = text.count(of: placeholder)
    guard found == images else {
      throw .input(
        what: "prompt", found: "'\(placeholder)' \(found) times for \(images) images",
        expected: "one for every image",
        fix: "Leave it out of the prompt: the template places the images; or check --template and --image.")
    }
  }

  private func writtenOut(_ image: (rows: Int, columns: Int, spans: [Int])) -> String {
    func tokens(_ span: Int) -> String { String(repeating: placeholder, count: image.spans[span]) }
    guard self == .idefics3 else { return image.spans.indices.map(tokens).joined() }
    let mark = "<fake_token_around_image>"
    var text = ""
    for row in 0..<image.rows {
      for column in 0..<image.columns {
        text += "\(mark)<row_\(row + 1)_col_\(column + 1)>" + tokens(row * image.columns + column)
      }
      text += "\n"
    }
    return text + (image.rows > 0 ? "\n" : "") + "\(mark)<global-img>" + tokens(image.spans.count - 1) + mark
  }
}

// By bytes: a combining mark behind a field does not hide it.
extension String {
  /// What lies before and after the first `mark`; all and nothing without one.
  fileprivate func splitOnce(_ mark: String) -> (String, String) {
    guard let range = utf8.firstRange(of: mark.utf8) else { return (self, "") }
    return (String(self[..<range.lowerBound]), String(self[range.upperBound...]))
  }

  fileprivate func replacingFirst(_ mark: String, with text: String) -> String {
    let (before, after) = splitOnce(mark)
    return count(of: mark) == 0 ? self : before + text + after
  }

  fileprivate func count(of mark: String) -> Int { utf8.ranges(of: mark.utf8).count }
}
