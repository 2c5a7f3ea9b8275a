import VTok

/// What one request may ask for, and how many may wait.
public struct Limits: Sendable {
  /// Of a body, in bytes.
  public var body = 32 << 20
  /// Images of one request.
  public var images = 16
  /// Of one image.
  public var pixels = 25_000_000
  /// Tokens of a prompt; nil: as many as the model was trained with, where its files say so.
  public var promptTokens: Int?
  /// New tokens of one answer, where the request does not say how many, and at most.
  public var newTokens = 256, mostNewTokens = 4096
  /// Requests that wait behind the one that runs.
  public var queue = 32

  /// Hosts whose images are fetched, `name` or `name:port`; none are where it is empty.
  public var hosts: Set<String> = []

  public init() {}
}
