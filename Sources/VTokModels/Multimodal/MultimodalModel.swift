import VTokCore
import VTokImage
import VTokTensor
import VTokWeights

/// A vision-language model: pictures through a tower and a connector into the prompt of a language model.
///
/// Every method can act on the way: inside the tower, on its features, when the tiles of a picture are packed into its
/// visual spans, in the language model and on its caches.
public struct MultimodalModel: Sendable {
  /// The family that read it, for example `llava`.
  public let family: String
  public let shape: Shape
  public package(set) var language: LanguageModel
  /// Id that stands for an image in a prompt. It need not be in the vocabulary.
  public let placeholder: Int
  /// Ids that end a generated text.
  package(set) public var stops: Set<Int>
  /// The space in which features can be compared with a question, from the CLIP that the tower comes from; with it,
  /// `run.question` must be set.
  public var joint: JointSpace?
  let visual: any VisualEncoder
  private let geometry: any VisualGeometry

  // MARK: Running

  /// Reads a prompt with its images: the pass through tower, connector and language model up to the first token.
  /// - Parameters:
  ///   - ids: the prompt; every visual span (an image; in Idefics3 a tile) is one placeholder, or as many as it has tokens
  ///     when nothing is reduced.
  ///   - images: in prompt order, prepared by this model's processor.
  ///   - observe: sees the rows entering every layer, and those leaving the last.
  /// - Throws: `ModelError` for a prompt or an image that does not fit, before any work; `CompressionError`.
  public func prefill(
    _ ids: [Int], _ images: [PreparedImage] = [], run: inout Run, threads: Int = 1,
    observe: ((_ layer: Int, _ hidden: Tensor) -> Void)? = nil
  ) throws -> Decoding {
    let prompt = try prompt(ids, images, run: &run, threads: threads)
    return try language.prefill(prompt, run: &run, threads: threads, observe: observe)
  }

  /// The prompt as it enters layer 0: text and visual tokens with kinds, positions and origins; ids count its rows. The
  /// spans of every image are in `run.images`.
  public func prompt(_ ids: [Int], _ images: [PreparedImage], run: inout Run, threads: Int = 1) throws -> TokenSequence
  {
    let plan = try plan(ids, images)
    let spans = try encode(images, run: &run, threads: threads)
    return try assemble(ids, plan, spans, images, run: &run)
  }

  /// The same with spans that `encode` has made of the images in this run, or in one that this is a copy of.
  public func prompt(_ ids: [Int], _ images: [PreparedImage], spans: [[TokenSequence]], run: inout Run) throws
    -> TokenSequence
  {
    try assemble(ids, plan(ids, images), spans, images, run: &run)
  }

  /// Families that take videos, by name.
  public static var videoFamilies: [String] { Families.videos }

  /// Refuses what does not fit, before any work.
  private func plan(_ ids: [Int], _ images: [PreparedImage]) throws(ModelError) -> PromptPlan {
    for image in images {
      if image.isVideo, !geometry.takesVideos {
        throw .input(
          what: "video", found: "\(image.tiles.count) frames", expected: "images: \(family) is not run on videos here",
          fix: "Give the frames as images.")
      }
      try geometry.check(image)
    }
    let spans = images.map(geometry.spans)
    let plan = try PromptPlan(ids, placeholder: placeholder, spans: spans, vocabulary: language.shape.vocabulary)
    try language.check(prompt: ids.count { $0 != placeholder } + spans.reduce(0) { $0 + $1.reduce(0, +) })
    return plan
  }

  private func assemble(
    _ ids: [Int], _ plan: PromptPlan, _ spans: [[TokenSequence]], _ images: [PreparedImage], run: inout Run
  ) throws -> TokenSequence {
    try geometry.assemble(plan, spans, images, run: &run) { try language.embeddings(of: Array(ids[$0])) }
  }

  /// The visual spans of every image, packed: embeddings of the language model, with origins counted through all images.
  /// LLaVA and Qwen-VL have one span an image, Idefics3 one a tile.
  /// - Parameter shared: of every image the blocks that a dense run has left, or will fill; nil: none.
  /// - Precondition: the images fit the model.
  public func encode(
    _ images: [PreparedImage], run: inout Run, shared: [SharedBlocks]? = nil, threads: Int = 1
  ) throws(CompressionError) -> [[TokenSequence]] {
    if images.contains(where: \.isVideo) { try Self.refuseVideos(run.composition) }
    let question = run.conditioning
    if seesQuestion, question == nil {
      throw .unsupported(
        method: "a connector conditioned on the question", found: "no question", expected: "one", fix: "Ask something.")
    }
    if let method = run.composition.joint, joint == nil || run.question == nil {
      throw .unsupported(
        method: method, found: "no companion CLIP", expected: "the CLIP that the tower comes from, and a question",
        fix: "Name the folder of that CLIP.")
    }
    return try geometry.encode(images, newline: visual.newline, run: &run) {
      image, first, run throws(CompressionError) in
      let tiles = visual.embed(image, first: first)
      return try visual.tower.forward(
        tiles.map(\.tokens), tiles.map(\.surroundings), run: &run, standard: geometry.features,
        joint: joint, shared: shared?[run.image!], threads: threads)
    } connector: { tile, groups in
      visual.connect(tile, joining: groups, question: question, threads: threads)
    }
  }

  /// What compares the pixels of patches knows one frame.
  package static func refuseVideos(_ composition: Composition) throws(CompressionError) {
    let place = composition.plans.firstIndex {
      $0.act.contains(.patches) || $0.record[.patches] != nil || $0.shrink != nil
    }
    guard let place else { return }
    throw .unsupported(
      method: composition.name(place), found: "a video",
      expected: "still images", fix: CompressionError.anotherMethod)
  }

  /// Whether the connector is conditioned on the question (QueCC): `read(question:run:threads:)` then comes first.
  public var seesQuestion: Bool { geometry.seesQuestion }

  /// Reads the user's question alone: the row of its last token behind the final norm is what the connector sees of it.
  /// - Parameter ids: the question with the tokenizer's own start.
  /// - Throws: `ModelError` for ids outside the vocabulary.
  public func read(question ids: [Int], run: inout Run, threads: Int = 1) throws {
    let x = try language.embeddings(of: ids)
    let tokens = TokenSequence(x: x, kind: ids.map { _ in .text }, origin: Origin(ids.map { _ in nil }))
    var own = Run(.dense(shape))
    let last = try language.prefill(tokens, run: &own, threads: threads).tokens.x.gathered([ids.count - 1])
    run.passQuestion(own.trace.language)
    run.conditioning = language.normed(last)
  }

  /// Rows of every tile that enter the first block of the tower, and its features before the connector, class token
  /// included where no method drops it. `[rows, width]` each
  package func tower(_ image: PreparedImage, run: inout Run) throws(CompressionError) -> (
    entering: [Tensor], leaving: [Tensor]
  ) {
    let tiles = visual.embed(image, first: 0)
    let leaving = try visual.tower.forward(
      tiles.map(\.tokens), tiles.map(\.surroundings), run: &run, standard: { _ in nil }, joint: joint, threads: 1)
    return (tiles.map(\.tokens.x), leaving.map(\.x))
  }

  /// Tokens of every visual span of an image when nothing is reduced.
  /// - Throws: `ModelError.input` if the image was not prepared for this model.
  public func spans(of image: PreparedImage) throws(ModelError) -> [Int] {
    try geometry.check(image)
    return geometry.spans(of: image)
  }

  /// The grid of patches of every tile of an image.
  package func grid(of image: PreparedImage) -> (rows: Int, columns: Int) { geometry.grid(of: image) }

  // MARK: Loading

  /// Loads whatever family the checkpoint belongs to. Weights of the language model stay mapped as they are.
  /// - Throws: `ModelError`, `WeightError`.
  public static func load(_ checkpoint: Checkpoint) throws -> MultimodalModel {
    let config = checkpoint.config
    guard let family = MultimodalFamily.of(config) else {
      throw Families.unknown(config, known: MultimodalFamily.types)
    }
    try checkpoint.refuseQuantised()
    let file = Config(json: config)
    let outline = try family.read(file)
    let shape = outline.shape
    let named = checkpoint.renamed(family.names(file))
    let text = try family.language(file)
    let key = "tie_word_embeddings"
    let ties = family.tiesHead && !file.has(key) && !text.has(key)
    let (outer, inner) = (try file.bool(key, ties), try text.bool(key, ties))
    let isTied = outer || inner
    let visual = try family.load(named.at(named.precision.ofTower), shape)
    let language = try LanguageModel(named, text: text, isTied: isTied)
    try checkpoint.refuseUnknown(MultimodalFamily.needless + family.needless)
    return MultimodalModel(
      family: family.name, shape: shape, language: language,
      placeholder: try placeholder(checkpoint, family), stops: try stops(checkpoint, family), visual: visual,
      geometry: outline.geometry)
  }

  /// Longest prompt with its answer that the model was trained for, where `config.json` says so.
  public static func contextLength(_ config: JSON) throws(ModelError) -> Int? {
    let key = "max_position_embeddings"
    let file = Config(json: config)
    let section = MultimodalFamily.of(config)?.languageSection ?? "text_config"
    if let length = try file.section(section).intIfPresent(key) { return length }
    return try file.intIfPresent(key)
  }

  /// By `config.json`, else by the tokenizer's files, else the family's own.
  private static func placeholder(_ checkpoint: Checkpoint, _ family: MultimodalFamily) throws -> Int {
    let file = Config(json: checkpoint.config)
    for key in ["image_token_id", "image_token_index"] {
      if let id = try file.intIfPresent(key) { return id }
    }
    return try checkpoint.id(ofAdded: family.text.placeholder) ?? family.placeholder
  }

  /// `eos_token_id` of `generation_config.json`, else of `config.json`, and the end of a turn.
  private static func stops(_ checkpoint: Checkpoint, _ family: MultimodalFamily) throws -> Set<Int> {
    let config = Config(json: checkpoint.config)
    let generation = Config(json: try checkpoint.json("generation_config.json") ?? [:], file: "generation_config.json")
    let sections = [generation, try config.section(family.languageSection), config]
    let found = try sections.map { try $0.intOrInts("eos_token_id") }
    let end = try family.turnEnd.flatMap { try checkpoint.id(ofAdded: $0) }
    return Set((found.lazy.compactMap(\.self).first { !$0.isEmpty } ?? []) + (end.map { [$0] } ?? []))
  }
}
