import VTokLibC
import VTokModels
import VTokTensor
import VTokWeights

/// GigaTok's pixel decoder (`VQVitModelPlus`): before every level the map is normed and then scaled and shifted, channel by channel,
/// by what deviations and means of the decoder's input say; sizes double by giving every pixel four times the channels.
struct GigaTokPixels: Sendable {
  private struct Level: Sendable {
    /// From the deviations and the means of the input's channels to scales and shifts.
    let gamma: Linear, beta: Linear
    let blocks: [ResidualBlock]
    /// To four times the channels; nil in the last level.
    let upsample: Convolution?
  }

  private let input: Convolution
  private let middle: [ResidualBlock]
  /// From the smallest map to the largest.
  private let levels: [Level]
  private let norm: GroupNorm
  private let output: Convolution

  /// How often the size doubles.
  var doublings: Int { levels.count { $0.upsample != nil } }
  /// Channels of the input.
  var inputs: Int { input.inputs }

  init(_ checkpoint: Checkpoint, inputs: Int) throws {
    let layers = GigaTok.layers
    input = try layers.convolution(checkpoint, "conv_in", inputs: inputs)
    var channels = input.outputs
    middle = try layers.residuals(checkpoint, "mid", &channels)
    let count = checkpoint.count("conv_blocks")
    levels = try (0..<count).map { index in
      let (view, affine) = (checkpoint["conv_blocks"][index], checkpoint["adaptive"][index])
      let entering = channels
      let blocks = try layers.residuals(view, "res", &channels)
      let name = "upsample.conv1"
      return Level(
        gamma: try affine.linear("gamma", [entering, inputs]), beta: try affine.linear("beta", [entering, inputs]),
        blocks: blocks,
        upsample: index < count - 1
          ? try layers.convolution(view, name, inputs: channels, outputs: 4 * channels) : nil)
    }
    norm = try layers.norm(checkpoint, "norm_out", channels)
    output = try layers.convolution(checkpoint, "conv_out", inputs: channels, outputs: 3)
    // The norms that scales and shifts stand behind have groups too.
    for level in levels where level.gamma.weight.rows % layers.groups != 0 {
      throw ModelError.configuration(
        file: checkpoint.name, key: checkpoint.full("adaptive"), found: "\(level.gamma.weight.rows) channels",
        expected: "a multiple of \(layers.groups)")
    }
  }

  /// A map `[rows, columns, inputs]` of at least two pixels to RGB `[scale * rows, scale * columns, 3]`, about -1...1.
  func callAsFunction(_ map: Tensor, threads: Int) -> Tensor {
    let memory = ConvolutionMemory()
    let (deviations, means) = Self.moments(map)
    var x = input(map, memory, threads: threads)
    for block in middle { block(&x, memory, threads) }
    for level in levels {
      let norm = GroupNorm(
        weight: level.gamma(deviations).values, bias: level.beta(means).values, groups: GigaTok.layers.groups,
        epsilon: 1e-6)
      x = norm(x, threads: threads)
      for block in level.blocks { block(&x, memory, threads) }
      if let upsample = level.upsample { x = Self.spread(upsample(x, memory, threads: threads)) }
    }
    return output(x, after: norm, memory, threads: threads)
  }

  /// Of every channel √(variance + 1e-6), the variance without bias, and the mean. `[1, channels]` each
  private static func moments(_ map: Tensor) -> (deviations: Tensor, means: Tensor) {
    let (pixels, channels) = (map.rows, map.width)
    var (sums, squares) = ([Double](repeating: 0, count: channels), [Double](repeating: 0, count: channels))
    for row in 0..<pixels {
      for (channel, value) in map.row(row).enumerated() { sums[channel] += Double(value) }
    }
    let means = sums.map { $0 / Double(pixels) }
    for row in 0..<pixels {
      for (channel, value) in map.row(row).enumerated() {
        let offset = Double(value) - means[channel]
        squares[channel] += offset * offset
      }
    }
    let deviations = squares.map { Float(($0 / Double(pixels - 1) + 1e-6).squareRoot()) }
    return (Tensor(deviations, shape: [1, channels]), Tensor(means.map { Float($0) }, shape: [1, channels]))
  }

  /// Every pixel of `[rows, columns, 4 channels]` as two by two of them: the first quarter of its channels is the one at the top
  /// left, the second at the top right. (`torch.nn.PixelShuffle` has another order.)
  private static func spread(_ x: Tensor) -> Tensor {
    let (rows, columns, channels) = (x.shape[0], x.shape[1], x.width / 4)
    return Tensor(shape: [2 * rows, 2 * columns, channels]) { out in
      x.values.withUnsafeBufferPointer { source in
        for pixel in 0..<rows * columns {
          for quarter in 0..<4 {
            let (row, column) = (2 * (pixel / columns) + quarter / 2, 2 * (pixel % columns) + quarter % 2)
            (out + (row * 2 * columns + column) * channels).update(
              from: source.baseAddress! + (4 * pixel + quarter) * channels, count: channels)
          }
        }
      }
    }
  }
}
