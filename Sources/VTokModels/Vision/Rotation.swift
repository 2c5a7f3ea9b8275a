import VTokTensor

#if canImport(Glibc)
  import Glibc
#else
  import Foundation
#endif

/// Rotary positions of the rows of a tile: in every head, channels j and j + headDim / 2 of row r turn together by
/// `angles[r][j]` (Su et al. 2021, arXiv 2104.09864, in the half layout of transformers).
struct Rotation: Sendable {
  /// `[n, headDim / 2]`
  let cosines: Tensor, sines: Tensor

  init(angles: Tensor) {
    cosines = Tensor(angles.values.map(cosf), shape: angles.shape)
    sines = Tensor(angles.values.map(sinf), shape: angles.shape)
  }

  /// Turns `heads` heads of every row of `rows`, in place. `x` is the first of these rows.
  func turn(_ x: UnsafeMutablePointer<Float>, _ rows: Range<Int>, stride: Int, heads: Int) {
    let half = cosines.width
    cosines.values.withUnsafeBufferPointer { cosines in
      sines.values.withUnsafeBufferPointer { sines in
        for (index, row) in rows.enumerated() {
          for head in 0..<heads {
            let low = x + index * stride + head * 2 * half
            let high = low + half
            for j in 0..<half {
              let (a, b) = (low[j], high[j])
              let (c, s) = (cosines[row * half + j], sines[row * half + j])
              low[j] = a * c - b * s
              high[j] = b * c + a * s
            }
          }
        }
      }
    }
  }
}
