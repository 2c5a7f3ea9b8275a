import VTokCore
import VTokTensor

/// The blocks of a tower filled with noise: a walk without weights, from which methods' own schedules say how many tokens
/// every block gets.
package struct NoiseBlocks: BlockSource {
  package private(set) var noise: Noise
  private let tower: Shape.Tower
  /// Rows of every tile in the block that has just run.
  private var attended: [Int] = []

  package init(_ tower: Shape.Tower, _ noise: Noise) {
    self.noise = noise
    self.tower = tower
  }

  package var count: Int { tower.blocks }
  package var depth: Int { tower.depth }

  package func windows(in block: Int) -> [Int] {
    let windows = tower.groups(in: block)
    return windows.count > 1 ? windows : []
  }

  package mutating func attend(
    _ block: Int, _ tiles: inout [TokenSequence], for requests: [Request], only: Int?, carried: [Tensor]
  ) {
    attended = tiles.map(\.count)
  }

  package mutating func attention(_ request: Request, tile: Int, rows: [Int]) -> Tensor {
    noise.attention(heads: tower.heads, rows: rows.count, keys: attended[tile], request)
  }

  package mutating func keys(tile: Int) -> Tensor { noise.values([tower.heads, attended[tile], tower.headDim]) }

  package func feedForward(_ block: Int, _ tiles: inout [TokenSequence], only: Int?) {}

  package mutating func probe(_ block: Int, _ request: Request, _ tokens: TokenSequence, rows: [Int]) -> BlockProbe {
    BlockProbe(
      attention: rows.isEmpty
        ? nil : noise.attention(heads: tower.heads, rows: rows.count, keys: tokens.count, request),
      keys: request.probeKeys ? noise.values([tower.heads, tokens.count, tower.headDim]) : nil)
  }

  /// Plain cells, black or white by lot: how many repeat each other depends on the picture.
  package mutating func pixels(tile: Int) -> Tensor? {
    let (cells, width) = (tower.patches / tower.fuse, 3 * tower.patch * tower.patch)
    let shades = noise.values([1, cells]).values.map { $0 > 0.5 ? Float(1) : 0 }
    return Tensor(shape: [cells * tower.fuse, width]) { out in
      for row in 0..<cells * tower.fuse {
        (out + row * width).update(repeating: shades[row / tower.fuse], count: width)
      }
    }
  }

  package func follow(_ reduction: Reduction, tile: Int) {}

  package func finish(_ tiles: inout [TokenSequence]) {}

  package mutating func joint(_ tokens: TokenSequence) -> Tensor? { noise.values([tokens.count, Noise.joint]) }
}
