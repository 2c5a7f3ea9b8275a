import VTok

/// What is asked: one question of the flags, or the messages of a file.
struct Conversation {
  let messages: [ChatMessage]
  /// Of the images of all messages, in their order.
  let images: [String]

  init(messages: [ChatMessage], images: [String]) {
    self.messages = messages
    self.images = images
  }

  init(_ command: GenerateCommand) throws {
    guard let path = command.messages else {
      images = try command.frames.paths(command.images)
      guard !images.isEmpty else {
        throw UsageError("--image", found: "none", expected: "at least one image", fix: "Add --image FILE.")
      }
      guard let prompt = command.prompt, !prompt.allSatisfy(\.isWhitespace) else {
        throw UsageError(
          "--prompt", found: command.prompt == nil ? "none" : "an empty text", expected: "a question",
          fix: "Add --prompt TEXT, or --messages FILE.json.")
      }
      messages =
        command.frames.isGiven
        ? ChatMessage.question(prompt, aboutVideo: command.system)
        : ChatMessage.question(prompt, images: images.count, system: command.system)
      return
    }
    guard command.prompt == nil else {
      throw UsageError(
        "--prompt", found: "it beside --messages", expected: "one of them", fix: "Write the question into the file.")
    }
    let file = try MessageFile(path)
    var left = command.images[...]
    images = try file.images.map { image in
      guard let image = image ?? left.popFirst() else {
        throw UsageError(
          "--messages", found: "an image without a file", expected: "a file in the message, or --image for it",
          fix: "Add --image FILE.")
      }
      return image
    }
    guard left.isEmpty else {
      throw UsageError(
        "--image", found: "'\(left[left.startIndex])' that no message has a place for",
        expected: #"{"type": "image"} in the content of a message"#, fix: "Add it, or remove --image.")
    }
    guard !images.isEmpty else {
      throw UsageError("--messages", found: "no image", expected: "at least one", fix: "Add one to a message.")
    }
    guard command.system == nil || file.messages[0].role != .system else {
      throw UsageError(
        "--system", found: "it beside a system message of --messages", expected: "one of them", fix: "Remove one.")
    }
    messages = (command.system.map { [ChatMessage(role: .system, parts: [.text($0)])] } ?? []) + file.messages
  }
}
