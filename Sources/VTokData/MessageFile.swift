import VTokFiles
import VTokModels
import VTokWeights

/// A conversation out of a file: a JSON list of `{"role": ..., "content": ...}`. The content is a text, or a list of
/// `{"type": "text", "text": ...}` and `{"type": "image", "image": FILE}`; `path`, `url` and the `image_url` of other
/// programs name a file too. Paths are from the folder of the file.
public struct MessageFile: Sendable {
  public let path: String
  public let messages: [ChatMessage]
  /// Of all images in their order; nil where a message leaves the file to be named elsewhere.
  public let images: [String?]

  /// What is wrong with such a file.
  public struct Mistake: OneLineError {
    public let message: String

    init(_ path: String, _ place: String, found: String, expected: String, fix: String = "Correct the file.") {
      message = "messages '\(path)'\(place.isEmpty ? "" : " at `\(place)`"): \(found), expected \(expected). \(fix)"
    }
  }

  /// - Throws: `MessageFile.Mistake` naming the first thing that is wrong and its place. Images are not opened, but must
  ///   be there.
  public init(_ path: String) throws(Mistake) {
    let bytes: [UInt8]
    do throws(SystemError) { bytes = try FileBytes.read(path) } catch {
      throw Mistake(
        path, "", found: "no file that can be read (\(error.reason))", expected: "a JSON file", fix: "Check the path.")
    }
    let json: JSON
    do { json = try JSON(parsing: bytes) } catch {
      throw Mistake(path, "", found: "a file that is \(error)", expected: "a JSON list of messages")
    }
    guard let list = json.array, !list.isEmpty else {
      throw Mistake(
        path, "", found: json.array == nil ? "JSON that is no list" : "an empty list",
        expected: #"a list of {"role": ..., "content": ...}"#)
    }
    var reader = Reader(path: path)
    self.path = path
    messages = try list.indices.map { index throws(Mistake) in try reader.message(list[index], "[\(index)]") }
    images = reader.images
    if let late = messages.indices.dropFirst().first(where: { messages[$0].role == .system }) {
      throw Mistake(
        path, "[\(late)].role", found: "'system' behind other messages", expected: "it at the beginning, once")
    }
    guard let last = messages.last, last.role == .user else {
      throw Mistake(
        path, "[\(list.count - 1)].role", found: "'\(messages.last!.role.rawValue)' at the end",
        expected: "'user': the question to be answered", fix: "Let a question be the last message.")
    }
    guard !last.text.allSatisfy(\.isWhitespace) else {
      throw Mistake(path, "[\(list.count - 1)].content", found: "no text", expected: "a question")
    }
  }

  private struct Reader {
    let path: String
    var images: [String?] = []

    func wrong(_ place: String, _ found: JSON?, _ expected: String) -> Mistake {
      let shown = found.map { value in
        let text = value.text()
        return text.utf8.count > 60 ? String(text.prefix(60)) + "..." : text
      }
      return Mistake(path, place, found: shown ?? "nothing", expected: expected)
    }

    mutating func message(_ json: JSON, _ place: String) throws(Mistake) -> ChatMessage {
      guard let members = json.object else { throw wrong(place, json, #"{"role": ..., "content": ...}"#) }
      try check(members, ["role", "content"], place)
      let roles = ChatMessage.Role.allCases.map { "'\($0.rawValue)'" }.joined(separator: ", ")
      guard let role = json["role"]?.string.flatMap(ChatMessage.Role.init) else {
        throw wrong("\(place).role", json["role"], "one of " + roles)
      }
      let content = json["content"]
      if let text = content?.string { return ChatMessage(role: role, parts: [.text(text)]) }
      guard let list = content?.array, !list.isEmpty else {
        throw wrong("\(place).content", content, "a text or a list of parts")
      }
      var parts: [ChatMessage.Part] = []
      for (index, part) in list.enumerated() { parts.append(try self.part(part, "\(place).content[\(index)]")) }
      return ChatMessage(role: role, parts: parts)
    }

    /// A key that is passed over would be a wish that is not granted.
    private func check(_ members: JSONObject, _ known: [String], _ place: String) throws(Mistake) {
      if let other = members.first(where: { !known.contains($0.key) }) {
        throw Mistake(
          path, place, found: "the key '\(other.key)'", expected: known.joined(separator: ", "), fix: "Remove it.")
      }
    }

    private mutating func part(_ json: JSON, _ place: String) throws(Mistake) -> ChatMessage.Part {
      guard let members = json.object else { throw wrong(place, json, #"{"type": ..., ...}"#) }
      switch json["type"]?.string {
      case "text":
        try check(members, ["type", "text"], place)
        guard let text = json["text"]?.string else { throw wrong("\(place).text", json["text"], "a text") }
        return .text(text)
      case "image", "image_url":
        let keys = ["image", "path", "url", "image_url"]
        try check(members, ["type"] + keys, place)
        let given = members.filter { $0.key != "type" }
        guard given.count < 2 else { throw wrong(place, json, "one of \(keys.joined(separator: ", "))") }
        images.append(
          try given.first.map { member throws(Mistake) in try file(member.value, "\(place).\(member.key)") })
        return .image
      default: throw wrong("\(place).type", json["type"], "'text' or 'image'")
      }
    }

    private func file(_ json: JSON, _ place: String) throws(Mistake) -> String {
      guard var name = json.string ?? json["url"]?.string, !name.isEmpty else { throw wrong(place, json, "a path") }
      if name.hasPrefix("file://") {
        name = String(name.dropFirst(7))
      } else if name.hasPrefix("data:") || name.contains("://") {
        throw wrong(place, .string(name), "the path of a file: nothing is fetched or unpacked")
      }
      let folder = FileName.split(path).folder
      let full = name.hasPrefix("/") || folder.isEmpty ? name : folder + "/" + name
      guard let info = try? FileInfo(full), info.kind != .folder else {
        throw wrong(place, .string(name), "an image, from the folder of this file")
      }
      return full
    }
  }
}
