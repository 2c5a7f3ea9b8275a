import VTokCore
import VTokImage
import VTokModels
import VTokTensor

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
