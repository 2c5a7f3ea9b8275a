import VTok

/// A tower of noise: every block adds to the tokens and shows attention and keys of the right shapes.
struct TowerStage {
  let side: Int, prefix: Int, blocks: Int
  private let heads = 3, width = 24

  init(side: Int = 14, prefix: Int = 1, blocks: Int = 12) {
    self.side = side
    self.prefix = prefix
    self.blocks = blocks
  }

  var shape: Shape {
    Shape(
      tower: Shape.Tower(
        blocks: blocks, width: width, heads: heads, ffn: 96, prefix: prefix, hasClassifier: prefix > 0, rows: side,
        columns: side, patch: 16))
  }

  struct Result {
    let input: TokenSequence, tokens: TokenSequence
    /// Patch tokens after every block.
    let patches: [Int]
    /// Attention of the first token in every block. `[heads, 1, n]`
    let first: [Tensor]
  }

  func run(_ spec: String, budget: Budget? = nil) throws -> Result {
    try run(MethodSpec(spec).make(budget: budget))
  }

  func run(_ methods: [any Compressor]) throws -> Result {
    var generator = SeededGenerator(seed: 5)
    func noise(_ shape: [Int]) -> Tensor {
      Tensor((0..<shape.reduce(1, *)).map { _ in generator.normal() }, shape: shape)
    }
    let patches = side * side
    let input = TokenSequence(
      x: noise([prefix + patches, width]),
      kind: (0..<prefix).map { $0 == 0 ? TokenKind.classifier : .register }
        + [TokenKind](repeating: .patch, count: patches),
      origin: Origin([Int?](repeating: nil, count: prefix) + (0..<patches).map { $0 }))
    var run = Run(try Composition(methods, for: shape), seed: 9)
    var tiles = [input]
    var counts: [Int] = []
    var first: [Tensor] = []
    for block in 0..<blocks {
      let (n, ids) = (tiles[0].count, tiles[0].id)
      let attention = Tensor(
        (0..<heads * n).flatMap { _ in softmax((0..<n).map { _ in generator.normal() }) }, shape: [heads, n, n])
      first.append(attention.first(1))
      let keys = noise([heads, n, width / heads])
      for half in [Site.Half.middle, .end] {
        let site = Site.block(block, half)
        for (method, request) in run.requests(site) {
          let rows = request.attention == .all ? n : 1
          var recording = Recording(
            ids: ids, rowIDs: Array(ids.prefix(rows)), attention: attention.first(rows), keys: keys)
          if request.probe == .all {
            let n = tiles[0].count
            let lines = (0..<heads * n).flatMap { _ in softmax((0..<n).map { _ in generator.normal() }) }
            recording = Recording(
              ids: tiles[0].id, rowIDs: tiles[0].id, probe: Tensor(lines, shape: [heads, n, n]))
          }
          run.record(recording, for: method, at: site, sequence: 0)
        }
        try run.act(at: site, on: &tiles)
      }
      counts.append(tiles[0].rows(.patch).count)
    }
    return Result(input: input, tokens: tiles[0], patches: counts, first: first)
  }
}

extension Tensor {
  /// The first `count` rows of every plane of `[planes, rows, columns]`.
  fileprivate func first(_ count: Int) -> Tensor {
    let (planes, rows, columns) = (shape[0], shape[1], shape[2])
    return gathered((0..<planes).flatMap { plane in (0..<count).map { plane * rows + $0 } })
      .reshaped([planes, count, columns])
  }
}
