import VTok

/// The body of `POST /v1/chat/completions`, checked as far as it can be without a model.
public struct ChatRequest: Sendable {
  public let messages: [ChatMessage]
  /// Images of all messages, in their order.
  public internal(set) var images: [PictureSource]
  public let isStreamed: Bool
  /// Whether a stream ends with what was used.
  public let includesUsage: Bool
  public let newTokens: Int
  public let temperature: Float, topP: Float
  public let seed: UInt64
  /// Texts that end an answer and are no part of it.
  public let stops: [String]
  public let choice: MethodChoice

  /// - Parameter model: its name, which requests give.
  /// - Throws: `APIError`, `MethodError`, `MessageMistake`.
  public init(_ body: JSON, model: String, limits: Limits, standard: MethodChoice) throws {
    var members = try Members(body, "body")
    try members.model(model)
    let list = try MessageList(members.value("messages") ?? .null, roles: ["developer": .system]) {
      json, place throws(MessageMistake) in (json, "messages" + place)
    }
    messages = list.messages
    guard list.images.count <= limits.images else {
      throw APIError.member(
        "messages", found: "\(list.images.count) images", expected: "at most \(limits.images)",
        fix: "Send fewer; the server's --max-images sets the limit.", code: "too_many_images")
    }
    images = try list.images.map { image in
      guard let (json, place) = image else {
        throw APIError.member("messages", found: "an image without an image_url", expected: "data:image/...;base64,...")
      }
      return try PictureURL(json, place, hosts: limits.hosts).source
    }
    isStreamed = try members.bool("stream") ?? false
    includesUsage = try members.streamOptions(isStreamed: isStreamed)
    newTokens = try members.newTokens(limits)
    temperature = Float(try members.number("temperature", "a number in 0...2") { (0...2).contains($0) } ?? 0)
    topP = Float(try members.number("top_p", "a number above 0 and at most 1") { $0 > 0 && $0 <= 1 } ?? 1)
    seed = UInt64(try members.int("seed", 0...Int.max) ?? 0)
    stops = try members.stops()
    choice = try members.choice(standard)
    try members.refuseOthers()
  }
}

extension Members {
  mutating func model(_ known: String) throws(APIError) {
    guard let asked = try string("model") else {
      throw .member("model", found: "nothing", expected: "'\(known)'")
    }
    guard asked == known else {
      throw APIError(
        404, code: "model_not_found", parameter: "model",
        "model: '\(asked)', expected '\(known)'. GET /v1/models names it.")
    }
  }

  fileprivate mutating func streamOptions(isStreamed: Bool) throws(APIError) -> Bool {
    guard let options = value("stream_options") else { return false }
    guard isStreamed else {
      throw .member("stream_options", found: "them without a stream", expected: "\"stream\": true")
    }
    var inner = try Members(options, "stream_options")
    let includes = try inner.bool("include_usage") ?? false
    inner.ignore(["include_obfuscation"])
    try inner.finish()
    return includes
  }

  fileprivate mutating func newTokens(_ limits: Limits) throws(APIError) -> Int {
    let range = 1...limits.mostNewTokens
    let (old, new) = (try int("max_tokens", range), try int("max_completion_tokens", range))
    if let old, let new, old != new {
      throw .member("max_tokens", found: "\(old) beside max_completion_tokens \(new)", expected: "one of them")
    }
    return new ?? old ?? limits.newTokens
  }

  fileprivate mutating func stops() throws(APIError) -> [String] {
    let stops = try optional("stop", "a text, or a list of at most 4, none empty") { json in
      let texts = json.string.map { [$0] } ?? json.strings
      return texts.flatMap { $0.count <= 4 && !$0.contains("") ? $0 : nil }
    }
    return stops ?? []
  }

  mutating func choice(_ standard: MethodChoice) throws -> MethodChoice {
    guard let json = value("vtok") else { return standard }
    var inner = try Members(json, "vtok")
    let choice = try MethodChoice(&inner, standard: standard)
    try inner.finish()
    return choice
  }

  /// What else OpenAI's API knows: refused where it asks for something, passed over where it does not.
  fileprivate mutating func refuseOthers() throws(APIError) {
    let one = "There is one answer a request."
    let plain = "Tokens are drawn from the model's own chances."
    for (name, neutral, why) in [
      ("n", [1], one), ("best_of", [1], one), ("logprobs", [false], "Chances are not given out."),
      ("top_logprobs", [0], "Chances are not given out."), ("presence_penalty", [0, 0.0], plain),
      ("frequency_penalty", [0, 0.0], plain), ("logit_bias", [[:]], plain),
      ("tools", [[]], "Models call no tools here."),
      ("tool_choice", ["none", "auto"], "Models call no tools here."),
      ("response_format", [["type": "text"]], "Answers are not forced into a form."),
      ("modalities", [["text"]], "Answers are texts."),
    ] as [(String, [JSON], String)] {
      try only(name, neutral, why: why)
    }
    ignore([
      "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "parallel_tool_calls",
    ])
    try finish()
  }
}
