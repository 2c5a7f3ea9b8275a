import VTokLibC
import VTokTensor

/// Bits in place of a codebook (Binary Latent Diffusion, arXiv 2304.04820; ELM, arXiv 2410.16257): a bit for every number of a
/// cell, and a cell is the sum of the vectors of the bits that are set.
public struct BinaryQuantizer: Sendable {
  /// A vector for every bit, `[bits, width]`.
  public let vectors: Tensor

  /// - Parameter vectors: `[bits, width]`
  public init(_ vectors: Tensor) { self.vectors = vectors }

  public var bits: Int { vectors.rows }

  /// Whether the probability of a logit is above one half, in float32: that of 0 to about 1e-7 is exactly one half, and the bit
  /// is not set.
  public static func isSet(_ logit: Float) -> Bool { 1 / (1 + expf(-logit)) > 0.5 }

  /// The number of every row whose bits are those of its logits, the first the most significant. Logits `[n, bits]`.
  public static func ids(_ logits: Tensor) -> [Int] {
    (0..<logits.rows).map { row in logits.row(row).reduce(0) { $0 << 1 | (isSet($1) ? 1 : 0) } }
  }

  /// Ids as several smaller ones each, as language models take them: groups of `width` bits, the first first.
  /// - Parameter bits: of an id; `width` divides it.
  public static func groups(_ ids: [Int], bits: Int, width: Int) -> [Int] {
    precondition(width > 0 && bits % width == 0, "\(bits) bits in groups of \(width)")
    return ids.flatMap { id in
      stride(from: bits - width, through: 0, by: -width).map { id >> $0 & (1 << width - 1) }
    }
  }

  /// The reverse of `groups`.
  public static func joined(_ groups: [Int], bits: Int, width: Int) -> [Int] {
    precondition(width > 0 && bits % width == 0, "\(bits) bits in groups of \(width)")
    let each = bits / width
    return stride(from: 0, to: groups.count, by: each).map { start in
      groups[start..<start + each].reduce(0) { $0 << width | $1 }
    }
  }

  /// Sums of the vectors of set bits, in the order of bits. `[ids.count, width]`
  public func callAsFunction(_ ids: [Int]) -> Tensor {
    var sums = Tensor(zeros: [ids.count, vectors.width])
    for (row, id) in ids.enumerated() {
      for bit in 0..<bits where id >> (bits - 1 - bit) & 1 == 1 {
        for (column, value) in vectors.row(bit).enumerated() { sums.values[row * vectors.width + column] += value }
      }
    }
    return sums
  }
}
