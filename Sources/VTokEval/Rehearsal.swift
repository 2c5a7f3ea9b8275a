import VTokCore
import VTokImage
import VTokModels
import VTokTensor

/// A run without weights: methods see tokens, attention and keys of the right shapes filled with seeded noise, so that
/// their own schedules say how many tokens every block and layer gets. What remains is a trace, and from it the cost
/// ledger.
///
/// Where a method's counts depend on the image, another seed and sharper noise give another trace.
public enum Rehearsal {
  /// What a vision-language model is asked.
  public struct Prompt: Sendable, Equatable {
    /// Size of the picture.
    public var picture: Size
    /// Text tokens, beside those with which the model itself marks pictures: one before the picture, the others behind.
    public var text: Int
    /// Tokens generated; the first comes out of the prefill.
    public var newTokens: Int

    /// - Precondition: there is some text and a token to be generated.
    public init(picture: Size = Size(672), text: Int = 64, newTokens: Int = 64) {
      precondition(text > 0 && newTokens > 0)
      self.picture = picture
      self.text = text
      self.newTokens = newTokens
    }
  }

  /// - Parameters:
  ///   - shape: of a tower; the image is one tile of its grid.
  ///   - seed: of the noise, and of methods that draw lots.
  ///   - isSharp: attention has few high values and tokens resemble each other, so that thresholds find other rows than in
  ///     flat noise.
  /// - Throws: `CompressionError` as a real run would.
  public static func trace(
    _ methods: [any Compressor], on shape: Shape, seed: UInt64 = 0, isSharp: Bool = false
  ) throws(CompressionError) -> Trace {
    let composition = try Composition(methods, for: shape)
    guard var tower = shape.tower else { preconditionFailure("a rehearsal needs a tower") }
    if let patches = composition.shrink?.tokens(of: tower.patches), patches < tower.patches {
      let grid = Shape.Tower.grid(rows: tower.rows, columns: tower.columns, patches: patches)
      tower = tower.on(rows: grid.rows, columns: grid.columns)
    }
    var run = Run(composition, seed: seed, rehearsing: true)
    var noise = Noise(seed: seed, isSharp: isSharp)
    let tile = noise.tile(tower, patches: (0..<tower.patches).map { $0 })
    var walk = TowerWalk(NoiseBlocks(tower, noise))
    _ = try walk([tile], run: &run)
    return run.trace
  }

  /// A picture and a text, through a whole vision-language model to the last new token.
  /// - Throws: `CompressionError` as a real run would, `ImageError` for a picture that the model's processor refuses.
  public static func trace(
    _ methods: [any Compressor], of model: ModelOutline, prompt: Prompt = Prompt(), seed: UInt64 = 0,
    isSharp: Bool = false
  ) throws -> Trace {
    guard let geometry = model.geometry else {
      return try trace(methods, on: model.shape, seed: seed, isSharp: isSharp)
    }
    let shrink = try Composition(methods, for: model.shape).shrink
    let image = try model.prepared(prompt.picture, shrunkTo: shrink)
    // The one text token before the picture, the rest behind it, and the markers of the model.
    var text = geometry.markers(of: image)
    text[0] += 1
    text[text.count - 1] += prompt.text - 1
    let ids = text.enumerated().flatMap { index, count in
      (index == 0 ? [] : [-1]) + [Int](repeating: 0, count: count)
    }
    return try trace(
      methods, of: model.shape, geometry, [image], ids: ids, placeholder: -1, question: prompt.text,
      newTokens: prompt.newTokens, seed: seed, isSharp: isSharp)
  }

  /// A prompt as `MultimodalModel` takes it, for the same trace without its weights.
  /// - Parameters:
  ///   - question: tokens of the question alone, for a connector that is conditioned on it.
  ///   - newTokens: at least 1.
  /// - Throws: `CompressionError`, `ModelError` as a real run would.
  /// - Precondition: the model is a vision-language model, and the images are prepared for it.
  public static func trace(
    _ methods: [any Compressor], of model: ModelOutline, ids: [Int], placeholder: Int, images: [PreparedImage],
    question: Int = 1, newTokens: Int, seed: UInt64 = 0
  ) throws -> Trace {
    guard let geometry = model.geometry else { preconditionFailure("a tower has no prompt") }
    return try trace(
      methods, of: model.shape, geometry, images, ids: ids, placeholder: placeholder, question: question,
      newTokens: newTokens, seed: seed, isSharp: false)
  }

  private static func trace(
    _ methods: [any Compressor], of shape: Shape, _ geometry: any VisualGeometry, _ images: [PreparedImage],
    ids: [Int], placeholder: Int, question: Int, newTokens: Int, seed: UInt64, isSharp: Bool
  ) throws -> Trace {
    let decoder = shape.decoder!
    var run = Run(try Composition(methods, for: shape), seed: seed, rehearsing: true)
    var noise = Noise(seed: seed, isSharp: isSharp)
    if run.composition.joint != nil { run.question = noise.values([1, Noise.joint]) }
    run.read(question: "") { _ in noise.values([8, decoder.width]) }
    if geometry.seesQuestion {
      run.passQuestion((0..<decoder.layers).map { _ in Trace.Layer(rows: [question]) })
    }
    let spans = try look(at: images, shape, geometry, &run, &noise)
    let plan = try PromptPlan(
      ids, placeholder: placeholder, spans: images.map(geometry.spans), vocabulary: decoder.vocabulary)
    let tokens = geometry.assemble(plan, spans, images, run: &run) { noise.values([$0.count, decoder.width]) }
    var walk = DecoderWalk(NoiseLayers(decoder, noise))
    var decoding = try walk.prefill(tokens, run: &run)
    for _ in 1..<max(1, newTokens) { try walk.step(0, &decoding, run: &run) }
    return run.trace
  }

  /// Pictures through tower, connector and packing.
  static func look(
    at images: [PreparedImage], _ shape: Shape, _ geometry: any VisualGeometry, _ run: inout Run, _ noise: inout Noise
  ) throws(CompressionError) -> [[TokenSequence]] {
    let width = shape.decoder!.width
    let newline = shape.layout!.hasNewline ? noise.values([1, width]) : nil
    return try geometry.encode(images, newline: newline, run: &run) {
      image, first, run throws(CompressionError) in
      let grid = geometry.grid(of: image)
      let tower = geometry.tower.on(rows: grid.rows, columns: grid.columns)
      let tiles = image.tiles.indices.map { index in
        let patches = (geometry.order(of: image) ?? Array(0..<tower.patches)).map { first + index * tower.patches + $0 }
        return noise.tile(tower, patches: patches)
      }
      var walk = TowerWalk(NoiseBlocks(tower, noise))
      let features = try walk(tiles, run: &run, standard: geometry.features)
      noise = walk.source.noise
      return features
    } connector: { tile, groups in
      noise.connect(tile, groups, width: width)
    }
  }

  /// The ledger of such a run.
  public static func cost(_ methods: [any Compressor], on shape: Shape, seed: UInt64 = 0) throws(CompressionError)
    -> Cost
  {
    Cost(of: try trace(methods, on: shape, seed: seed), shape: shape)
  }
}

extension ModelOutline {
  /// The trace of a dense run of pictures as far as the language model.
  /// - Precondition: this is a vision-language model, and the images are prepared for it.
  public func look(at images: [PreparedImage]) throws(CompressionError) -> Trace {
    guard let geometry else { preconditionFailure("a tower alone") }
    var run = Run(.dense(shape), rehearsing: true)
    var noise = Noise(seed: 0, isSharp: false)
    _ = try Rehearsal.look(at: images, shape, geometry, &run, &noise)
    return run.trace
  }
}
