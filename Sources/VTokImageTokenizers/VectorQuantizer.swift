import CVTokKernels
import VTokTensor

/// Nearest codes of a codebook (One-D-Piece and TiTok: `modeling/quantizer/quantizer.py`).
package struct VectorQuantizer: Sendable {
  /// `[codes, dimensions]`, as vectors are compared and as decoders take them: of length one where they are normalised.
  package let codes: Tensor
  /// Whether vectors and codes are divided by their length first, so that the angle decides.
  package let isNormalised: Bool
  private let squares: [Float]

  /// - Parameter codebook: `[codes, dimensions]` as stored.
  package init(_ codebook: Tensor, isNormalised: Bool) {
    self.isNormalised = isNormalised
    codes = isNormalised ? unitRows(codebook) : codebook
    squares = squaredRows(codes)
  }

  /// Vectors `[n, dimensions]` as they are compared.
  package func prepared(_ z: Tensor) -> Tensor { isNormalised ? unitRows(z) : z }

  /// For each vector the id of the code at the smallest distance `|z|² + |e|² - 2 z·e`, in float32 and in this order as
  /// in the official code; of equal distances the first.
  package func callAsFunction(_ z: Tensor) -> [Int] {
    precondition(z.width == codes.width, "a codebook of \(codes.width) dimensions got vectors of \(z.width)")
    let z = prepared(z)
    var products = [Float](repeating: 0, count: z.rows * codes.rows)
    vtok_exact_products(z.values, z.rows, z.width, codes.values, codes.rows, codes.width, codes.width, &products)
    let lengths = squaredRows(z)
    return (0..<z.rows).map { row in
      var best = (id: 0, distance: Float.infinity)
      for id in 0..<codes.rows {
        let distance = lengths[row] + squares[id] - 2 * products[row * codes.rows + id]
        if distance < best.distance { best = (id, distance) }
      }
      return best.id
    }
  }
}

/// Every row divided by its length, or by 1e-12 if that is larger (`torch.nn.functional.normalize`).
private func unitRows(_ x: Tensor) -> Tensor {
  var out = x
  for (row, square) in squaredRows(x).enumerated() {
    let length = max(square.squareRoot(), 1e-12)
    for index in row * x.width..<(row + 1) * x.width { out.values[index] /= length }
  }
  return out
}

private func squaredRows(_ x: Tensor) -> [Float] {
  x.values.withUnsafeBufferPointer { values in
    (0..<x.rows).map { row in
      let start = values.baseAddress! + row * x.width
      return vtok_exact_dot(start, start, x.width)
    }
  }
}
