import TestSupport
import Testing
import VTok

/// The convolutions of pixel decoders against their definition in double precision.
@Suite struct ConvolutionTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let height: Int, width: Int, inputs: Int, outputs: Int, kernel: Int, size: Convolution.Size
    var testDescription: String { "\(height)x\(width), \(inputs) to \(outputs), \(kernel)x\(kernel), \(size)" }
  }
  static let cases: [Case] = [
    Case(height: 1, width: 1, inputs: 1, outputs: 1, kernel: 3, size: .same),
    Case(height: 5, width: 7, inputs: 3, outputs: 5, kernel: 3, size: .same),
    Case(height: 33, width: 40, inputs: 8, outputs: 70, kernel: 3, size: .same),
    Case(height: 2, width: 600, inputs: 4, outputs: 2, kernel: 3, size: .same),
    Case(height: 9, width: 4, inputs: 16, outputs: 12, kernel: 1, size: .same),
    Case(height: 6, width: 8, inputs: 3, outputs: 4, kernel: 3, size: .half),
    Case(height: 7, width: 5, inputs: 9, outputs: 17, kernel: 3, size: .half),
    Case(height: 1, width: 3, inputs: 2, outputs: 3, kernel: 3, size: .double),
    Case(height: 20, width: 31, inputs: 8, outputs: 65, kernel: 3, size: .double),
  ]

  @Test(arguments: cases) func definition(_ c: Case) {
    var generator = SeededGenerator(seed: UInt64(c.height * 1000 + c.width))
    func random(_ shape: [Int]) -> Tensor {
      Tensor((0..<shape.reduce(1, *)).map { _ in generator.normal() }, shape: shape)
    }
    let x = random([c.height, c.width, c.inputs])
    let kernel = random([c.outputs, c.inputs, c.kernel, c.kernel])
    let bias = random([c.outputs]).values
    let expected = reference(x, kernel, bias, c.size)
    let convolution = Convolution(kernel, bias: bias, size: c.size)
    let memory = ConvolutionMemory()
    let found = convolution(x, memory)
    #expect(found.shape == expected.shape)
    #expect(distance(found.values, expected.values) < 1e-4)
    for threads in [2, 3, 16] { #expect(convolution(x, memory, threads: threads) == found) }

    var sum = random(expected.shape)
    let start = sum
    convolution.add(x, to: &sum, memory, threads: 2)
    #expect(distance(sum.values, zip(start.values, expected.values).map(+)) < 1e-4)

    // Normalised first; memory that held a larger map before.
    let norm = GroupNorm(
      weight: random([c.inputs]).values, bias: random([c.inputs]).values, groups: c.inputs % 4 == 0 ? 4 : 1,
      epsilon: 1e-6)
    var activated = norm(x)
    for index in activated.values.indices { activated.values[index] /= 1 + exponential(-activated.values[index]) }
    _ = Convolution(random([2, 3, 3, 3]), bias: nil)(random([64, 64, 3]), memory)
    let normed = convolution(x, after: norm, memory, threads: 2)
    #expect(distance(normed.values, reference(activated, kernel, bias, c.size).values) < 2e-4)
  }

  /// Values around a large mean: the variance is what is left of sums a million times larger.
  @Test(arguments: [Float(0), 3, 1000]) func groupNorm(_ mean: Float) {
    var generator = SeededGenerator(seed: 7)
    let (pixels, channels, groups) = (37 * 29, 24, 3)
    let x = Tensor(
      (0..<pixels * channels).map { _ in mean + generator.normal() }, shape: [37, 29, channels])
    let weight = (0..<channels).map { _ in generator.normal() }
    let bias = (0..<channels).map { _ in generator.normal() }
    let found = GroupNorm(weight: weight, bias: bias, groups: groups, epsilon: 1e-6)(x)
    for group in 0..<groups {
      let range = group * 8..<group * 8 + 8
      let values = (0..<pixels).flatMap { pixel in range.map { Double(x.values[pixel * channels + $0]) } }
      let mean = values.reduce(0, +) / Double(values.count)
      let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
      let scale = 1 / (variance + 1e-6).squareRoot()
      for pixel in stride(from: 0, to: pixels, by: 13) {
        for channel in range {
          let index = pixel * channels + channel
          let exact = (Double(x.values[index]) - mean) * scale * Double(weight[channel]) + Double(bias[channel])
          // x * scale + shift in float32: what torch does too.
          #expect(abs(Double(found.values[index]) - exact) < 4e-6 + 3e-7 * abs(mean) * abs(Double(weight[channel])))
        }
      }
    }
  }

  private func exponential(_ x: Float) -> Float { softmax([x, 0])[0] / softmax([x, 0])[1] }

  private func reference(_ x: Tensor, _ kernel: Tensor, _ bias: [Float], _ size: Convolution.Size) -> Tensor {
    let (height, width, inputs) = (x.shape[0], x.shape[1], x.shape[2])
    let (outputs, k) = (kernel.shape[0], kernel.shape[2])
    // What the kernel sees at (row, column) of the input as torch pads or doubles it.
    func pixel(_ row: Int, _ column: Int, _ input: Int) -> Double {
      let (rows, columns) = size == .double ? (2 * height, 2 * width) : (height, width)
      guard (0..<rows).contains(row), (0..<columns).contains(column) else { return 0 }
      let factor = size == .double ? 2 : 1
      return Double(x.values[(row / factor * width + column / factor) * inputs + input])
    }
    let shape: [Int] =
      switch size {
      case .same: [height, width, outputs]
      case .half: [(height + 1 - 3) / 2 + 1, (width + 1 - 3) / 2 + 1, outputs]
      case .double: [2 * height, 2 * width, outputs]
      }
    let (step, margin) = size == .half ? (2, 0) : (1, k / 2)
    return Tensor(shape: shape) { out in
      for row in 0..<shape[0] {
        for column in 0..<shape[1] {
          for output in 0..<outputs {
            var sum = Double(bias[output])
            for input in 0..<inputs {
              for down in 0..<k {
                for across in 0..<k {
                  sum +=
                    Double(kernel.values[((output * inputs + input) * k + down) * k + across])
                    * pixel(row * step + down - margin, column * step + across - margin, input)
                }
              }
            }
            out[(row * shape[1] + column) * outputs + output] = Float(sum)
          }
        }
      }
    }
  }
}
