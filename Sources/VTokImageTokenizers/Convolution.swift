import CVTokKernels
import VTokTensor

// Convolutions of pixel decoders on maps `[height, width, channels]`, and the group norm between them.
//
// With channels last, the taps of one kernel row lie side by side in the map, and those of the next pixel one pixel
// further: a matrix whose rows overlap. So a 3x3 convolution is three products of the map itself, one a kernel row, and
// nothing is copied (no im2col). The margin of zeros is written by the pass that normalises the map.

/// A 1x1 or 3x3 convolution with zeros around the map.
package struct Convolution: Sendable {
  /// Of the output, for an input of `[height, width]`.
  package enum Size: Sendable {
    case same
    /// Every second pixel, `[height / 2, width / 2]`; zeros on the right and below only (diffusers' `Downsample2D`).
    case half
    /// `[2 height, 2 width]`: of the input with every pixel doubled (nearest neighbour). Taps that fall on one pixel add
    /// up, so these are four phases of 2x2 taps on the input as it is: exact, with 4 of 9 multiplications.
    case double
  }

  /// The output's pixels that see the input in the same way.
  private struct Phase: Sendable {
    /// One matrix a kernel row, `[outputs, taps * inputs]`.
    let rows: [Weight]
    /// The first tap of the first pixel, in the map with its margin.
    let top: Int, left: Int
    /// The first pixel, in the output.
    let row: Int, column: Int
  }

  package let inputs: Int, outputs: Int
  private let size: Size
  private let margin: Int
  private let phases: [Phase]
  private let bias: [Float]?

  /// - Parameter kernel: `[outputs, inputs, k, k]`, k 1 or 3; only 3 for other sizes than `same`.
  package init(_ kernel: Tensor, bias: [Float]?, size: Size = .same) {
    let k = kernel.shape[2]
    precondition(kernel.shape[3] == k && (k == 3 || k == 1 && size == .same), "a kernel of shape \(kernel.shape)")
    (outputs, inputs, margin, self.size, self.bias) = (kernel.shape[0], kernel.shape[1], k / 2, size, bias)
    // Which rows (or columns) of the kernel fall on neighbouring pixels, for each phase.
    let single = (0..<k).map { [$0] }
    let doubled = [[[0], [1, 2]], [[0, 1], [2]]]
    func phase(_ rows: [[Int]], _ columns: [[Int]], top: Int, left: Int, row: Int, column: Int) -> Phase {
      let matrices = rows.map { Self.matrix(kernel, rows: $0, columns: columns).packed }
      return Phase(rows: matrices, top: top, left: left, row: row, column: column)
    }
    switch size {
    case .same: phases = [phase(single, single, top: 0, left: 0, row: 0, column: 0)]
    case .half: phases = [phase(single, single, top: 1, left: 1, row: 0, column: 0)]
    case .double:
      phases = [(0, 0), (0, 1), (1, 0), (1, 1)].map { row, column in
        phase(doubled[row], doubled[column], top: row, left: column, row: row, column: column)
      }
    }
  }

  /// The sum of some kernel rows, and in each tap of some columns. `[outputs, columns.count * inputs]`
  private static func matrix(_ kernel: Tensor, rows: [Int], columns: [[Int]]) -> Weight {
    let (outputs, inputs, k) = (kernel.shape[0], kernel.shape[1], kernel.shape[2])
    var matrix = Tensor(zeros: [outputs, columns.count * inputs])
    var index = 0
    for output in 0..<outputs {
      for taps in columns {
        for input in 0..<inputs {
          let plane = (output * inputs + input) * k * k
          for row in rows {
            for column in taps { matrix.values[index] += kernel.values[plane + row * k + column] }
          }
          index += 1
        }
      }
    }
    return Weight(matrix)
  }

  /// The convolution of `x` `[height, width, inputs]`, or of what a group norm and SiLU make of it.
  package func callAsFunction(
    _ x: Tensor, after norm: GroupNorm? = nil, _ memory: ConvolutionMemory, threads: Int = 1
  ) -> Tensor {
    let (rows, columns) = outputSize(x)
    return Tensor(shape: [rows, columns, outputs]) { run(x, norm, memory, threads, adding: false, into: $0) }
  }

  /// Adds it to `sum`.
  package func add(
    _ x: Tensor, after norm: GroupNorm? = nil, to sum: inout Tensor, _ memory: ConvolutionMemory, threads: Int = 1
  ) {
    let (rows, columns) = outputSize(x)
    precondition(sum.shape == [rows, columns, outputs])
    sum.values.withUnsafeMutableBufferPointer { run(x, norm, memory, threads, adding: true, into: $0.baseAddress!) }
  }

  private func outputSize(_ x: Tensor) -> (Int, Int) {
    precondition(x.shape.count == 3 && x.width == inputs, "a convolution of \(inputs) channels got \(x.shape)")
    switch size {
    case .same: return (x.shape[0], x.shape[1])
    case .half: return (x.shape[0] / 2, x.shape[1] / 2)
    case .double: return (2 * x.shape[0], 2 * x.shape[1])
    }
  }

  private func run(
    _ x: Tensor, _ norm: GroupNorm?, _ memory: ConvolutionMemory, _ threads: Int, adding: Bool,
    into out: UnsafeMutablePointer<Float>
  ) {
    // One column of zeros between two rows serves both.
    let pitch = x.shape[1] + margin
    let map = memory.map(x, norm, margin: margin, threads)
    let (outputRows, outputColumns) = outputSize(x)
    let factor = size == .double ? 2 : 1
    let step = size == .half ? 2 : 1
    let (rows, columns) = (outputRows / factor, outputColumns / factor)
    // Several rows at once where the map lets one product run over them; the columns between them are thrown away.
    let height = size == .half ? 1 : max(1, min(Self.pixels / pitch, (rows + threads - 1) / threads))
    let blocks = (rows + height - 1) / height
    let target = Shared(out)
    parallel(phases.count * blocks, threads: threads) { index in
      let phase = phases[index / blocks]
      let first = index % blocks * height
      let count = min(height, rows - first)
      let pixels = (count - 1) * pitch + columns
      let sums = Scratch(pixels * outputs)
      for (tap, weight) in phase.rows.enumerated() {
        let start = (first * step + phase.top + tap) * pitch + phase.left
        weight.multiply(
          map.pointer + start * inputs, pixels, step * inputs, accumulate: tap > 0, into: sums.pointer, outputs)
      }
      // Runs of pixels that lie side by side in the output.
      let run = factor == 1 ? columns : 1
      for row in first..<first + count {
        for column in stride(from: 0, to: columns, by: run) {
          let from = sums.pointer + ((row - first) * pitch + column) * outputs
          let place = (row * factor + phase.row) * outputColumns + column * factor + phase.column
          let to = target.pointer + place * outputs
          if adding {
            vtok_add_residual(to, from, run, outputs, bias, nil)
          } else {
            to.update(from: from, count: run * outputs)
            if let bias { vtok_add_bias(to, run, outputs, bias) }
          }
        }
      }
    }
  }

  /// Pixels of one product: enough to use the weights while they are near, few enough for the sums to be.
  private static let pixels = 512
}

/// Group norm over a map `[height, width, channels]`: mean and variance of every group of channels over all pixels.
package struct GroupNorm: Sendable {
  package let weight: [Float], bias: [Float]
  package let groups: Int
  package let epsilon: Float

  package init(weight: [Float], bias: [Float], groups: Int, epsilon: Float) {
    precondition(weight.count == bias.count && weight.count % groups == 0)
    self.weight = weight
    self.bias = bias
    self.groups = groups
    self.epsilon = epsilon
  }

  package func callAsFunction(_ x: Tensor, threads: Int = 1) -> Tensor {
    let (scale, shift) = coefficients(x, threads)
    return Tensor(shape: x.shape) { vtok_scale_shift(x.values, x.rows, x.width, scale, shift, 0, $0) }
  }

  /// The norm of this map as `x * scale + shift`, per channel.
  fileprivate func coefficients(_ x: Tensor, _ threads: Int) -> (scale: [Float], shift: [Float]) {
    let channels = x.width
    precondition(channels == weight.count, "a group norm of \(weight.count) channels got \(x.shape)")
    let centre = Array(x.row(0))
    // Blocks of pixels, added up in order, so that the number of threads changes nothing.
    let size = 1024
    let blocks = (x.rows + size - 1) / size
    var moments = [Double](repeating: 0, count: blocks * 2 * channels)
    moments.withUnsafeMutableBufferPointer { buffer in
      let moments = Shared(buffer.baseAddress!)
      parallel(blocks, threads: threads) { block in
        let sums = moments.pointer + block * 2 * channels
        let rows = min(size, x.rows - block * size)
        x.values.withUnsafeBufferPointer {
          vtok_channel_moments($0.baseAddress! + block * size * channels, rows, channels, centre, sums, sums + channels)
        }
      }
    }
    for index in 2 * channels..<max(moments.count, 2 * channels) { moments[index % (2 * channels)] += moments[index] }
    var (scale, shift) = (weight, bias)
    let pixels = Double(x.rows)
    let wide = channels / groups
    for group in 0..<groups {
      let range = group * wide..<(group + 1) * wide
      let total = range.reduce(0) { $0 + moments[$1] + pixels * Double(centre[$1]) }
      let mean = total / (pixels * Double(wide))
      let square = range.reduce(0) { sum, channel in
        let offset = Double(centre[channel]) - mean
        return sum + moments[channels + channel] + offset * (2 * moments[channel] + pixels * offset)
      }
      let deviation = (max(0, square / (pixels * Double(wide))) + Double(epsilon)).squareRoot()
      for channel in range {
        scale[channel] = Float(Double(weight[channel]) / deviation)
        shift[channel] = Float(Double(bias[channel]) - mean * Double(weight[channel]) / deviation)
      }
    }
    return (scale, shift)
  }
}

/// The map with its margin that the convolutions of one picture read, one after the other. For one thread at a time.
package final class ConvolutionMemory {
  private var scratch = Scratch(0)

  package init() {}

  /// `x`, normalised and through SiLU if `norm` is given, with `margin` rows of zeros above and below and as many columns
  /// between the rows, `[(height + 2 margin) * (width + margin) + margin, channels]`. Valid until the next call.
  fileprivate func map(_ x: Tensor, _ norm: GroupNorm?, margin: Int, _ threads: Int) -> Shared<Float> {
    let (height, width, channels) = (x.shape[0], x.shape[1], x.shape[2])
    let pitch = (width + margin) * channels
    let count = (height + 2 * margin) * pitch + margin * channels
    if scratch.count < count { scratch = Scratch(count) }
    let map = Shared(scratch.pointer)
    let coefficients = norm?.coefficients(x, threads)
    let margins = margin * pitch
    (map.pointer).update(repeating: 0, count: margins)
    (map.pointer + margins + height * pitch).update(repeating: 0, count: margins + margin * channels)
    let parts = min(threads, height)
    parallel(parts, threads: parts) { part in
      x.values.withUnsafeBufferPointer { source in
        for row in part * height / parts..<(part + 1) * height / parts {
          let to = map.pointer + margins + row * pitch
          to.update(repeating: 0, count: margin * channels)
          let from = source.baseAddress! + row * width * channels
          if let (scale, shift) = coefficients {
            vtok_scale_shift(from, width, channels, scale, shift, 1, to + margin * channels)
          } else {
            (to + margin * channels).update(from: from, count: width * channels)
          }
        }
      }
    }
    return map
  }
}
