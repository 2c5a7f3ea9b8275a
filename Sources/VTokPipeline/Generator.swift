import VTokCore
import VTokEval
import VTokImage
import VTokMethods
import VTokModels
import VTokTensor
import VTokWeights

/// Questions about pictures, answered by a vision-language model with fewer tokens.
///
/// ```swift
/// let generator = try Generator(model: "llava-1.5-7b-hf", method: "visionzip", keep: .tokens(64))
/// let photo = try Image.decode(contentsOf: "photo.jpg").image
/// let answer = try generator("What is shown here?", about: [photo])
/// print(answer.text, answer.table.tokensIn, answer.table.tokensOut)   // ... 576 64
/// ```
public struct Generator: MethodRunner {
  /// The last part of the directory's path.
  public let name: String
  public private(set) var model: MultimodalModel
  public let tokenizer: TextTokenizer
  public let template: PromptTemplate
  public let processor: any TiledProcessor
  public private(set) var methods: ComposedMethods
  /// SHA-256 of the weight files' bytes. Reads all of them.
  public var sha256: String { LoadedModel.checksum(checkpoint.files) }
  /// SHA-256 of its configuration and of the files for images and text.
  public var settingsSHA256: String { get throws { try checkpoint.settingsSHA256() } }
  /// SHA-256 of the companion CLIP, its files for images and text included; nil without one.
  public var companionSHA256: String? { get throws { try companion?.sha256 } }
  /// Of the products with weights.
  public var precision: Precision { checkpoint.precision }
  /// How caches of the language model hold keys and values; weights are the same for all.
  public var kv: CachePrecision {
    get { model.language.kv }
    set { model.language.kv = newValue }
  }
  /// Longest prompt with its answer that the model was trained for, where its files say so.
  public let contextLength: Int?

  /// Pixels of a picture above which it is shrunk before all else; nil: none is (`MemoryLimit`).
  public var mostPixels: Int?

  private let checkpoint: Checkpoint
  package let outline: ModelOutline
  private let visual: VisualText
  let companion: Companion?

  /// - Parameters:
  ///   - model: a directory as downloaded, or a text model in a GGUF file.
  ///   - mmproj: beside a GGUF file, the one with tower and projector.
  ///   - method: `NAME[:key=value,...]`, several joined with `+`; nil runs the model dense.
  ///   - keep: budget of methods that carry no amount of their own.
  ///   - template: a name of `PromptTemplate.builtIn`, a template in Jinja, or a text with `{prompt}` and `{images}`; nil:
  ///     the checkpoint's own.
  ///   - companion: directory of the CLIP that the tower comes from, for methods that compare patches with the question.
  ///   - precision: of the products in tower, connector and language model (`int4`: the language model; the others then have 8
  ///     bits); nil: `.file` of a GGUF file, else `.f32`. Embeddings, attention, norms and, but for `.file`, the head of the
  ///     language model are float32 always.
  ///   - kv: how the caches of the language model hold keys and values.
  /// - Throws: before any weight is read, `MethodError` and `CompressionError` for what is asked, `TokenizerError`,
  ///   `ModelError`, `WeightError` and `JSONError` for the files.
  public init(
    model: String, mmproj: String? = nil, method: String? = nil, keep: Budget? = nil, template: String? = nil,
    companion: String? = nil, precision: Precision? = nil, kv: CachePrecision = .f32
  ) throws {
    try self.init(
      LoadedModel.checkpoint(model, mmproj: mmproj, precision: precision), method: method.map { try MethodSpec($0) },
      keep: keep,
      template: template,
      companion: companion)
    self.kv = kv
  }

  /// - Parameter read: opens files that options name.
  public init(
    _ checkpoint: Checkpoint, method: MethodSpec?, keep: Budget? = nil, template: String? = nil,
    companion: String? = nil, read: @escaping @Sendable (String) throws -> OptionFile = OptionFile.read
  ) throws {
    try self.init(checkpoint, template: template, companion: companion) { shape in
      try Self.compose(method, keep, read, for: shape, hasCompanion: companion != nil)
    }
  }

  /// Methods that are values: of this library, or of one's own.
  /// - Parameters:
  ///   - methods: run together, in this order.
  ///   - title: what results call them; nil: their names.
  ///   - keep: the budget that they were made with, for results to compare with what is left; nil: none.
  public init(
    _ checkpoint: Checkpoint, methods: [any Compressor], title: String? = nil, keep: Budget? = nil,
    template: String? = nil, companion: String? = nil
  ) throws {
    try self.init(checkpoint, template: template, companion: companion) { shape in
      try Self.compose(methods, title, keep, for: shape, hasCompanion: companion != nil)
    }
  }

  private init(
    _ checkpoint: Checkpoint, template: String?, companion: String?, compose: (Shape) throws -> ComposedMethods
  ) throws {
    let config = checkpoint.config
    guard let visual = VisualText(of: config) else {
      throw ModelError.input(
        what: "model '\(checkpoint.name)'",
        found: Families.type(in: config).map { "type '\($0)'" } ?? "no model_type in config.json",
        expected: "a vision-language model: "
          + Families.all.filter { $0.kind == .languageVision }.map(\.name).joined(separator: ", "),
        fix: "A vision tower alone answers no question; its tokens can be reduced without one.")
    }
    self.checkpoint = checkpoint
    self.visual = visual
    name = checkpoint.name.split(separator: "/").last.map(String.init) ?? checkpoint.name
    outline = try ModelOutline(checkpoint)
    methods = try compose(outline.shape)
    if let count = outline.fixedTokens { try methods.check(of: count) }
    tokenizer = try TextTokenizer(checkpoint, adding: MultimodalModel.ownTokens(config))
    self.template =
      try template.map { try PromptTemplate($0, for: visual, checkpoint: checkpoint) }
      ?? PromptTemplate.load(checkpoint, tokenizer: tokenizer, for: visual)
    returnFreedMemory()
    processor = try ProcessorConfig.load(checkpoint)
    contextLength = try MultimodalModel.contextLength(config)
    let width = outline.shape.tower!.width
    self.companion = try companion.map { try Companion(Checkpoint(directory: $0), width: width) }
    var model = try MultimodalModel.load(checkpoint)
    model.joint = self.companion?.space
    if model.stops.isEmpty { model.stops = try Self.ends(checkpoint, tokenizer) }
    self.model = model
    returnFreedMemory()
    guard tokenizer.id(visual.placeholder) == model.placeholder else {
      throw ModelError.input(
        what: "\(checkpoint.vocabulary?.file ?? "tokenizer.json"): `\(visual.placeholder)`",
        found: tokenizer.id(visual.placeholder).map { "id \($0)" } ?? "no such token",
        expected: "the id \(model.placeholder) that config.json gives to images",
        fix: "Use tokenizer and configuration of one revision of the checkpoint.")
    }
  }

  /// What ends an answer where no file of the model says it: the tokenizer's own end. Without one answers would run on to
  /// their limit.
  private static func ends(_ checkpoint: Checkpoint, _ tokenizer: TextTokenizer) throws -> Set<Int> {
    let token = try checkpoint.json("tokenizer_config.json")?.value(at: "eos_token")
    guard let name = token?.string ?? token?.value(at: "content")?.string, let id = tokenizer.id(name) else {
      throw ModelError.input(
        what: "model '\(checkpoint.name)'", found: "nothing that says which token ends an answer",
        expected: "eos_token_id in generation_config.json or config.json, or eos_token in tokenizer_config.json",
        fix: "Copy generation_config.json of the checkpoint into the folder.")
    }
    return [id]
  }

  /// Whether `with` made one of the two of the other.
  package func sharesWeights(with other: Generator) -> Bool {
    checkpoint.name == other.checkpoint.name && precision == other.precision
  }

  func with(_ methods: ComposedMethods) throws(CompressionError) -> Generator {
    var other = self
    other.methods = methods
    if let count = outline.fixedTokens { try methods.check(of: count) }
    return other
  }

  /// A question as the model takes it.
  public struct Prompt: Sendable {
    /// With all placeholders written out.
    public let text: String
    public let ids: [Int]
    public let images: [PreparedImage]
    fileprivate let question: String
  }

  /// Puts a question and its images into the model's template, cuts the images into tiles and the text into tokens.
  /// - Parameter system: a sentence before the question; nil: the template's own.
  /// - Throws: `ImageError` as `picture`, `ModelError` for a text that does not fit.
  public func prepare(_ question: String, about images: [Image], system: String? = nil) throws -> Prompt {
    try prepare(question, about: images.map { try picture($0, among: images.count) }, system: system)
  }

  /// Longest side of a picture over its shortest: beyond it a picture shows nothing that a model has seen. Qwen2-VL's
  /// processor refuses such pictures; others would crop them to a speck or stretch them to stripes.
  public static let aspectLimit = 200

  /// A picture cut into the tiles that the model takes; smaller where a method shrinks images.
  /// - Parameter images: pictures in its prompt.
  /// - Throws: `ImageError` for one that is too long and thin, or that the model's processor refuses.
  public func picture(_ image: Image, among images: Int = 1) throws(ImageError) -> PreparedImage {
    let (long, short) = (max(image.width, image.height), min(image.width, image.height))
    guard long <= Self.aspectLimit * short else {
      throw ImageError(
        .tooLarge,
        "its size is \(image.size), \(long / short) times as long as wide; at most \(Self.aspectLimit) times, crop it first"
      )
    }
    let image = image.atMost(mostPixels)
    let shrinking = try composition.shrink.flatMap { budget throws(ImageError) in
      try outline.shrinking(image.size, to: budget)
    }
    return try (shrinking ?? processor).tiles(of: image, among: images)
  }

  /// A video as the model takes it.
  /// - Throws: `ModelError` for a model that takes no videos, `CompressionError` for a method that shrinks images, `ImageError`.
  public func video(_ video: Video) throws -> PreparedImage {
    try MultimodalModel.refuseVideos(composition)
    guard takesVideos, let prepared = try processor.video(video.frames.map { $0.atMost(mostPixels) }, rate: video.rate)
    else { throw Self.takesNoVideos(name) }
    return prepared
  }

  /// Whether frames may be a video.
  public var takesVideos: Bool { outline.takesVideos }

  static func takesNoVideos(_ model: String) -> ModelError {
    ModelError.input(
      what: "video", found: "\(model), which is not run on videos here",
      expected: "a model of \(Families.videos.joined(separator: ", "))", fix: "Give the frames as images.")
  }

  /// Refuses a question that the template and so many images do not fit, before any image is read.
  public func check(_ question: String, images: Int, system: String? = nil) throws(ModelError) {
    guard !question.allSatisfy(\.isWhitespace) else {
      throw .input(what: "prompt", found: "an empty text", expected: "a question", fix: "Write one.")
    }
    try check(ChatMessage.question(question, images: images, system: system))
  }

  /// Refuses messages that the template does not take, before any image is read.
  public func check(_ messages: [ChatMessage]) throws(ModelError) {
    try visual.check(
      template.text(messages), images: messages.reduce(0) { $0 + $1.images },
      videos: messages.reduce(0) { $0 + $1.videos })
  }

  public func prepare(_ question: String, about prepared: [PreparedImage], system: String? = nil) throws -> Prompt {
    try prepare(ChatMessage.question(question, about: prepared, system: system), about: prepared)
  }

  /// A conversation as the model takes it. What its last message asks is the question that methods regard.
  /// - Parameter prepared: one for every image of the messages, in their order.
  public func prepare(_ messages: [ChatMessage], about prepared: [PreparedImage]) throws -> Prompt {
    let text = try visual.writtenOut(
      template.text(messages),
      prepared.map { image in
        VisualText.Visual(
          rows: image.rows, columns: image.columns, spans: try model.spans(of: image),
          seconds: image.isVideo ? image.seconds : nil)
      })
    // A template may begin with what the tokenizer would put there too.
    let plain = tokenizer.encode(text, special: false)
    let begins = !tokenizer.start.isEmpty && plain.starts(with: tokenizer.start)
    // Rows of a video are visual rows as those of an image are.
    let ofVideos = visual.videoPlaceholder.flatMap { tokenizer.id($0) }
    let ids = (begins ? plain : tokenizer.encode(text)).map { $0 == ofVideos ? model.placeholder : $0 }
    return Prompt(
      text: text, ids: ids, images: prepared,
      question: messages.last?.text ?? "")
  }

  /// What came out, and what it cost.
  public struct Answer: Sendable {
    public let text: String
    /// New tokens, the stop token included.
    public let ids: [Int]
    /// Whether the model ended the answer itself.
    public let isComplete: Bool
    /// Tokens, multiply-adds and cache entries of this run, beside those of the dense model on the same prompt and as
    /// many new tokens.
    public let table: CostTable
    /// Visual tokens or cache entries asked for and left.
    public let outcome: BudgetOutcome
    /// From the prepared prompt to the first token, and from there to the last.
    public let firstSeconds: Double, restSeconds: Double
    /// Rows that entered the language model, and the time that it needed for all of them.
    public let promptRows: Int
    public let promptSeconds: Double

    /// After the first; nil for an answer of one token.
    public var tokensPerSecond: Double? { ids.count > 1 ? Double(ids.count - 1) / restSeconds : nil }
  }

  /// Answers one question about images, in the order the template places them.
  /// - Parameters:
  ///   - limit: most new tokens, at least 1.
  ///   - seed: of methods that draw lots.
  ///   - keepingNotes: whether the trace keeps what every stage left, for `stages(of:to:)`.
  ///   - receive: gets the answer piece by piece; false ends it there.
  /// - Throws: what `prepare` throws; `CompressionError` also when a budget below the number of tokens was given and
  ///   nothing was reduced; `CancellationError` once the task that runs this is cancelled: behind the tower, behind the
  ///   prompt, or behind the next token.
  public func callAsFunction(
    _ question: String, about images: [Image], system: String? = nil, sampling: Sampling = .greedy, limit: Int = 256,
    seed: UInt64 = 0, keepingNotes: Bool = false, threads: Int = 1, receive: (String) -> Bool = { _ in true }
  ) throws -> Answer {
    try self(
      prepare(question, about: images, system: system), sampling: sampling, limit: limit, seed: seed,
      keepingNotes: keepingNotes, threads: threads, receive: receive)
  }

  /// - Parameter cache: what earlier questions about the same pictures have left; the answer is the same to the bit.
  public func callAsFunction(
    _ prompt: Prompt, sampling: Sampling = .greedy, limit: Int = 256, seed: UInt64 = 0, keepingNotes: Bool = false,
    threads: Int = 1, cache: PrefixCache? = nil, receive: (String) -> Bool = { _ in true }
  ) throws -> Answer {
    try model.language.check(prompt: prompt.ids.count, new: limit)
    let clock = ContinuousClock()
    let start = clock.now
    func look() throws -> Seen {
      try self.look(
        at: prompt.images, question: prompt.question, seed: seed, keepingNotes: keepingNotes, threads: threads)
    }
    let seen = try cache?.seen(prompt.images, by: self, seed: seed, keepingNotes: keepingNotes, look) ?? look()
    try Task.checkCancellation()
    let looked = clock.now
    var (run, decoding) = try read(prompt, seen: seen, shared: cache?.prefixes, threads: threads)
    try Task.checkCancellation()
    let promptSeconds = looked.duration(to: clock.now) / .seconds(1)
    let promptRows = decoding.received.first ?? 0
    var stream = TokenStream(tokenizer)
    var text = ""
    var first: ContinuousClock.Instant?
    var last = clock.now
    let ids = try model.language.generate(
      from: &decoding, run: &run, sampling: sampling, limit: limit, stops: model.stops, threads: threads
    ) { id in
      last = clock.now
      if first == nil { first = last }
      if model.stops.contains(id) { return true }
      if Task.isCancelled { return false }
      let piece = stream.append(id)
      text += piece
      return piece.isEmpty || receive(piece)
    }
    _ = consume decoding  // the caches go before the dense run is rehearsed
    try Task.checkCancellation()
    let rest = stream.finish()
    text += rest
    if !rest.isEmpty { _ = receive(rest) }
    let dense =
      composition.methods.isEmpty
      ? run.trace
      : try Rehearsal.trace(
        [], of: outline, ids: wholeIds(of: prompt), placeholder: model.placeholder,
        images: prompt.images.map(whole), question: seen.question, newTokens: ids.count)
    return Answer(
      text: text, ids: ids, isComplete: ids.last.map(model.stops.contains) ?? false,
      table: CostTable(run.trace, dense: dense, shape: model.shape), outcome: try outcome(of: prompt.images, run.trace),
      firstSeconds: start.duration(to: first!) / .seconds(1), restSeconds: first!.duration(to: last) / .seconds(1),
      promptRows: promptRows, promptSeconds: promptSeconds)
  }
}
