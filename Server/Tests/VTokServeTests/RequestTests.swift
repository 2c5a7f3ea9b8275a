import Testing
import VTok
import VTokServe

@Suite struct RequestTests {
  private static let dense = try! MethodChoice(nil, asked: nil)
  private static let pixel: [UInt8] = [1, 2, 3]

  private func read(
    _ body: JSON, limits: Limits = Limits(), standard: MethodChoice = dense
  ) throws -> ChatRequest {
    try ChatRequest(body, model: "m", limits: limits, standard: standard)
  }

  private func body(_ more: [(String, JSON)]) -> JSON { chat("?", [Self.pixel], model: "m", more) }

  @Test func conversationsBecomeMessages() throws {
    let image = JSON(dataURL(Self.pixel))
    let messages: JSON = [
      ["role": "developer", "content": "Be brief."],
      [
        "role": "user",
        "content": [
          ["type": "text", "text": "Look:"], ["type": "image_url", "image_url": ["url": image, "detail": "auto"]],
          ["type": "image_url", "image_url": image],
        ],
      ],
      ["role": "assistant", "content": "I see.", "refusal": .null, "tool_calls": .null],
      ["role": "user", "content": "What?"],
    ]
    let request = try read(["model": "m", "messages": messages])
    #expect(request.messages.map(\.role) == [.system, .user, .assistant, .user])
    #expect(request.messages[1].parts == [.text("Look:"), .image, .image])
    #expect(request.images == [.file(Self.pixel), .file(Self.pixel)])
    #expect(!request.isStreamed && request.newTokens == 256 && request.temperature == 0 && request.stops.isEmpty)
  }

  @Test func settingsAreRead() throws {
    let request = try read(
      body([
        ("stream", true), ("stream_options", ["include_usage": true]), ("max_completion_tokens", 7),
        ("temperature", 0.5),
        ("top_p", 0.9), ("seed", 4), ("stop", ["a", "b"]), ("n", 1), ("user", "x"),
        ("response_format", ["type": "text"]),
        ("vtok", ["method": "fastv", "keep_ratio": 0.5]),
      ]))
    #expect(request.isStreamed && request.includesUsage && request.newTokens == 7 && request.seed == 4)
    #expect(request.temperature == 0.5 && request.topP == 0.9 && request.stops == ["a", "b"])
    #expect(request.choice.method?.description == "fastv" && request.choice.budget == .ratio(0.5))
  }

  private static let mistakes: [(String, JSON, parameter: String, status: Int)] = [
    ("model", .null, "model", 400), ("model", "other", "model", 404), ("messages", .null, "messages", 400),
    ("messages", [], "messages", 400), ("messages", [["role": "tool", "content": "?"]], "messages[0].role", 400),
    ("messages", [["role": "user", "content": " "]], "messages[0].content", 400),
    ("max_tokens", 0, "max_tokens", 400), ("max_tokens", 1.5, "max_tokens", 400),
    ("max_tokens", 100_000, "max_tokens", 400), ("temperature", 3, "temperature", 400),
    ("temperature", "hot", "temperature", 400), ("top_p", 0, "top_p", 400), ("seed", -1, "seed", 400),
    ("stop", [""], "stop", 400), ("stop", ["a", "b", "c", "d", "e"], "stop", 400), ("n", 2, "n", 400),
    ("logprobs", true, "logprobs", 400), ("tools", [["type": "function"]], "tools", 400),
    ("response_format", ["type": "json_object"], "response_format", 400), ("stream", "yes", "stream", 400),
    ("stream_options", ["include_usage": true], "stream_options", 400), ("keep_ratio", 0.5, "keep_ratio", 400),
    ("vtok", "fastv", "vtok", 400), ("vtok", ["ratio": 0.5], "vtok.ratio", 400),
    ("vtok", ["keep_ratio": 0.5], "vtok", 400),
    ("vtok", ["method": "none-such"], "vtok", 400),
    ("vtok", ["method": "fastv", "keep_ratio": 0], "vtok.keep_ratio", 400),
    ("vtok", ["method": "fastv", "keep_ratio": 0.5, "keep_tokens": 3], "vtok", 400),
  ]

  @Test(arguments: mistakes.indices) func mistakesNameTheirMember(_ index: Int) throws {
    let (name, value, parameter, status) = Self.mistakes[index]
    var members = body([]).object!
    members[name] = value
    let error = try #require(refusal { _ = try self.read(.object(members)) })
    #expect(
      error.status == status && error.parameter?.hasPrefix(parameter) == true, "\(error) \(error.parameter ?? "-")")
    #expect(error.type == "invalid_request_error" && error.json.value(at: "error.message")?.string == error.description)
  }

  @Test(arguments: [
    ("https://a.b/c.png", "image_url_refused"), ("file:///etc/passwd", "image_url_refused"),
    ("/etc/passwd", "image_url_refused"), ("data:image/png,abc", "invalid_base64"),
    ("data:image/png;base64,###", "invalid_base64"), ("data:image/png;base64,", "invalid_base64"),
  ]) func onlyFilesInTheBodyAreRead(_ address: String, _ code: String) throws {
    let messages: JSON = [
      [
        "role": "user",
        "content": [["type": "image_url", "image_url": ["url": JSON(address)]], ["type": "text", "text": "?"]],
      ]
    ]
    let error = try #require(refusal { _ = try self.read(["model": "m", "messages": messages]) })
    #expect(error.status == 400 && error.code == code && error.parameter == "messages[0].content[0].image_url.url")
  }

  @Test func lowDetailIsAMatterOfVTok() throws {
    let part: JSON = ["type": "image_url", "image_url": ["url": JSON(dataURL(Self.pixel)), "detail": "low"]]
    let messages: JSON = [["role": "user", "content": [part, ["type": "text", "text": "?"]]]]
    let error = try #require(refusal { _ = try self.read(["model": "m", "messages": messages]) })
    #expect(error.message.contains("vtok") && error.code == "unsupported_parameter")
  }

  @Test func imagesAreCounted() throws {
    var limits = Limits()
    limits.images = 1
    let error = try #require(
      refusal { _ = try self.read(chat("?", [Self.pixel, Self.pixel], model: "m"), limits: limits) })
    #expect(error.status == 400 && error.code == "too_many_images")
  }

  // MARK: Methods

  @Test func methodsOfRequests() throws {
    let standard = try MethodChoice(MethodSpec("divprune"), asked: .ratio(0.25))
    func choice(_ vtok: JSON) throws -> MethodChoice { try read(body([("vtok", vtok)]), standard: standard).choice }
    #expect(try read(body([]), standard: standard).choice == standard)
    #expect(try choice(["keep_tokens": 9]) == MethodChoice(MethodSpec("divprune"), asked: .tokens(9)))
    #expect(try choice(["method": .null]).method == nil && choice(["method": "dense"]).method == nil)
    // A method with an amount of its own keeps to it; one without a budget keeps half.
    #expect(try choice(["method": "tome:r=13"]).budget == nil)
    #expect(try choice(["method": "divprune"]).budget == MethodSpec.usualBudget)
    #expect(refusal { _ = try choice(["method": "dense", "keep_ratio": 0.5]) }?.status == 400)
  }

  /// Options that name files would let strangers read the server's disk.
  @Test func filesOfTheServerStayUnread() throws {
    let error = try #require(
      refusal { _ = try self.read(body([("vtok", ["method": "generic-explain:weights=/etc/passwd"])])) })
    #expect(error.status == 400 && error.message.contains("/etc/passwd") && error.parameter == "vtok.method")
  }

  // MARK: Embeddings

  @Test func embeddingRequests() throws {
    func read(_ body: JSON) throws -> EmbeddingRequest {
      try EmbeddingRequest(body, model: "m", limits: Limits(), standard: Self.dense)
    }
    let image = JSON(dataURL(Self.pixel))
    let plain = try read(["model": "m", "input": image])
    #expect(plain.images == [.file(Self.pixel)] && plain.output == .pooled && !plain.isBase64)
    let more = try read([
      "model": "m", "input": [image, ["type": "image_url", "image_url": ["url": image]], ["url": image]],
      "encoding_format": "base64", "vtok": ["output": "tokens", "method": "tome", "keep_tokens": 4],
    ])
    #expect(more.images.count == 3 && more.output == .tokens && more.isBase64 && more.choice.budget == .tokens(4))
    for (wrong, parameter) in [
      (["model": "m"], "input"), (["model": "m", "input": []], "input"),
      (["model": "m", "input": "a text"], "input[0]"),
      (["model": "m", "input": image, "dimensions": 8], "dimensions"),
      (["model": "m", "input": image, "vtok": ["output": "all"]], "vtok.output"),
    ] as [(JSON, String)] {
      let error = try #require(refusal { _ = try read(wrong) })
      #expect(error.status == 400 && error.parameter == parameter, "\(error)")
    }
  }
}
