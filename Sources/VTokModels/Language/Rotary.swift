import CVTokKernels
import VTokCore
import VTokLibC
import VTokTensor

/// Cosines and sines of the rotary embedding (RoFormer, arXiv 2104.09864) for a list of positions.
///
/// The halves of a head are rotated against each other, as Hugging Face orders the weights. With M-RoPE (Qwen2-VL, arXiv
/// 2409.12191) the frequencies are dealt to the axes t, h, w: in runs of `sections`, or in turn (Qwen3-VL), where `sections`
/// says how many h and w get at most and t has the rest.
package struct Rotary {
  private(set) var positions: [Position]
  let frequencies: [Float]
  /// `[positions, half]`, of so many pairs of channels that are turned.
  private var cosine: [Float], sine: [Float]
  private let half: Int

  package init(_ positions: [Position], of shape: Shape.Decoder) {
    self.init(positions, frequencies: shape.frequencies, of: shape)
  }

  /// Of a layer that turns by frequencies of its own.
  init(_ positions: [Position], frequencies: [Float], of shape: Shape.Decoder) {
    self.init(
      positions, frequencies: frequencies, sections: shape.sections, isInterleaved: shape.isInterleaved)
  }

  /// - Parameters:
  ///   - frequencies: `[headDim / 2]`; where there are fewer, the last channels of a head stay as they are.
  ///   - sections: how many of them go to each of t, h, w; empty: all to t.
  ///   - isInterleaved: whether they are dealt in turn.
  init(_ positions: [Position], frequencies: [Float], sections: [Int], isInterleaved: Bool = false) {
    self.positions = positions
    self.frequencies = frequencies
    half = frequencies.count
    let runs = sections.isEmpty ? [frequencies.count] : sections
    let axis =
      isInterleaved
      ? frequencies.indices.map { $0 % 3 != 0 && $0 < 3 * sections[$0 % 3] ? $0 % 3 : 0 }
      : runs.enumerated().flatMap { [Int](repeating: $0, count: $1) }
    var angles: [Float] = []
    angles.reserveCapacity(positions.count * axis.count)
    for position in positions {
      let place = [Float(position.t), Float(position.h), Float(position.w)]
      for (frequency, axis) in zip(frequencies, axis) { angles.append(place[axis] * frequency) }
    }
    cosine = angles.map { cosf($0) }
    sine = angles.map { sinf($0) }
  }

  /// Of some of the positions.
  func taking(_ rows: [Int]) -> Rotary {
    var some = self
    some.positions = rows.map { positions[$0] }
    some.cosine = rows.flatMap { cosine[$0 * half..<($0 + 1) * half] }
    some.sine = rows.flatMap { sine[$0 * half..<($0 + 1) * half] }
    return some
  }

  /// - Parameters:
  ///   - angles: of every row. `[rows, half]`
  ///   - half: pairs of channels.
  init(angles: [Float], half: Int) {
    positions = []
    frequencies = []
    self.half = half
    cosine = angles.map { cosf($0) }
    sine = angles.map { sinf($0) }
  }

  /// Rotates every head of x `[count, heads * headDim]`, row r by position `first + r`, and multiplies by `scale`.
  package func rotate(
    _ x: UnsafeMutablePointer<Float>, _ count: Int, from first: Int = 0, heads: Int, headDim: Int, scale: Float = 1
  ) {
    let half = half
    cosine.withUnsafeBufferPointer { cosine in
      sine.withUnsafeBufferPointer { sine in
        vtok_rotate_halves(
          x, count, heads, headDim, 2 * half, cosine.baseAddress! + first * half, sine.baseAddress! + first * half,
          scale)
      }
    }
  }
}
