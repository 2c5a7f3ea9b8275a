import VTokCore
import VTokTensor

/// The blocks of a tower for one of many runs of the same pixels: the dense run leaves what others begin with, and those
/// pass the blocks before their beginning without running them.
struct MemoisedBlocks: BlockSource {
  private var base: WeightBlocks
  private let shared: SharedBlocks
  private let start: SharedBlocks.Start?
  /// Whether this is the run that leaves its blocks to others.
  private let fills: Bool

  init(_ base: WeightBlocks, _ shared: SharedBlocks, _ composition: Composition) {
    self.base = base
    self.shared = shared
    start = shared.start(for: composition)
    fills = start == nil && composition.methods.isEmpty && shared.isEmpty
  }

  /// What the walk begins with; nil: the rows entering block 0.
  var tiles: [TokenSequence]? { start?.tiles }

  var count: Int { base.count }
  var depth: Int { base.depth }
  func windows(in block: Int) -> [Int] { base.windows(in: block) }

  mutating func attend(
    _ block: Int, _ tiles: inout [TokenSequence], for requests: [Request], only: Int?, carried: [Tensor]
  ) {
    if let start, start.isAfter(block, .middle) {
      base.tapped = start.tapped
      return
    }
    guard fills else { return base.attend(block, &tiles, for: requests, only: only, carried: carried) }
    base.attend(
      block, &tiles, for: requests + shared.requests(inBlock: block), only: shared.needs(block: block) ? nil : only,
      carried: carried)
    shared.keep(tiles, base.tapped, at: .block(block, .middle))
  }

  mutating func feedForward(_ block: Int, _ tiles: inout [TokenSequence], only: Int?) {
    if let start, start.isAfter(block, .end) { return }
    guard fills else { return base.feedForward(block, &tiles, only: only) }
    base.feedForward(block, &tiles, only: shared.needs(block: block) ? nil : only)
    shared.keep(tiles, base.tapped, at: .block(block, .end))
  }

  mutating func finish(_ tiles: inout [TokenSequence]) {
    if fills { shared.keep(tiles, [], at: .features) }
    base.finish(&tiles)
  }

  func attention(_ request: Request, tile: Int, rows: [Int]) -> Tensor {
    base.attention(request, tile: tile, rows: rows)
  }
  func keys(tile: Int) -> Tensor { base.keys(tile: tile) }
  func probe(_ block: Int, _ request: Request, _ tokens: TokenSequence, rows: [Int]) -> BlockProbe {
    base.probe(block, request, tokens, rows: rows)
  }
  func pixels(tile: Int) -> Tensor? { base.pixels(tile: tile) }
  mutating func follow(_ reduction: Reduction, tile: Int) { base.follow(reduction, tile: tile) }
  func joint(_ tokens: TokenSequence) -> Tensor? { base.joint(tokens) }
}
