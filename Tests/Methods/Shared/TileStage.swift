import VTok

/// The tiles of one LLaVA-NeXT image behind a tower of four blocks.
struct TileStage {
  static let seeds: [UInt64] = Array(0..<12)
  static let heads = 2, width = 8
  let side: Int
  let tiles: [TokenSequence]
  let layout: ImageLayout
  private let seed: UInt64, isConstant: Bool

  var patches: Int { tiles.count * side * side }

  init(seed: UInt64, side: Int? = nil, grid: (Int, Int)? = nil, isConstant: Bool = false) {
    var generator = SeededGenerator(seed: seed)
    func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }
    let side = side ?? pick(4...7)
    let grid = grid ?? [(1, 2), (2, 1), (2, 2), (1, 3), (3, 1)][pick(0...4)]
    let size = side * side
    tiles = (0..<1 + grid.0 * grid.1).map { tile in
      TokenSequence(
        x: noise([size + 1, Self.width], &generator, isConstant),
        kind: [.classifier] + [TokenKind](repeating: .patch, count: size),
        origin: Origin([nil] + (0..<size).map { tile * size + $0 }))
    }
    layout = ImageLayout(
      tileRows: grid.0, tileColumns: grid.1, side: side, thumbnail: 0, width: pick(50...500), height: pick(50...500),
      spans: [], tokens: (1 + grid.0 * grid.1) * size)
    (self.side, self.seed, self.isConstant) = (side, seed, isConstant)
  }

  /// Ids in the packed sequence count through the tiles, the class token of each among them.
  func patch(ofID id: Int32) -> Int32 {
    let size = Int32(side * side + 1)
    return id / size * (size - 1) + id % size - 1
  }

  struct Result {
    /// After `.features`, and the one visual span.
    let tiles: [TokenSequence], packed: TokenSequence
  }

  func run(_ spec: String) throws -> Result {
    let shape = Shape(
      tower: Shape.Tower(
        blocks: 4, featureBlock: 2, width: Self.width, heads: Self.heads, ffn: 16, prefix: 1, hasClassifier: true,
        rows: side, columns: side, patch: 4),
      decoder: SmallShapes.decoder, layout: Shape.Layout(tiling: .cut, hasNewline: true))
    var method = try MethodSpec(spec).make(budget: nil)[0]
    let plan = try method.plan(for: shape)
    var generator = SeededGenerator(seed: seed ^ 77)
    var recordings: [Site: [Recording]] = [:]
    for (site, request) in plan.record.sorted(by: { "\($0.key)" < "\($1.key)" }) {
      recordings[site] = tiles.map { tile in
        Recording(
          ids: tile.id, rowIDs: [0], attention: noise([Self.heads, 1, tile.count], &generator, isConstant).magnitudes,
          probe: noise([Self.heads, 1, tile.count], &generator, isConstant),
          keys: noise([Self.heads, tile.count, 4], &generator, isConstant),
          joint: request.joint ? noise([tile.count, 6], &generator, isConstant) : nil,
          tokens: request.tokens ? tile : nil)
      }
    }
    let (question, words) = (noise([2, 6], &generator, isConstant), noise([3, Self.width], &generator, isConstant))
    func view(_ sequences: [TokenSequence], standard: [Reduction]?, newline: Int? = nil) -> View {
      View(
        sequences: sequences, standard: standard, newline: newline.map { Int32($0) }, images: [layout], image: 0,
        shape: shape, question: question, words: words, seed: seed, recordings: recordings)
    }
    var notes = Notes()
    var left = tiles
    let patchesOnly = tiles.map { Reduction.keep($0.rows(.patch), of: $0.count) }
    var features: [Reduction]?
    if plan.act.contains(.features) {
      features = try method.reduce(view(left, standard: patchesOnly), at: .features, notes: &notes)
    }
    for (index, reduction) in (features ?? patchesOnly).enumerated() { left[index].apply(reduction) }
    var sources = left[0]
    for tile in left.dropFirst() { sources.append(tile) }
    let newline = sources.count
    sources.append(
      TokenSequence(x: Tensor(zeros: [1, Self.width]), kind: [.newline], origin: Origin([nil])))
    var packed = Reduction.keep(Array(0..<newline), of: newline + 1)
    if plan.act.contains(.pack) {
      packed =
        try method.reduce(view(left, standard: [packed], newline: newline), at: .pack, notes: &notes)?[0] ?? packed
    }
    // Tiles number their rows alike; here they count through.
    let size = Int32(side * side + 1)
    let ids = left.enumerated().flatMap { tile, tokens in tokens.id.map { Int32(tile) * size + $0 } } as [Int32]
    var numbered = TokenSequence(x: sources.x, kind: sources.kind, origin: sources.origin, id: ids + [-1])
    numbered.apply(packed)
    return Result(tiles: left, packed: numbered)
  }
}

extension Tensor {
  /// Attention has no sign.
  fileprivate var magnitudes: Tensor { Tensor(values.map(abs), shape: shape) }
}
