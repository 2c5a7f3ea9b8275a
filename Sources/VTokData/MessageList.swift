import VTokFiles
import VTokModels
import VTokWeights

/// A conversation in JSON: a list of `{"role": ..., "content": ...}`. The content is a text, or a list of
/// `{"type": "text", "text": ...}` and `{"type": "image", "image": ...}`; `path`, `url` and the `image_url` of other
/// programs stand for `image` too. What an image may be is said by those who read one: a path, or the file itself.
public struct MessageList<Picture: Sendable>: Sendable {
  public let messages: [ChatMessage]
  /// Of all messages in their order; nil where a message leaves the image to be named elsewhere.
  public let images: [Picture?]

  /// - Parameters:
  ///   - roles: other names for roles.
  ///   - image: what stands behind `image` or `url`, and where that stands.
  /// - Throws: the first thing that is wrong, with its place.
  public init(
    _ json: JSON, roles: [String: ChatMessage.Role] = [:],
    image: @escaping (JSON, String) throws(MessageMistake) -> Picture
  ) throws(MessageMistake) {
    guard let list = json.array, !list.isEmpty else {
      throw MessageMistake(
        "", found: json.array == nil ? "JSON that is no list" : "an empty list",
        expected: #"a list of {"role": ..., "content": ...}"#)
    }
    var reader = Reader(roles: roles, image: image)
    messages = try list.indices.map { index throws(MessageMistake) in try reader.message(list[index], "[\(index)]") }
    images = reader.images
    if let late = messages.indices.dropFirst().first(where: { messages[$0].role == .system }) {
      throw MessageMistake(
        "[\(late)].role", found: "'system' behind other messages", expected: "it at the beginning, once")
    }
    guard let last = messages.last, last.role == .user else {
      throw MessageMistake(
        "[\(list.count - 1)].role", found: "'\(messages.last!.role.rawValue)' at the end",
        expected: "'user': the question to be answered", fix: "Let a question be the last message.")
    }
    guard !last.text.allSatisfy(\.isWhitespace) else {
      throw MessageMistake("[\(list.count - 1)].content", found: "no text", expected: "a question")
    }
  }

  private struct Reader {
    let roles: [String: ChatMessage.Role]
    let image: (JSON, String) throws(MessageMistake) -> Picture
    var images: [Picture?] = []

    mutating func message(_ json: JSON, _ place: String) throws(MessageMistake) -> ChatMessage {
      guard let members = json.object else {
        throw MessageMistake(place, json, expected: #"{"role": ..., "content": ...}"#)
      }
      try check(members, ["role", "content"], place)
      let role = json["role"]?.string.flatMap { roles[$0] ?? ChatMessage.Role(rawValue: $0) }
      guard let role else {
        let known = ChatMessage.Role.allCases.map(\.rawValue) + roles.keys.sorted()
        throw MessageMistake(
          "\(place).role", json["role"], expected: "one of " + known.map { "'\($0)'" }.joined(separator: ", "))
      }
      let content = json["content"]
      if let text = content?.string { return ChatMessage(role: role, parts: [.text(text)]) }
      guard let list = content?.array, !list.isEmpty else {
        throw MessageMistake("\(place).content", content, expected: "a text or a list of parts")
      }
      var parts: [ChatMessage.Part] = []
      for (index, part) in list.enumerated() { parts.append(try self.part(part, "\(place).content[\(index)]")) }
      return ChatMessage(role: role, parts: parts)
    }

    /// A key that is passed over would be a wish that is not granted; null wishes for nothing.
    private func check(_ members: JSONObject, _ known: [String], _ place: String) throws(MessageMistake) {
      if let other = members.first(where: { !known.contains($0.key) && !$0.value.isNull }) {
        throw MessageMistake(
          place, found: "the key '\(other.key)'", expected: known.joined(separator: ", "), fix: "Remove it.")
      }
    }

    private mutating func part(_ json: JSON, _ place: String) throws(MessageMistake) -> ChatMessage.Part {
      guard let members = json.object else { throw MessageMistake(place, json, expected: #"{"type": ..., ...}"#) }
      switch json["type"]?.string {
      case "text":
        try check(members, ["type", "text"], place)
        guard let text = json["text"]?.string else {
          throw MessageMistake("\(place).text", json["text"], expected: "a text")
        }
        return .text(text)
      case "image", "image_url":
        let keys = ["image", "path", "url", "image_url"]
        try check(members, ["type"] + keys, place)
        let given = members.filter { keys.contains($0.key) }
        guard given.count < 2 else {
          throw MessageMistake(place, json, expected: "one of \(keys.joined(separator: ", "))")
        }
        images.append(
          try given.first.map { member throws(MessageMistake) in try image(member.value, "\(place).\(member.key)") })
        return .image
      default: throw MessageMistake("\(place).type", json["type"], expected: "'text' or 'image'")
      }
    }
  }
}

/// What is wrong with a conversation in JSON.
public struct MessageMistake: OneLineError, Equatable {
  /// From the list: `[0].content[1]`; empty: the list itself.
  public let place: String
  /// Without the place.
  public let reason: String

  public var message: String { "messages\(place): \(reason)" }

  public init(_ place: String, found: String, expected: String, fix: String = "Correct it.") {
    self.place = place
    reason = "\(found), expected \(expected). \(fix)"
  }

  /// - Parameter found: nil: nothing was there.
  public init(_ place: String, _ found: JSON?, expected: String, fix: String = "Correct it.") {
    let shown = found.map { value in
      let text = value.text()
      return text.utf8.count > 60 ? String(text.prefix(60)) + "..." : text
    }
    self.init(place, found: shown ?? "nothing", expected: expected, fix: fix)
  }
}
