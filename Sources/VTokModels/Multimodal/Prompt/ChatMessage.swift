import VTokImage

/// One turn of a conversation: texts, images and videos in their order.
public struct ChatMessage: Sendable, Equatable {
  public enum Role: String, Sendable, CaseIterable { case system, user, assistant }
  public enum Part: Sendable, Equatable {
    case text(String)
    case image, video
  }

  public let role: Role
  public let parts: [Part]

  public init(role: Role, parts: [Part]) {
    self.role = role
    self.parts = parts
  }

  /// One question behind its images, after a system sentence if there is one.
  public static func question(_ text: String, images: Int, system: String? = nil) -> [ChatMessage] {
    (system.map { [ChatMessage(role: .system, parts: [.text($0)])] } ?? [])
      + [ChatMessage(role: .user, parts: Array(repeating: .image, count: images) + [.text(text)])]
  }

  /// One question behind a video.
  public static func question(_ text: String, aboutVideo system: String?) -> [ChatMessage] {
    (system.map { [ChatMessage(role: .system, parts: [.text($0)])] } ?? [])
      + [ChatMessage(role: .user, parts: [.video, .text(text)])]
  }

  /// One question behind its images, or behind a video.
  package static func question(_ text: String, about prepared: [PreparedImage], system: String?) -> [ChatMessage] {
    prepared.contains(where: \.isVideo)
      ? question(text, aboutVideo: system) : question(text, images: prepared.count, system: system)
  }

  /// Its texts, without the images.
  public var text: String {
    parts.map { part in if case .text(let text) = part { text } else { "" } }.joined()
  }

  public var images: Int { parts.count { $0 == .image } }
  public var videos: Int { parts.count { $0 == .video } }
}
