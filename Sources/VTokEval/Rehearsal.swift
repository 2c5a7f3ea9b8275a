import VTokCore
import VTokTensor

/// A run without weights: methods see tokens, attention and keys of the right shapes filled with seeded noise, so that
/// their own schedules say how many tokens every block gets. What remains is a trace, and from it the cost ledger.
///
/// Where a method's counts depend on the image, two seeds give two traces.
public enum Rehearsal {
  /// - Parameters:
  ///   - shape: of the tower; the image is one tile of its grid.
  ///   - seed: of the noise, and of methods that draw lots.
  /// - Throws: `CompressionError` as a real run would.
  public static func trace(_ methods: [any Compressor], on shape: Shape, seed: UInt64 = 0) throws(CompressionError)
    -> Trace
  {
    let composition = try Composition(methods, for: shape)
    guard var tower = shape.tower else { preconditionFailure("a rehearsal needs a tower") }
    if let patches = composition.patches, patches < tower.patches {
      let grid = Shape.Tower.grid(rows: tower.rows, columns: tower.columns, patches: patches)
      tower = tower.on(rows: grid.rows, columns: grid.columns)
    }
    var run = Run(composition, seed: seed)
    var noise = Noise(seed: seed, tower: tower)
    let patches = tower.patches
    let kinds = (0..<tower.prefix).map { $0 == 0 && tower.hasClassifier ? TokenKind.classifier : .register }
    var tiles = [
      TokenSequence(
        x: noise.features(tower.prefix + patches), kind: kinds + [TokenKind](repeating: .patch, count: patches),
        origin: Origin([Int?](repeating: nil, count: tower.prefix) + (0..<patches).map { $0 }))
    ]
    run.enterTower(patches: patches)
    for block in 0..<tower.blocks {
      var layer = Trace.Layer(rows: tiles.map(\.count))
      let attended = tiles[0]
      for half in [Site.Half.middle, .end] {
        let site = Site.block(block, half)
        for (method, request) in run.requests(site) {
          let isFollowed = half == .end && block + 1 < tower.blocks
          let (recording, probe) = noise.recording(request, attended: attended, now: tiles[0], canProbe: isFollowed)
          if let probe { layer.probes.append(probe) }
          run.record(recording, for: method, at: site, sequence: 0)
        }
        if half == .end { layer.mlpRows = tiles.map(\.count) }
        try run.act(at: site, on: &tiles)
      }
      run.passBlock(layer)
    }
    try run.act(at: .features, on: &tiles)
    run.leaveTower(rows: tiles.map(\.count), seconds: 0)
    return run.trace
  }

  /// The ledger of such a run.
  public static func cost(_ methods: [any Compressor], on shape: Shape, seed: UInt64 = 0) throws(CompressionError)
    -> Cost
  {
    Cost(of: try trace(methods, on: shape, seed: seed), shape: shape)
  }
}

/// What a tower would have shown.
private struct Noise {
  private var generator: SeededGenerator
  private let tower: Shape.Tower

  init(seed: UInt64, tower: Shape.Tower) { (generator, self.tower) = (SeededGenerator(seed: seed), tower) }

  private mutating func values(_ shape: [Int]) -> Tensor {
    Tensor(shape: shape) { out in
      for index in 0..<shape.reduce(1, *) { out[index] = generator.uniform() - 0.5 }
    }
  }

  mutating func features(_ rows: Int) -> Tensor { values([rows, tower.width]) }

  /// Attention `[heads, rows, keys]` whose rows sum to 1, or logits; `[heads, keys]` when summed.
  private mutating func attention(_ rows: Int, _ keys: Int, _ request: Request) -> Tensor {
    let lines = request.summed ? 1 : rows
    return Tensor(shape: request.summed ? [tower.heads, keys] : [tower.heads, rows, keys]) { out in
      for line in 0..<tower.heads * lines {
        let row = out + line * keys
        var sum: Float = 0
        for key in 0..<keys {
          row[key] = generator.uniform()
          sum += row[key]
        }
        if request.values == .probabilities {
          for key in 0..<keys { row[key] /= sum }
        }
      }
    }
  }

  private func rows(_ wanted: Rows, of tokens: TokenSequence) -> [Int] {
    switch wanted {
    case .all: Array(0..<tokens.count)
    case .classifier: Array(tokens.rows(.classifier).prefix(1))
    case .none, .last, .text: []
    }
  }

  /// The recording a request gets: attention and keys of the tokens that were attended, probes of those there now.
  mutating func recording(_ request: Request, attended: TokenSequence, now: TokenSequence, canProbe: Bool) -> (
    Recording, Trace.Probe?
  ) {
    let asked = rows(request.attention, of: attended)
    let probed = canProbe ? rows(request.probe, of: now) : []
    let recording = Recording(
      ids: request.probe != .none ? now.id : attended.id,
      rowIDs: asked.isEmpty ? probed.map { now.id[$0] } : asked.map { attended.id[$0] },
      attention: asked.isEmpty ? nil : attention(asked.count, attended.count, request),
      probe: probed.isEmpty ? nil : attention(probed.count, now.count, request),
      keys: request.keys ? values([tower.heads, attended.count, tower.headDim]) : nil)
    return (recording, probed.isEmpty ? nil : Trace.Probe(rows: probed.count, keys: now.count))
  }
}
