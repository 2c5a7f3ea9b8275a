import VTokTemplate
import VTokWeights

/// How a conversation and its images become the text that a model was trained on: by the chat template of the checkpoint,
/// which is run, by one that is known by its name, or by one that the user gives.
public struct PromptTemplate: Sendable {
  public enum Origin: Sendable, Equatable {
    /// The checkpoint's own, in this file.
    case checkpoint(file: String)
    /// The checkpoint has none: the one that models of its type are known by.
    case model
    /// Asked for.
    case given
  }

  public let name: String
  public let origin: Origin
  private let program: Program

  private enum Program: Sendable {
    case chat(ChatTemplate)
    case text(TextTemplate)
  }

  /// Its name, and where it comes from if that is not plain.
  public var title: String {
    switch origin {
    case .checkpoint: "\(name) of the checkpoint"
    case .model: "\(name), which models of this type are known by: the checkpoint has no template"
    case .given: name
    }
  }

  /// The text of a conversation, a placeholder for every image. Nothing that a message says is taken for a part of the
  /// template.
  /// - Throws: `ModelError.input` for what the template cannot make of the messages.
  public func text(_ messages: [ChatMessage]) throws(ModelError) -> String {
    switch program {
    case .chat(let template): try template.text(messages)
    case .text(let template): try template.text(messages)
    }
  }

  /// The text of one question.
  /// - Parameter system: a sentence before the question; nil: the template's own, which most have not.
  public func text(_ question: String, images: Int, system: String? = nil) throws(ModelError) -> String {
    try text(ChatMessage.question(question, images: images, system: system))
  }

  // MARK: Templates that are asked for

  /// Every template that is known, by name.
  public static let builtIn = KnownTemplate.all.map(\.name)

  /// A name of `builtIn`, a template in Jinja, or a text with `{prompt}`, `{images}` and perhaps `{system}` in it.
  /// - Parameters:
  ///   - family: whose placeholder stands for an image.
  ///   - checkpoint: has the special tokens that a template in Jinja may write.
  public init(_ given: String, for family: VisualText, checkpoint: Checkpoint? = nil) throws {
    origin = .given
    if let known = KnownTemplate.all.first(where: { $0.name == given }) {
      name = given
      program = .chat(try ChatTemplate(known.source, from: "template '\(given)'", variables: [], for: family))
    } else if given.contains("{%") || given.contains("{{") {
      name = "custom"
      let variables = try checkpoint?.specialTokens ?? []
      program = .chat(try ChatTemplate(given, from: "template", variables: variables, for: family))
    } else {
      name = "custom"
      program = .text(try TextTemplate(given, for: family))
    }
  }

  private init(_ name: String, _ origin: Origin, _ program: Program) {
    self.name = name
    self.origin = origin
    self.program = program
  }

  // MARK: Templates of checkpoints

  /// The checkpoint's own chat template; if it has none, the one that its model is known by.
  /// - Throws: `ModelError.template` where the template cannot be run, and where there is none and
  ///   the model is not known.
  public static func load(
    _ checkpoint: Checkpoint, tokenizer: TextTokenizer, for family: VisualText
  ) throws -> PromptTemplate {
    let own = try checkpoint.chatTemplate
    if own?.isOfTokenizer ?? true, let named = try named(checkpoint.config) {
      let chat = try ChatTemplate(named.source, from: "template \(named.name)", variables: [], for: family)
      return PromptTemplate(named.name, .checkpoint(file: "config.json"), .chat(chat))
    }
    if let own {
      let place = "chat template of '\(checkpoint.name)' (\(own.file))"
      let chat = try ChatTemplate(own.text, from: place, variables: checkpoint.specialTokens, for: family)
      return PromptTemplate(own.file, .checkpoint(file: own.file), .chat(chat))
    }
    guard let known = try known(checkpoint.config, tokenizer) else {
      let config = checkpoint.config
      let text = (config.value(at: "text_config.model_type") ?? config["model_type"])?.string ?? ""
      throw ModelError.template(
        what: "prompt template of \(checkpoint.name)",
        found: "none, and none that is known for '\(config["model_type"]?.string ?? "")' with '\(text)'",
        expected: "a chat template in the folder, or a model that is known by one",
        fix: #"Give one, for example "USER: {images}\n{prompt} ASSISTANT:", or one by name: "#
          + builtIn.joined(separator: ", ") + ".")
    }
    let chat = try ChatTemplate(known.source, from: "template \(known.name)", variables: [], for: family)
    return PromptTemplate(known.name, .model, .chat(chat))
  }

  /// The template of the authors' code that the configuration names; nil: it names none.
  /// - Throws: `ModelError.configuration` for one that is not built.
  private static func named(_ config: JSON) throws(ModelError) -> KnownTemplate? {
    guard let family = MultimodalFamily.of(config), let key = family.templateKey else { return nil }
    let file = Config(json: config)
    guard let name = try file.string(key) else { return nil }
    guard let known = family.templates.first(where: { $0.name == name }) else {
      throw file.unfit(key, "one of " + family.templates.map(\.name).joined(separator: ", "), found: "'\(name)'")
    }
    return known
  }

  /// The template that a model is known by.
  private static func known(_ config: JSON, _ tokenizer: TextTokenizer) throws(ModelError) -> KnownTemplate? {
    guard let family = MultimodalFamily.of(config) else { return nil }
    let language = try family.language(Config(json: config)).string("model_type") ?? ""
    return family.template(language) { tokenizer.id($0) != nil }
  }
}

/// A text with `{prompt}`, `{images}` and perhaps `{system}` in it: one question.
private struct TextTemplate: Sendable {
  /// Before all else, around a system sentence, and around images and question.
  private let start: String, system: String, body: String
  private let image: String

  init(_ given: String, for family: VisualText) throws(ModelError) {
    guard ["{prompt}", "{images}"].allSatisfy({ given.count(of: $0) == 1 }), given.count(of: "{system}") <= 1 else {
      throw .template(
        what: "template", found: "'\(given.prefix(200))'",
        expected:
          "one of \(PromptTemplate.builtIn.joined(separator: ", ")), a Jinja template, or a text with {prompt} "
          + "and {images} once",
        fix: #"For example "USER: {images}\n{prompt} ASSISTANT:"."#)
    }
    let (before, after) = given.splitOnce("{system}")
    let hasSystem = given.count(of: "{system}") == 1
    (start, body) = hasSystem ? (before, after) : ("", given)
    system = hasSystem ? "{system}" : "{system} "
    image = family.image
  }

  func text(_ messages: [ChatMessage]) throws(ModelError) -> String {
    let spoken = messages.filter { $0.role != .system }
    let systems = messages.prefix(messages.count - spoken.count)
    guard spoken.count == 1, spoken[0].role == .user, systems.allSatisfy({ $0.role == .system }), systems.count < 2
    else {
      throw .template(
        what: "template", found: "a text with {prompt} for \(spoken.count) turns", expected: "one question",
        fix: "Give a Jinja template or one by name: " + PromptTemplate.builtIn.joined(separator: ", ") + ".")
    }
    let sentence = systems.first.map { message in
      let (before, after) = system.splitOnce("{system}")
      return before + message.text + after
    }
    let (before, rest) = body.splitOnce("{prompt}")
    let place = { (text: String) in
      let (head, tail) = text.splitOnce("{images}")
      return head + String(repeating: image, count: text.count(of: "{images}") * spoken[0].images) + tail
    }
    return start + (sentence ?? "") + place(before) + spoken[0].text + place(rest)
  }
}

// MARK: Files of a checkpoint

extension Checkpoint {
  /// The file that holds the chat template; nil where none does.
  public var chatTemplateFile: String? { get throws { try chatTemplate?.file } }

  /// The chat template and the file that it is in, or the key of a GGUF file. The processor's goes before the tokenizer's, as in transformers.
  var chatTemplate: (text: String, file: String, isOfTokenizer: Bool)? {
    get throws {
      if let text = vocabulary?.template { return (text, "tokenizer.chat_template", true) }
      for file in ["processor_config.json", "chat_template.json"] {
        if let text = try named(json(file)?["chat_template"], in: file) { return (text, file, false) }
      }
      if let text = try text("chat_template.jinja") { return (text, "chat_template.jinja", false) }
      let file = "tokenizer_config.json"
      return try named(json(file)?["chat_template"], in: file).map { ($0, file, true) }
    }
  }

  /// A text, or of a list of named ones that which is called `default`.
  private func named(_ value: JSON?, in file: String) throws(ModelError) -> String? {
    guard let value, !value.isNull else { return nil }
    if let text = value.string { return text }
    let all = value.array?.compactMap { $0["template"]?.string != nil && $0["name"]?.string != nil ? $0 : nil } ?? []
    if let chosen = all.first(where: { $0["name"] == "default" }) ?? (all.count == 1 ? all[0] : nil) {
      return chosen["template"]?.string
    }
    throw .template(
      what: "\(file) of '\(name)'", found: "a chat_template that is neither a text nor a list with one named 'default'",
      expected: "one of these", fix: "Use the file as published, or give a template.")
  }

  /// `bos_token`, `eos_token` and whatever other names of tokens the tokenizer's files have, for templates.
  var specialTokens: [(String, TemplateValue)] {
    get throws {
      if let vocabulary { return vocabulary.special.map { ($0.name, .string($0.token)) } }
      var found: [(String, TemplateValue)] = []
      for file in ["tokenizer_config.json", "special_tokens_map.json"] {
        for (key, value) in try json(file)?.object ?? JSONObject() where key.hasSuffix("_token") {
          guard let text = value.string ?? value["content"]?.string, !found.contains(where: { $0.0 == key }) else {
            continue
          }
          found.append((key, .string(text)))
        }
      }
      return found
    }
  }
}
