import VTokCore
import VTokEval
import VTokImage
import VTokMethods
import VTokModels
import VTokTensor

/// A vision-language model as far as its language model: the visual tokens of a picture behind tower, connector and
/// packing, reduced, for engines that run the rest.
public struct VisualReducer: ImageReducer {
  package let generator: Generator
  private let dense: Generator
  private let question: String?

  public var name: String { generator.name }
  public var method: String { generator.method }
  public var labels: [String]? { nil }

  /// - Parameters:
  ///   - question: for methods that choose with regard to it.
  ///   - videos: whether videos will come.
  /// - Throws: `CompressionError` for a method that acts inside the language model, for one that needs a question where there
  ///   is none, and for one that takes no videos where they will come.
  public init(_ generator: Generator, question: String? = nil, videos: Bool = false) throws {
    if videos { try MultimodalModel.refuseVideos(generator.composition) }
    if let inside = generator.composition.entersLanguageModel {
      throw CompressionError.unsupported(
        method: inside, found: "a cut inside the language model, which runs elsewhere",
        expected: "a method that acts before it", fix: "Run the whole model with it, or choose another method.")
    }
    if let shrinking = generator.composition.shrinks {
      throw CompressionError.unsupported(
        method: shrinking, found: "a smaller image, whose tokens stand for no patches of the whole one",
        expected: "a method that chooses among the tokens of an image",
        fix: "Give smaller images, or ask the whole model a question with it.")
    }
    if let reader = generator.composition.readsQuestion, question == nil {
      throw CompressionError.lacks(method: reader, .question)
    }
    if generator.model.seesQuestion, question == nil {
      throw CompressionError.lacks(method: "a connector conditioned on the question", .question)
    }
    if let question { try generator.check(question, images: 1) }
    self.generator = generator
    self.question = question
    dense = try generator.with(nil)
  }

  public func reduce(_ image: Image, seed: UInt64) throws -> (result: PrunedImage, preprocess: Double) {
    try reduce(region: region(of: image), seed: seed) { try generator.picture(image) }
  }

  /// The frames are the tiles, and the visual spans as the model has them: one, or one for every two frames.
  public func reduce(_ video: Video, seed: UInt64) throws -> (result: PrunedImage, preprocess: Double) {
    try reduce(region: Self.whole(video.frames[0]), seed: seed) { try generator.video(video) }
  }

  private func reduce(
    region: ImageProcessor.Region, seed: UInt64, _ prepare: () throws -> PreparedImage
  ) throws -> (result: PrunedImage, preprocess: Double) {
    let clock = ContinuousClock()
    let start = clock.now
    let prepared = try prepare()
    let milliseconds = start.duration(to: clock.now) / .milliseconds(1)
    let (tokens, starts, trace) = try spans(of: prepared, seed: seed)
    let model = generator.model
    let visual = try generator.visualTokens(of: [prepared])
    try generator.check([prepared], wereReduced: tokens.count < visual)
    let grid = model.grid(of: prepared)
    let denseTrace = try generator.outline.look(at: [prepared])
    let mean = (0..<tokens.x.width).map { column in
      (0..<tokens.count).reduce(Float(0)) { $0 + tokens.x.values[$1 * tokens.x.width + column] } / Float(tokens.count)
    }
    let origin = tokens.origin
    let result = PrunedImage(
      tokens: tokens.x, pooled: mean, logits: nil,
      keep: (0..<tokens.count).map { row in
        let range = origin.range(row)
        return range.isEmpty ? -1 : Int(origin.patches[range.lowerBound])
      }, origin: origin, spans: starts, pending: tokens.pending, tokensIn: visual, tiles: prepared.tiles.count,
      rows: grid.rows,
      columns: grid.columns, region: region, trace: trace, cost: Cost(of: trace, shape: model.shape),
      dense: Cost(of: denseTrace, shape: model.shape),
      outcome: generator.methods.accounting.outcome(of: [Double(visual)], reached: Double(tokens.count)))
    return (result, milliseconds)
  }

  public func denseTime(_ image: Image) throws -> Double { try denseTime(dense.picture(image)) }
  public func denseTime(_ video: Video) throws -> Double { try denseTime(dense.video(video)) }

  private func denseTime(_ prepared: PreparedImage) throws -> Double {
    try dense.look(at: [prepared], question: question ?? "", seed: 0).run.trace.towerSeconds * 1000
  }

  /// Whether token maps can be drawn: where a picture is one tile.
  public var drawsMaps: Bool { generator.model.shape.layout?.tiling == .one && generator.processor is ImageProcessor }

  private func region(of image: Image) -> ImageProcessor.Region {
    (generator.processor as? ImageProcessor)?.visibleRegion(width: image.width, height: image.height)
      ?? Self.whole(image)
  }

  private static func whole(_ image: Image) -> ImageProcessor.Region {
    ImageProcessor.Region(x: 0, y: 0, width: Double(image.width), height: Double(image.height))
  }

  /// The tokens of all spans, where each begins and the last one ends, and what it took.
  private func spans(of image: PreparedImage, seed: UInt64) throws -> (TokenSequence, [Int], Trace) {
    let seen = try generator.look(at: [image], question: question ?? "", seed: seed)
    var run = seen.run
    guard run.acts(at: .layer(0)) else {
      var tokens = seen.spans[0][0]
      var starts = [0, tokens.count]
      for span in seen.spans[0].dropFirst() {
        tokens.append(span)
        starts.append(tokens.count)
      }
      return (tokens, starts, run.trace)
    }
    // What acts on the whole prompt sees one, with a question of a word where it reads none.
    let prompt = try generator.prepare(question ?? "?", about: [image])
    var sequences = [try generator.model.prompt(prompt.ids, [image], spans: seen.spans, run: &run)]
    try run.act(at: .layer(0), on: &sequences)
    let rows = run.images[0].spans.map { span in
      sequences[0].id.indices.filter { span.contains(sequences[0].id[$0]) }
    }
    let starts = rows.reduce(into: [0]) { $0.append($0.last! + $1.count) }
    return (sequences[0].reduced(.keep(rows.flatMap { $0 }, of: sequences[0].count)), starts, run.trace)
  }
}
