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
      (self.picture, self.text, self.newTokens) = (picture, text, newTokens)
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
    if let patches = composition.patches, patches < tower.patches {
      let grid = Shape.Tower.grid(rows: tower.rows, columns: tower.columns, patches: patches)
      tower = tower.on(rows: grid.rows, columns: grid.columns)
    }
    var run = Run(composition, seed: seed, rehearsing: true)
    var noise = Noise(seed: seed, isSharp: isSharp)
    let tile = noise.tile(tower, patches: (0..<tower.patches).map { $0 })
    _ = try noise.forward([tile], tower, run: &run) { _ in nil }
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
    let image = try model.prepared(prompt.picture)
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
    if geometry.seesQuestion {
      run.passQuestion((0..<decoder.layers).map { _ in Trace.Layer(rows: [question]) })
    }
    let spans = try look(at: images, shape, geometry, &run, &noise)
    let plan = try PromptPlan(
      ids, placeholder: placeholder, spans: images.map(geometry.spans), vocabulary: decoder.vocabulary)
    let tokens = geometry.assemble(plan, spans, images, run: &run) { noise.values([$0.count, decoder.width]) }
    var language = LanguageRehearsal(decoder, noise)
    try language.generate(from: tokens, count: newTokens, run: &run)
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
      return try noise.forward(tiles, tower, run: &run, standard: geometry.features)
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

/// What a model would have shown.
struct Noise {
  private var generator: SeededGenerator
  private let isSharp: Bool
  /// Width of the space that a companion CLIP-L gives patches and question.
  static let joint = 768

  init(seed: UInt64, isSharp: Bool) { (generator, self.isSharp) = (SeededGenerator(seed: seed), isSharp) }

  /// Rows without any direction in common; in sharp noise every other one points the same way.
  mutating func values(_ shape: [Int]) -> Tensor {
    let width = shape.last!
    let rows = shape[shape.count - 2]
    let common = (0..<width).map { _ in isSharp ? 4 * (generator.uniform() - 0.5) : 0 }
    return Tensor(shape: shape) { out in
      for row in 0..<shape.dropLast().reduce(1, *) {
        let share: Float = row % rows % 2 == 0 ? 1 : 0
        for column in 0..<width { out[row * width + column] = share * common[column] + generator.uniform() - 0.5 }
      }
    }
  }

  /// Attention `[heads, rows, keys]` whose rows sum to 1, or logits; `[heads, keys]` when summed. Sharp attention favours
  /// the same few keys in every row.
  mutating func attention(heads: Int, rows: Int, keys: Int, _ request: Request) -> Tensor {
    let lines = request.summed ? 1 : rows
    let total = request.values == .logits ? 0 : request.summed ? Float(rows) : 1
    let favour = (0..<keys).map { _ in isSharp ? sharp(generator.uniform()) : 1 }
    return Tensor(shape: request.summed ? [heads, keys] : [heads, rows, keys]) { out in
      for line in 0..<heads * lines {
        let row = out + line * keys
        var sum: Float = 0
        for key in 0..<keys {
          row[key] = favour[key] * generator.uniform()
          sum += row[key]
        }
        if total > 0 {
          for key in 0..<keys { row[key] *= total / sum }
        }
      }
    }
  }

  private func sharp(_ value: Float) -> Float {
    let square = value * value
    return square * square * square * square
  }

  // MARK: A tower

  /// The rows of one tile as they enter a tower, patches in this order.
  mutating func tile(_ tower: Shape.Tower, patches: [Int]) -> TokenSequence {
    let prefix = (0..<tower.prefix).map { $0 == 0 && tower.hasClassifier ? TokenKind.classifier : .register }
    return TokenSequence(
      x: values([tower.prefix + patches.count, tower.width]), kind: prefix + patches.map { _ in .patch },
      origin: Origin(prefix.map { _ in nil } + patches.map { $0 }))
  }

  /// All tiles through all blocks as far as the features need, every site visited.
  mutating func forward(
    _ tiles: [TokenSequence], _ tower: Shape.Tower, run: inout Run, standard: (TokenSequence) -> Reduction?
  ) throws(CompressionError) -> [TokenSequence] {
    var tiles = tiles
    run.enterTower(patches: tiles.reduce(0) { $0 + $1.rows(.patch).count })
    for block in 0...tower.featureBlock {
      let windows = tower.groups(in: block)
      var layer = Trace.Layer(rows: windows.count > 1 ? windows : tiles.map(\.count))
      let attended = tiles
      for half in [Site.Half.middle, .end] {
        let site = Site.block(block, half)
        for (method, request) in run.requests(site) {
          let isFollowed = half == .end && block + 1 < tower.blocks
          for index in tiles.indices {
            let (recording, probe) = recording(
              request, tower, attended: attended[index], now: tiles[index], canProbe: isFollowed)
            if let probe { layer.probes.append(probe) }
            run.record(recording, for: method, at: site, sequence: index)
          }
        }
        if half == .end { layer.mlpRows = tiles.map(\.count) }
        try run.act(at: site, on: &tiles)
      }
      run.passBlock(layer)
    }
    for (method, request) in run.requests(.features) where request.joint {
      for (index, tile) in tiles.enumerated() {
        run.record(
          Recording(ids: tile.id, joint: values([tile.count, Self.joint])), for: method, at: .features, sequence: index)
      }
    }
    let kept = tiles.compactMap(standard)
    try run.act(at: .features, on: &tiles, standard: kept.count == tiles.count ? kept : nil)
    run.leaveTower(rows: tiles.map(\.count), seconds: 0)
    return tiles
  }

  /// The recording a request gets: attention and keys of the tokens that were attended, probes of those there now.
  private mutating func recording(
    _ request: Request, _ tower: Shape.Tower, attended: TokenSequence, now: TokenSequence, canProbe: Bool
  ) -> (Recording, Trace.Probe?) {
    func rows(_ wanted: Rows, of tokens: TokenSequence) -> [Int] {
      switch wanted {
      case .all: Array(0..<tokens.count)
      case .classifier: Array(tokens.rows(.classifier).prefix(1))
      case .none, .last, .text: []
      }
    }
    let asked = rows(request.attention, of: attended)
    let probed = canProbe ? rows(request.probe, of: now) : []
    let heads = tower.heads
    let recording = Recording(
      ids: request.probe != .none ? now.id : attended.id,
      rowIDs: asked.isEmpty ? probed.map { now.id[$0] } : asked.map { attended.id[$0] },
      attention: asked.isEmpty ? nil : attention(heads: heads, rows: asked.count, keys: attended.count, request),
      probe: probed.isEmpty ? nil : attention(heads: heads, rows: probed.count, keys: now.count, request),
      keys: request.keys ? values([heads, attended.count, tower.headDim]) : nil)
    return (recording, probed.isEmpty ? nil : Trace.Probe(rows: probed.count, keys: now.count))
  }

  /// A tile behind the connector.
  mutating func connect(_ tile: TokenSequence, _ groups: [[Int32]]?, width: Int) -> TokenSequence {
    var tile = tile
    let rows = groups ?? (0..<Int32(tile.count)).map { [$0] }
    tile.apply(
      Reduction(rows: rows, of: tile.count, blend: groups == nil ? .copy : .byCount),
      features: values([rows.count, width]))
    return tile
  }
}
