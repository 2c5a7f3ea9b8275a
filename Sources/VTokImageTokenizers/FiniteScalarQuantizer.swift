import VTokLibC
import VTokTensor

/// Finite scalar quantisation (Mentzer et al., arXiv 2309.15505): every dimension is squeezed into its number of levels and
/// rounded; the code book is the grid of all combinations and needs no table.
public struct FiniteScalarQuantizer: Sendable, Equatable {
  /// Numbers of levels, one a dimension.
  public let levels: [Int]
  /// Ids are the digits of a number whose first digit changes fastest: 1, levels[0], levels[0] * levels[1], ...
  private let basis: [Int]
  public let codebookSize: Int

  /// - Precondition: all levels are 2 or more and their product fits in an integer.
  public init(levels: [Int]) {
    precondition(!levels.isEmpty && levels.allSatisfy { $0 >= 2 }, "levels \(levels)")
    self.levels = levels
    var product = 1
    basis = levels.map { level in
      defer { product *= level }
      return product
    }
    codebookSize = product
  }

  /// `tanh(z + shift) * half - offset`, so that rounding gives each level its share. z `[..., levels]`.
  public func bound(_ z: Tensor) -> Tensor {
    let dimensions = levels.map { level in
      let half = Float(level - 1) * (1 + 1e-3) / 2
      let offset: Float = level % 2 == 0 ? 0.5 : 0
      return (half: half, offset: offset, shift: atanhf(offset / half))
    }
    var out = z
    for index in out.values.indices {
      let (half, offset, shift) = dimensions[index % levels.count]
      out.values[index] = tanhf(out.values[index] + shift) * half - offset
    }
    return out
  }

  /// Codes in -1...1 and ids of `z` `[..., levels]`. Ties round to the even level.
  public func quantize(_ z: Tensor) -> (codes: Tensor, ids: [Int]) {
    var codes = bound(z)
    var ids = [Int](repeating: 0, count: z.rows)
    for index in codes.values.indices {
      let dimension = index % levels.count
      let half = levels[dimension] / 2
      let digit = codes.values[index].rounded(.toNearestOrEven)
      ids[index / levels.count] += (Int(digit) + half) * basis[dimension]
      codes.values[index] = digit / Float(half)
    }
    return (codes, ids)
  }

  /// The codes of ids in `0..<codebookSize`. `[ids.count, levels]`
  public func codes(_ ids: [Int]) -> Tensor {
    Tensor(shape: [ids.count, levels.count]) { out in
      for (row, id) in ids.enumerated() {
        precondition((0..<codebookSize).contains(id), "the code \(id) of \(codebookSize)")
        for (dimension, level) in levels.enumerated() {
          let half = level / 2
          out[row * levels.count + dimension] = Float(id / basis[dimension] % level - half) / Float(half)
        }
      }
    }
  }
}
