import VTok

/// The body of `POST /v1/embeddings`: images in, vectors out.
public struct EmbeddingRequest: Sendable {
  public enum Output: String, Sendable, CaseIterable {
    /// One vector an image: what the model pools, or the mean of the tokens.
    case pooled
    /// Every kept token.
    case tokens
  }

  public internal(set) var images: [PictureSource]
  /// Whether vectors go out as float32 in base64, not as numbers.
  public let isBase64: Bool
  public let output: Output
  public let seed: UInt64
  public let choice: MethodChoice

  /// - Throws: `APIError`, `MethodError`.
  public init(_ body: JSON, model: String, limits: Limits, standard: MethodChoice) throws {
    var members = try Members(body, "body")
    try members.model(model)
    let input = members.value("input")
    let pictures = input.flatMap { $0.array ?? [$0] } ?? []
    guard !pictures.isEmpty else {
      throw APIError.member(
        "input", found: input.map(Members.shown) ?? "nothing",
        expected: "images as data:image/...;base64,..., one or a list")
    }
    guard pictures.count <= limits.images else {
      throw APIError.member(
        "input", found: "\(pictures.count) images", expected: "at most \(limits.images)",
        fix: "Send fewer; the server's --max-images sets the limit.", code: "too_many_images")
    }
    images = try pictures.enumerated().map { index, json in
      // {"type": "image_url", "image_url": {"url": ...}}, as in messages.
      let place = "input[\(index)]"
      guard json.object != nil, json["url"] == nil else {
        return try PictureURL(json, place, hosts: limits.hosts).source
      }
      var part = try Members(json, place)
      try part.only("type", ["image_url"], why: "Only images have vectors here.")
      let address = part.value("image_url")
      try part.finish()
      return try PictureURL(address ?? .null, place + ".image_url", hosts: limits.hosts).source
    }
    isBase64 =
      try members.optional("encoding_format", "'float' or 'base64'") { json in
        json == "base64" ? true : json == "float" ? false : nil
      } ?? false
    try members.only("dimensions", [], why: "A model has one width.")
    members.ignore(["user"])
    seed = UInt64(try members.int("seed", 0...Int.max) ?? 0)
    guard let json = members.value("vtok") else {
      (choice, output) = (standard, .pooled)
      try members.finish()
      return
    }
    var inner = try Members(json, "vtok")
    output =
      try inner.optional("output", "'pooled' or 'tokens'") { $0.string.flatMap(Output.init(rawValue:)) } ?? .pooled
    choice = try MethodChoice(&inner, standard: standard)
    try inner.finish()
    try members.finish()
  }
}
