import VTokTemplate
import VTokWeights

/// A chat template in Jinja, with the tokens that it may write and the form in which it wants what a message says.
struct ChatTemplate: Sendable {
  /// Templates differ in what they take for the content of a message.
  private enum Content: Sendable {
    /// `[{"type": "image"}, {"type": "text", "text": ...}]`
    case parts
    /// One text, in which the placeholders of the images stand.
    case text
  }

  private let template: Template
  private let variables: [(String, TemplateValue)]
  private let family: VisualText
  /// For messages: where the template comes from.
  private let place: String
  private var contents: [ChatMessage.Role: Content] = [:]

  /// - Parameter variables: names and texts of special tokens.
  /// - Throws: `ModelError.template` that names the construct that cannot be run and its line, and asks for another.
  init(
    _ source: String, from place: String, variables: [(String, TemplateValue)], for family: VisualText
  ) throws(ModelError) {
    self.variables = variables
    self.family = family
    self.place = place
    do throws(TemplateError) { template = try Template(source) } catch { throw Self.refused(error, place) }
    let user = try userContent()
    contents[.user] = user
    for role in [ChatMessage.Role.system, .assistant] { contents[role] = content(of: role, like: user) }
  }

  func text(_ messages: [ChatMessage]) throws(ModelError) -> String {
    do throws(TemplateError) {
      return try render(messages) { contents[$0] ?? contents[.user]! }
    } catch {
      throw Self.refused(error, place)
    }
  }

  private func render(
    _ messages: [ChatMessage], marked: Bool = false, _ content: (ChatMessage.Role) -> Content
  ) throws(TemplateError) -> String {
    let values = messages.map { message -> TemplateValue in
      ["role": .string(message.role.rawValue), "content": value(of: message, content(message.role), marked: marked)]
    }
    // As transformers calls it: tools and documents are there, and none.
    return try template.render(
      .object(
        variables + [
          ("messages", .list(values)), ("tools", .none), ("documents", .none), ("add_generation_prompt", .bool(true)),
        ]))
  }

  private func value(of message: ChatMessage, _ content: Content, marked: Bool) -> TemplateValue {
    switch content {
    case .parts:
      .list(
        message.parts.map { part in
          switch part {
          case .image: ["type": "image"]
          case .video: ["type": "video"]
          case .text(let text):
            .object(
              [("type", .string("text")), ("text", .string(text))]
                + (marked ? [(Self.mark, TemplateValue.bool(true))] : []))
          }
        })
    case .text:
      .string(
        message.parts.map { part in
          switch part {
          case .image: family.imageInText
          case .video: family.video?.video ?? ""
          case .text(let text): text
          }
        }.joined())
    }
  }

  // MARK: The form of the content

  // A text that no template holds and that stays as it is in upper or lower case, and a key that only shows where a list is
  // written out as such.
  private static let probe = "7091528463"
  private static let mark = "6482095137"

  /// What the template makes of a probe in this form; nil: it does not take it for what it is.
  private func tried(
    _ messages: [ChatMessage], _ content: (ChatMessage.Role) -> Content
  ) throws(TemplateError) -> String? {
    let text = try render(messages, marked: true, content)
    return text.count(of: Self.probe) > 0 && text.count(of: Self.mark) == 0 ? text : nil
  }

  private func userContent() throws(ModelError) -> Content {
    let messages = ChatMessage.question(Self.probe, images: 1)
    var failures: [TemplateError] = []
    for content in [Content.parts, .text] {
      do throws(TemplateError) {
        if try tried(messages, { _ in content })?.count(of: family.mark) == 1 { return content }
      } catch {
        failures.append(error)
      }
    }
    if let error = failures.first(where: { $0.kind == .unsupported }) ?? failures.last {
      throw Self.refused(error, place)
    }
    throw .template(
      what: place,
      found: "the question or its `\(family.mark)` is missing in what it makes of one image and a question",
      expected: "both", fix: Self.fix)
  }

  /// Nil: the template takes no message of this role. Then its own error says why, when there is one.
  private func content(of role: ChatMessage.Role, like user: Content) -> Content? {
    let message = ChatMessage(role: role, parts: [.text(Self.probe)])
    let question = ChatMessage.question("What?", images: 1)
    let messages =
      role == .system ? [message] + question : question + [message] + ChatMessage.question("So?", images: 0)
    return [user, user == .parts ? .text : .parts].first { content in
      (try? tried(messages) { $0 == role ? content : user }) != nil
    }
  }

  // MARK: Errors

  private static let fix =
    "Give another template: a name (\(PromptTemplate.builtIn.joined(separator: ", "))), a text in Jinja, or "
    + "a text with {prompt} and {images}."

  private static func refused(_ error: TemplateError, _ place: String) -> ModelError {
    switch error.kind {
    case .unsupported:
      .template(what: place, found: "\(error)", expected: "the part of Jinja that chat templates use", fix: fix)
    case .syntax: .template(what: place, found: "\(error)", expected: "a Jinja template", fix: fix)
    case .raised:
      .template(
        what: place, found: "it refuses the messages: \(error.reason)", expected: "messages that it takes",
        fix: "Change them. " + fix)
    case .undefined, .value, .limit:
      .template(what: place, found: "\(error)", expected: "a template that can be run on a question", fix: fix)
    }
  }
}

extension TemplateValue {
  /// The same values; a whole number beyond 64 bits is a float.
  public init(_ json: JSON) {
    self =
      switch json {
      case .null: .none
      case .bool(let value): .bool(value)
      case .integer(let value): .integer(Int(value))
      case .number(let value): .number(value)
      case .string(let text): .string(text)
      case .array(let values): .list(values.map { TemplateValue($0) })
      case .object(let members): .object(members.map { ($0, TemplateValue($1)) })
      }
  }
}
