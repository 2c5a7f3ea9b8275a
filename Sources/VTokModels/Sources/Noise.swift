import VTokCore
import VTokTensor

/// What a model would have shown.
package struct Noise {
  private var generator: SeededGenerator
  private let isSharp: Bool
  /// Width of the space that a companion CLIP-L gives patches and question.
  package static let joint = 768

  package init(seed: UInt64, isSharp: Bool) { (generator, self.isSharp) = (SeededGenerator(seed: seed), isSharp) }

  /// Rows without any direction in common; in sharp noise every other one points the same way.
  package mutating func values(_ shape: [Int]) -> Tensor {
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
  package mutating func attention(heads: Int, rows: Int, keys: Int, _ request: Request) -> Tensor {
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

  /// The rows of one tile as they enter a tower, patches in this order.
  package mutating func tile(_ tower: Shape.Tower, patches: [Int]) -> TokenSequence {
    let prefix = (0..<tower.prefix).map { $0 == 0 && tower.hasClassifier ? TokenKind.classifier : .register }
    return TokenSequence(
      x: values([tower.prefix + patches.count, tower.width]), kind: prefix + patches.map { _ in .patch },
      origin: Origin(prefix.map { _ in nil } + patches.map { $0 }))
  }

  /// A tile after the connector.
  package mutating func connect(_ tile: TokenSequence, _ groups: [[Int32]]?, width: Int) -> TokenSequence {
    var tile = tile
    let rows = groups ?? (0..<Int32(tile.count)).map { [$0] }
    tile.apply(
      Reduction(rows: rows, of: tile.count, blend: groups == nil ? .copy : .byCount),
      features: values([rows.count, width]))
    return tile
  }
}
