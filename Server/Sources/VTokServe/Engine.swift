import VTok

/// A model that answers one request after the other, each with all threads, on a thread of its own.
public actor Engine {
  /// What it is made of.
  public enum Model: Sendable {
    case language(Generator)
    case tower(LoadedModel)
  }

  public struct Settings: Sendable {
    public var limits = Limits()
    public var threads = 1
    /// Of what questions about the same pictures share, in units of 2^20 bytes.
    public var cacheMegabytes = 512
    /// In place of the model's own name.
    public var name: String?

    public init() {}
  }

  public nonisolated let name: String
  public nonisolated let settings: Settings
  public nonisolated let standard: MethodChoice
  public nonisolated let line: WaitingLine
  public nonisolated let metrics = Metrics()
  public nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

  private let thread = WorkThread()
  private let model: Model
  /// With the server's own method, which may have read files.
  private let generator: Generator?
  private let reducer: (any ImageReducer)?
  private let prefixes: PrefixCache
  private var pictures: PictureCache

  /// - Parameter standard: the method of requests that name none.
  /// - Throws: `CompressionError` and others for a method that the model cannot have.
  public init(_ model: Model, standard: MethodChoice, settings: Settings) throws {
    self.model = model
    self.standard = standard
    self.settings = settings
    line = WaitingLine(queue: settings.limits.queue)
    prefixes = PrefixCache(megabytes: settings.cacheMegabytes)
    pictures = PictureCache(megabytes: settings.cacheMegabytes / 4)
    switch model {
    case .language(let dense):
      name = settings.name ?? dense.name
      generator = try dense.with(standard.method, keep: standard.budget)
      reducer = nil
    case .tower(let tower):
      name = settings.name ?? tower.name
      generator = nil
      reducer = try Pipeline(tower, method: standard.method, keep: standard.budget)
    }
  }

  // MARK: Chat

  /// - Parameters:
  ///   - beginning: called once, before the first piece, or at the end of an empty answer.
  ///   - receive: gets the answer piece by piece.
  /// - Throws: `APIError` and errors of the library, before the beginning where a request is at fault; `CancellationError`
  ///   once its task is cancelled.
  func chat(
    _ request: ChatRequest, beginning: () -> Void = {}, receive: (String) -> Void
  ) throws -> ChatAnswer {
    try Task.checkCancellation()
    let generator = try self.generator(request.choice)
    try generator.check(request.messages)
    let images = try request.images.map { try picture($0.file(), among: request.images.count, for: generator) }
    let prompt = try generator.prepare(request.messages, about: images)
    try check(prompt, request.newTokens, generator)
    var stop = StopText(request.stops)
    var text = ""
    func put(_ piece: String) {
      if piece.isEmpty { return }
      if text.isEmpty { beginning() }
      text += piece
      receive(piece)
    }
    let hits = prefixes.hits
    let answer = try generator(
      prompt, sampling: Sampling(temperature: request.temperature, topP: request.topP, seed: request.seed),
      limit: request.newTokens, seed: request.seed, threads: settings.threads, cache: prefixes
    ) { piece in
      put(stop.append(piece))
      return !stop.isOver
    }
    put(stop.finish())
    if text.isEmpty { beginning() }
    return ChatAnswer(
      text: text, isComplete: answer.isComplete || stop.isOver, promptTokens: prompt.ids.count,
      newTokens: answer.ids.count, imageTokens: (answer.table.tokensIn, answer.table.tokensOut),
      firstSeconds: answer.firstSeconds, isShared: prefixes.hits > hits,
      ledger: Ledger.of(answer, to: prompt, by: generator, isShared: prefixes.hits > hits))
  }

  private func generator(_ choice: MethodChoice) throws -> Generator {
    guard let generator else {
      throw APIError(
        400, code: "no_language_model", parameter: "model",
        "model: '\(name)', a vision tower, expected a vision-language model to answer questions. Use /v1/embeddings.")
    }
    if choice == standard { return generator }
    return try generator.with(choice.method, keep: choice.budget, read: OptionFile.refuse)
  }

  /// A picture as the model takes it, from the file or from an earlier question.
  private func picture(_ file: [UInt8], among count: Int, for generator: Generator) throws -> PreparedImage {
    try pictures.prepared(file, among: count) {
      try generator.picture(Image.decode(file, options: decoding).image, among: count)
    }
  }

  private var decoding: DecodeOptions { DecodeOptions(maxPixels: settings.limits.pixels) }

  private func check(_ prompt: Generator.Prompt, _ newTokens: Int, _ generator: Generator) throws {
    let limit = settings.limits.promptTokens ?? generator.contextLength.map { max(1, $0 - newTokens) } ?? Int.max
    guard prompt.ids.count <= limit else {
      throw APIError.member(
        "messages", found: "\(prompt.ids.count) tokens with the images'",
        expected: "at most \(limit), with \(newTokens) new ones behind them",
        fix: "Shorten the conversation, or ask for fewer with max_tokens.", code: "context_length_exceeded")
    }
  }

  // MARK: Embeddings

  /// What became of every image, in the same order.
  func embed(_ request: EmbeddingRequest) throws -> [PrunedImage] {
    let reducer = try self.reducer(request.choice)
    return try request.images.map { source in
      try Task.checkCancellation()
      return try reducer.reduce(Image.decode(source.file(), options: decoding).image, seed: request.seed).result
    }
  }

  private func reducer(_ choice: MethodChoice) throws -> any ImageReducer {
    switch model {
    case .language: return try VisualReducer(generator(choice))
    case .tower(let tower):
      if choice == standard, let reducer { return reducer }
      return try Pipeline(tower, method: choice.method, keep: choice.budget, read: OptionFile.refuse)
    }
  }
}
