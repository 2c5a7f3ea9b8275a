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
public struct Generator: Sendable {
  /// The last part of the directory's path.
  public let name: String
  public let model: MultimodalModel
  public let tokenizer: TextTokenizer
  public let template: PromptTemplate
  public let processor: any TiledProcessor
  public private(set) var composition: Composition
  /// As typed: `fastv:layer=2`.
  public private(set) var method: String
  public private(set) var budget: Budget?
  /// SHA-256 of the weight files' bytes. Reads all of them.
  public var sha256: String { LoadedModel.checksum(checkpoint) }
  /// Longest prompt with its answer that the model was trained for, where its files say so.
  public let contextLength: Int?

  private let checkpoint: Checkpoint
  let outline: ModelOutline
  private let visual: VisualText
  private let companion: Companion?

  /// - Parameters:
  ///   - model: a directory as downloaded.
  ///   - method: `NAME[:key=value,...]`, several joined with `+`; nil runs the model dense.
  ///   - keep: budget of methods that carry no amount of their own.
  ///   - template: a name of `PromptTemplate.builtIn`, or a text with `{prompt}` and `{images}`; nil: the model's own.
  ///   - companion: directory of the CLIP that the tower comes from, for methods that compare patches with the question.
  /// - Throws: before any weight is read, `MethodError` and `CompressionError` for what is asked, `TokenizerError`,
  ///   `ModelError`, `WeightError` and `JSONError` for the files.
  public init(
    model: String, method: String? = nil, keep: Budget? = nil, template: String? = nil, companion: String? = nil
  ) throws {
    try self.init(
      Checkpoint(directory: model), method: method.map { try MethodSpec($0) }, keep: keep, template: template,
      companion: companion)
  }

  public init(
    _ checkpoint: Checkpoint, method: MethodSpec?, keep: Budget? = nil, template: String? = nil,
    companion: String? = nil, read: @escaping @Sendable (String) throws -> OptionFile = { _ in OptionFile() }
  ) throws {
    let config = checkpoint.config
    guard let visual = VisualText(modelType: config["model_type"]?.string ?? "") else {
      throw ModelError.input(
        what: "model '\(checkpoint.name)'",
        found: config["model_type"]?.string.map { "type '\($0)'" } ?? "no model_type in config.json",
        expected: "a vision-language model: "
          + MultimodalModel.familyDescriptions.map(\.name).joined(separator: ", "),
        fix: "For a vision tower alone use 'vtok prune'.")
    }
    self.checkpoint = checkpoint
    self.visual = visual
    name = checkpoint.name.split(separator: "/").last.map(String.init) ?? checkpoint.name
    outline = try ModelOutline(config: config, processor: checkpoint.json("preprocessor_config.json"))
    composition = try Self.compose(method, keep, read, for: outline.shape)
    self.method = method?.description ?? "dense"
    budget = keep
    tokenizer = try TextTokenizer(checkpoint)
    self.template =
      try template.map { try PromptTemplate($0, for: visual) }
      ?? PromptTemplate.load(checkpoint, tokenizer: tokenizer)
    processor = try ProcessorConfig.load(checkpoint)
    contextLength =
      (config.value(at: "text_config.max_position_embeddings") ?? config["max_position_embeddings"])?.int
    let width = outline.shape.tower!.width
    self.companion = try companion.map { try Companion(Checkpoint(directory: $0), width: width) }
    try Self.check(composition, self.companion)
    var model = try MultimodalModel.load(checkpoint)
    model.joint = self.companion?.space
    self.model = model
    guard tokenizer.id(visual.placeholder) == model.placeholder else {
      throw ModelError.input(
        what: "tokenizer.json: `\(visual.placeholder)`",
        found: tokenizer.id(visual.placeholder).map { "id \($0)" } ?? "no such token",
        expected: "the id \(model.placeholder) that config.json gives to images",
        fix: "Use tokenizer and configuration of one revision of the checkpoint.")
    }
  }

  /// The same model with another method.
  /// - Throws: `MethodError` and `CompressionError` for what is asked.
  public func with(
    _ method: MethodSpec?, keep: Budget? = nil,
    read: @escaping @Sendable (String) throws -> OptionFile = { _ in OptionFile() }
  ) throws -> Generator {
    var other = self
    other.composition = try Self.compose(method, keep, read, for: outline.shape)
    try Self.check(other.composition, companion)
    (other.method, other.budget) = (method?.description ?? "dense", keep)
    return other
  }

  private static func compose(
    _ method: MethodSpec?, _ keep: Budget?, _ read: @escaping @Sendable (String) throws -> OptionFile,
    for shape: Shape
  ) throws -> Composition {
    let composition = try Composition(method?.make(budget: keep, read: read) ?? [], for: shape)
    if composition.patches != nil {
      throw CompressionError.unsupported(
        method: method!.description, found: "a picture to be shrunk for a vision-language model",
        expected: "a method that acts on tokens", fix: "Use another method with this model.")
    }
    return composition
  }

  private static func check(_ composition: Composition, _ companion: Companion?) throws(CompressionError) {
    guard let joint = composition.joint, companion == nil else { return }
    throw .unsupported(
      method: joint, found: "no companion CLIP", expected: "the CLIP that the model's tower comes from",
      fix: "Name its folder with --companion DIR, or choose another method.")
  }

  // MARK: Answering

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
  /// - Throws: `ImageError` for a picture that the model's processor refuses, `ModelError` for a text that does not fit.
  public func prepare(_ question: String, about images: [Image], system: String? = nil) throws -> Prompt {
    try prepare(question, about: images.map { try processor.tiles(of: $0) }, system: system)
  }

  func prepare(_ question: String, about prepared: [PreparedImage], system: String? = nil) throws -> Prompt {
    let text = try visual.writtenOut(
      template.text(question, images: prepared.count, system: system),
      images: prepared.map { ($0.rows, $0.columns, try model.spans(of: $0)) })
    // A template may begin with what the tokenizer would put there too.
    let plain = tokenizer.encode(text, special: false)
    let begins = !tokenizer.start.isEmpty && plain.starts(with: tokenizer.start)
    return Prompt(text: text, ids: begins ? plain : tokenizer.encode(text), images: prepared, question: question)
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
    /// From the prepared prompt to the first token, and from there to the last.
    public let firstSeconds: Double, restSeconds: Double

    /// After the first; nil for an answer of one token.
    public var tokensPerSecond: Double? { ids.count > 1 ? Double(ids.count - 1) / restSeconds : nil }
  }

  /// Answers one question about images, in the order the template places them.
  /// - Parameters:
  ///   - limit: most new tokens, at least 1.
  ///   - seed: of methods that draw lots.
  ///   - receive: gets the answer piece by piece; false ends it there.
  /// - Throws: what `prepare` throws; `CompressionError` also when a budget below the number of tokens was given and
  ///   nothing was reduced.
  public func callAsFunction(
    _ question: String, about images: [Image], system: String? = nil, sampling: Sampling = .greedy, limit: Int = 256,
    seed: UInt64 = 0, threads: Int = 1, receive: (String) -> Bool = { _ in true }
  ) throws -> Answer {
    try self(
      prepare(question, about: images, system: system), sampling: sampling, limit: limit, seed: seed, threads: threads,
      receive: receive)
  }

  public func callAsFunction(
    _ prompt: Prompt, sampling: Sampling = .greedy, limit: Int = 256, seed: UInt64 = 0, threads: Int = 1,
    receive: (String) -> Bool = { _ in true }
  ) throws -> Answer {
    let clock = ContinuousClock()
    let start = clock.now
    let seen = try look(at: prompt.images, question: prompt.question, seed: seed, threads: threads)
    var (run, decoding) = try read(prompt, seen: seen, threads: threads)
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
      let piece = stream.append(id)
      text += piece
      return piece.isEmpty || receive(piece)
    }
    let rest = stream.finish()
    text += rest
    if !rest.isEmpty { _ = receive(rest) }
    let dense =
      composition.methods.isEmpty
      ? run.trace
      : try Rehearsal.trace(
        [], of: outline, ids: prompt.ids, placeholder: model.placeholder, images: prompt.images, newTokens: ids.count)
    return Answer(
      text: text, ids: ids, isComplete: ids.last.map(model.stops.contains) ?? false,
      table: CostTable(run.trace, dense: dense, shape: model.shape),
      firstSeconds: start.duration(to: first!) / .seconds(1), restSeconds: first!.duration(to: last) / .seconds(1))
  }
}

// MARK: Many questions about the same pictures

extension Generator {
  /// Pictures behind tower, connector and packing, from where any number of prompts about them can go on.
  struct Seen: Sendable {
    let run: Run
    let spans: [[TokenSequence]]
  }

  /// The text of new tokens, without those that end it.
  func text(of ids: [Int]) -> String { tokenizer.decode(ids.filter { !model.stops.contains($0) }) }

  /// Tokens of the pictures when nothing is reduced.
  func visualTokens(of images: [PreparedImage]) throws -> Int {
    try images.reduce(0) { $0 + (try model.spans(of: $1).reduce(0, +)) }
  }

  /// Whether what becomes of the pictures before the language model depends on the question.
  var looksAtQuestion: Bool { composition.joint != nil }

  /// - Parameter question: for methods that compare pictures with it.
  func look(
    at images: [PreparedImage], question: String, seed: UInt64, shared: [SharedBlocks]? = nil, threads: Int = 1
  ) throws -> Seen {
    var run = Run(composition, seed: seed)
    run.question = companion?.embed(question)
    let spans = try model.encode(images, run: &run, shared: shared, threads: threads)
    return Seen(run: run, spans: spans)
  }

  /// The pass through the language model up to the first token.
  func read(_ prompt: Prompt, seen: Seen, shared: SharedPrefixes? = nil, threads: Int = 1) throws -> (
    run: Run, decoding: Decoding
  ) {
    var run = seen.run
    let tokens = try model.prompt(prompt.ids, prompt.images, spans: seen.spans, run: &run)
    let decoding = try model.language.prefill(tokens, run: &run, shared: shared, threads: threads)
    let visual = try visualTokens(of: prompt.images)
    if let budget, !composition.methods.isEmpty, budget.tokens(of: visual) < visual,
      !run.trace.acts.contains(where: { $0.output < $0.input })
    {
      throw CompressionError.unreachable(
        method: method, asked: "\(budget.tokens(of: visual)) of \(visual) tokens", reachable: "no fewer than all",
        fix: "Choose another budget or method.")
    }
    return (run, decoding)
  }
}

/// The CLIP that a tower comes from: patches and questions in one space.
private struct Companion: Sendable {
  let space: JointSpace
  private let clip: CLIP
  private let tokenizer: CLIPTokenizer

  /// - Parameter width: of the tower whose features it must take.
  init(_ checkpoint: Checkpoint, width: Int) throws {
    clip = try CLIP.load(checkpoint)
    tokenizer = try CLIPTokenizer(checkpoint)
    let found = clip.vision.tower.shape.width
    guard let space = JointSpace(clip), found == width else {
      throw ModelError.input(
        what: "companion '\(checkpoint.name)'", found: "a tower of width \(found)", expected: "\(width)",
        fix: "Name the CLIP that the model's tower comes from.")
    }
    self.space = space
  }

  /// The question in pieces of CLIP's context length, the last one filled with zeros, as CDPruner's code cuts it.
  /// `[pieces, width]`
  func embed(_ question: String) -> Tensor {
    let ids = [tokenizer.start] + tokenizer.encode(question) + [tokenizer.end]
    let length = clip.text.contextLength
    let rows = stride(from: 0, to: ids.count, by: length).map { start in
      let piece = Array(ids[start..<min(start + length, ids.count)])
      return clip.text(piece + [Int](repeating: 0, count: length - piece.count)).projected
    }
    return Tensor(rows.flatMap { $0 }, shape: [rows.count, rows[0].count])
  }
}
