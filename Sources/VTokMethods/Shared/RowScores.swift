import CVTokKernels
import VTokCore
import VTokTensor

// What the class token, or another row that was asked for, makes of the others.

extension Recording {
  /// Recorded attention averaged over heads, at `rows` of `tokens`. `[rows.count]`
  /// - Precondition: attention of one row was asked for.
  func meanAttention(at rows: [Int], of tokens: TokenSequence) throws(CompressionError) -> [Float] {
    let columns = try columns(of: tokens)
    return attention!.headMean(at: rows.map { columns[$0] }).values
  }

  /// `matrix` (this recording's attention or probe, `[heads, queries, keys]`) added up over heads and queries in that
  /// order, at `rows` of `tokens`. `[rows.count]`
  func summed(_ matrix: Tensor, at rows: [Int], of tokens: TokenSequence) throws(CompressionError) -> [Float] {
    let columns = try columns(of: tokens)
    let total = matrix.lineSum()
    return rows.map { total[columns[$0]] }
  }
}

extension Tensor {
  /// Attention `[heads, rows, keys]` averaged over heads, at some of its columns. `[rows, columns]`
  func headMean(at columns: [Int]) -> Tensor {
    let (heads, rows, keys) = (shape[0], shape[1], shape[2])
    return Tensor(shape: [rows, columns.count]) { out in
      for row in 0..<rows {
        for (index, column) in columns.enumerated() {
          let sum = (0..<heads).reduce(Float(0)) { $0 + values[($1 * rows + row) * keys + column] }
          out[row * columns.count + index] = sum / Float(heads)
        }
      }
    }
  }

  /// All lines of the last axis added up, first to last. `[width]`
  func lineSum() -> [Float] {
    var total = [Float](repeating: 0, count: width)
    values.withUnsafeBufferPointer { source in
      for line in 0..<rows { vtok_accumulate(&total, source.baseAddress! + line * width, width, 1) }
    }
    return total
  }
}

/// The value that a share of `sorted` lies below, interpolated between the two nearest.
func quantile(_ sorted: [Float], _ share: Float) -> Float {
  let place = share * Float(sorted.count - 1)
  let low = Int(place)
  let high = min(low + 1, sorted.count - 1)
  return sorted[low] + (sorted[high] - sorted[low]) * (place - Float(low))
}
