import TestSupport
import Testing
import VTok

/// Several questions about one picture: what they share changes nothing.
@Suite struct PrefixCacheTests {
  private static let specs: [(method: String?, keep: Budget?)] = [
    (nil, nil), ("divprune", .ratio(0.25)), ("visionzip", .tokens(16)), ("fastv", .ratio(0.25)),
    ("pyramiddrop", .ratio(0.5)), ("sparsevlm:layers=1/2,counts=9/5", nil), ("snapkv", .ratio(0.5)),
    ("divprune+fastv", .ratio(0.25)),
    ("random", .ratio(0.5)),
  ]
  private static let questions = [
    "what color is the square?", "what shape is red?", "how many triangles are there?", "is there a circle?",
  ]

  private static func image(_ model: String, _ index: Int) throws -> Image {
    try Image.decode(contentsOf: smallModels + "\(model)/reference/\(index).png").image
  }

  @Test(arguments: ["vqa-tiles", "vqa-small"]) func answersAreThoseOfEveryQuestionAlone(_ model: String) throws {
    let dense = try Generator(model: smallModels + model)
    let pictures = try [Self.image(model, 0), Self.image(model, 1)]
    let cache = PrefixCache()
    for (method, keep) in Self.specs {
      let generator = try dense.with(method.map { try MethodSpec($0) }, keep: keep)
      // Two pictures by turns: what one leaves behind is not taken for the other's.
      for (turn, question) in Self.questions.enumerated() {
        let prompt = try generator.prepare(question, about: [pictures[turn % 2]])
        var pieces = ""
        let shared = try generator(prompt, limit: 6, seed: 3, cache: cache) {
          pieces += $0
          return true
        }
        let alone = try generator(prompt, limit: 6, seed: 3)
        #expect(shared.ids == alone.ids && shared.text == alone.text && pieces == alone.text, "\(method ?? "dense")")
        #expect(
          JSONObject(shared.table.json) == JSONObject(alone.table.json),
          "\(method ?? "dense"): costs are those of whole runs")
        #expect("\(shared.outcome)" == "\(alone.outcome)")
      }
    }
    #expect(cache.hits > 0 && cache.misses > 0)
  }

  /// Logits too, not only what is likeliest: a lot is drawn from them.
  @Test func drawnTokensAreTheSame() throws {
    let generator = try Generator(model: smallModels + "vqa-tiles", method: "divprune", keep: .ratio(0.5))
    let picture = try Self.image("vqa-tiles", 2)
    let cache = PrefixCache()
    for question in Self.questions {
      let prompt = try generator.prepare(question, about: [picture])
      let sampling = Sampling(temperature: 1.5, seed: 11)
      let shared = try generator(prompt, sampling: sampling, limit: 12, cache: cache)
      #expect(try shared.ids == generator(prompt, sampling: sampling, limit: 12).ids)
    }
    #expect(cache.hits == 3 && cache.misses == 1)
  }

  /// A prompt may begin as a shorter one did, and go on with another picture or another turn.
  @Test func longerPromptsAreNotTakenForTheirBeginning() throws {
    let generator = try Generator(model: smallModels + "vqa-small")
    let pictures = try (0..<3).map { try generator.picture(Self.image("vqa-small", $0)) }
    let cache = PrefixCache()
    func user(_ images: Int, _ text: String) -> ChatMessage {
      ChatMessage(role: .user, parts: Array(repeating: .image, count: images) + [.text(text)])
    }
    let answer = ChatMessage(role: .assistant, parts: [.text("red")])
    let conversations = [
      [user(1, "what shape?")], [user(2, "what shape?")], [user(3, "what color?")],
      [user(1, "what shape?"), answer, user(1, "what color?")],
      [user(1, "what shape?"), answer, user(0, "what color?")],
      [user(2, "what color?")],
    ]
    for messages in conversations {
      let images = Array(pictures.prefix(messages.reduce(0) { $0 + $1.images }))
      let prompt = try generator.prepare(messages, about: images)
      let sampling = Sampling(temperature: 1, seed: 5)
      let shared = try generator(prompt, sampling: sampling, limit: 6, cache: cache)
      let alone = try generator(prompt, sampling: sampling, limit: 6)
      #expect(shared.ids == alone.ids && JSONObject(shared.table.json) == JSONObject(alone.table.json))
      #expect(shared.table.tokensIn == 256 * images.count)
    }
  }

  /// Budget, method and seed are parts of what is known; what is not used for long is forgotten.
  @Test func whatIsSharedIsTheSame() throws {
    let model = try Generator(model: smallModels + "vqa-tiles")
    let picture = try Self.image("vqa-tiles", 0)
    let cache = PrefixCache()
    func ask(_ method: String, _ keep: Budget, seed: UInt64 = 0, _ cache: PrefixCache) throws {
      let generator = try model.with(MethodSpec(method), keep: keep)
      _ = try generator(
        generator.prepare("what color is the square?", about: [picture]), limit: 1, seed: seed, cache: cache)
    }
    try ask("divprune", .ratio(0.25), cache)
    try ask("divprune", .ratio(0.5), cache)
    try ask("random", .ratio(0.5), cache)
    try ask("random", .ratio(0.5), seed: 1, cache)
    #expect(cache.hits == 0 && cache.misses == 4)
    try ask("divprune", .ratio(0.25), cache)
    #expect(cache.hits == 1)

    let small = PrefixCache(megabytes: 0)
    try ask("divprune", .ratio(0.25), small)
    try ask("divprune", .ratio(0.5), small)
    try ask("divprune", .ratio(0.25), small)
    #expect(small.hits == 0 && small.misses == 3)
    try ask("divprune", .ratio(0.25), small)
    #expect(small.hits == 1)
  }

  /// A question whose task is cancelled ends without an answer.
  @Test func cancelledQuestionsEnd() async throws {
    let generator = try Generator(model: smallModels + "vqa-small")
    let prompt = try generator.prepare("what shape?", about: [Self.image("vqa-small", 0)])
    let task = Task {
      withUnsafeCurrentTask { $0!.cancel() }
      return try generator(prompt, limit: 4)
    }
    await #expect(throws: CancellationError.self) { try await task.value }
  }
}
