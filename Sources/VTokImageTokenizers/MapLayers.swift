import CVTokKernels
import VTokModels
import VTokTensor
import VTokWeights

// What convolutional encoders and decoders are made of, on maps `[height, width, channels]`, and how it is loaded.

/// `x + conv2(SiLU(norm2(conv1(SiLU(norm1(x))))))`, x through a 1x1 convolution where the number of channels changes.
struct ResidualBlock: Sendable {
  let norm1: GroupNorm, conv1: Convolution
  let norm2: GroupNorm, conv2: Convolution
  let shortcut: Convolution?

  func callAsFunction(_ x: inout Tensor, _ memory: ConvolutionMemory, _ threads: Int) {
    let inner = conv1(x, after: norm1, memory, threads: threads)
    if let shortcut { x = shortcut(x, memory, threads: threads) }
    conv2.add(inner, after: norm2, to: &x, memory, threads: threads)
  }
}

/// `x + output(softmax(q kᵀ / √channels) v)` over all pixels, one head, q, k, v of the normalised map.
struct MapAttention: Sendable {
  let norm: GroupNorm
  /// `[3 channels, channels]`: query, key, value.
  let qkv: Linear
  let output: Linear

  func callAsFunction(_ x: inout Tensor, _ threads: Int) {
    let (pixels, channels) = (x.rows, x.width)
    let normed = norm(x, threads: threads)
    let projected = Scratch(pixels * 3 * channels)
    let stride = 3 * channels
    let qkv = Shared(projected.pointer)
    forRows(pixels, threads) { rows in
      let out = qkv.pointer + rows.lowerBound * stride
      normed.values.withUnsafeBufferPointer {
        self.qkv.weight.multiply(
          $0.baseAddress! + rows.lowerBound * channels, rows.count, channels, into: out, stride)
      }
      if let bias = self.qkv.bias { vtok_add_bias(out, rows.count, stride, bias) }
    }
    x.values.withUnsafeMutableBufferPointer { buffer in
      let x = Shared(buffer.baseAddress!)
      let size = 128
      parallel((pixels + size - 1) / size, threads: threads) { block in
        let (first, rows) = (block * size, min(size, pixels - block * size))
        let scores = Scratch(rows * pixels)
        let (mixed, panel) = (Scratch(2 * rows * channels), Scratch(vtok_matrix.panels))
        let q = qkv.pointer + first * stride
        let k = vtok_matrix(rows: qkv.pointer + channels, depth: channels, stride: stride)
        let v = vtok_matrix(columns: qkv.pointer + 2 * channels, depth: pixels, stride: stride)
        vtok_scale_rows(q, rows, channels, stride, 1 / Float(channels).squareRoot())
        vtok_product(q, rows, stride, k, 0, pixels, 0, scores.pointer, pixels, panel.pointer)
        vtok_softmax_rows(scores.pointer, rows, pixels, pixels, nil)
        vtok_product(
          scores.pointer, rows, pixels, v, 0, channels, 0, mixed.pointer, channels, panel.pointer)
        let out = mixed.pointer + rows * channels
        output.weight.multiply(mixed.pointer, rows, channels, into: out, channels)
        vtok_add_residual(x.pointer + first * channels, out, rows, channels, output.bias, nil)
      }
    }
  }
}

// MARK: Layout

/// `[channels, height, width]` to `[height, width, channels]`.
func channelsLast(_ x: Tensor) -> Tensor {
  let (channels, pixels) = (x.shape[0], x.shape[1] * x.shape[2])
  return Tensor(shape: [x.shape[1], x.shape[2], channels]) { out in
    x.values.withUnsafeBufferPointer { values in
      for channel in 0..<channels {
        for pixel in 0..<pixels { out[pixel * channels + channel] = values[channel * pixels + pixel] }
      }
    }
  }
}

/// `[height, width, channels]` to `[channels, height, width]`.
func channelsFirst(_ x: Tensor) -> Tensor {
  let (channels, pixels) = (x.shape[2], x.shape[0] * x.shape[1])
  return Tensor(shape: [channels, x.shape[0], x.shape[1]]) { out in
    x.values.withUnsafeBufferPointer { values in
      for pixel in 0..<pixels {
        for channel in 0..<channels { out[channel * pixels + pixel] = values[pixel * channels + channel] }
      }
    }
  }
}

// MARK: Loading

/// Layers under the names of a checkpoint.
struct MapLoader: Sendable {
  /// Of every norm.
  let groups: Int
  /// Name of the 1x1 convolution that the input of a residual block goes through where the number of channels changes.
  var shortcut = "conv_shortcut"

  /// - Parameter inputs: nil, as `outputs`: what the file says.
  func convolution(
    _ checkpoint: Checkpoint, _ name: String, inputs: Int?, outputs: Int? = nil, kernel: Int = 3,
    size: Convolution.Size = .same
  ) throws -> Convolution {
    let weight = try checkpoint.tensor("\(name).weight", [outputs, inputs, kernel, kernel])
    guard !weight.values.isEmpty else {
      throw ModelError.configuration(
        file: checkpoint.name, key: checkpoint.full("\(name).weight"), found: "of shape \(weight.shape)",
        expected: "at least one channel")
    }
    return Convolution(weight, bias: try checkpoint.vector("\(name).bias", [weight.shape[0]]), size: size)
  }

  func norm(_ checkpoint: Checkpoint, _ name: String, _ channels: Int) throws -> GroupNorm {
    guard groups > 0, channels > 0, channels % groups == 0 else {
      throw ModelError.configuration(
        file: checkpoint.name, key: checkpoint.full(name), found: "\(channels) channels in \(groups) groups",
        expected: "a number of channels that its groups divide")
    }
    return GroupNorm(
      weight: try checkpoint.vector("\(name).weight", [channels]),
      bias: try checkpoint.vector("\(name).bias", [channels]), groups: groups, epsilon: 1e-6)
  }

  /// - Parameter outputs: nil: what the file says.
  func residual(_ checkpoint: Checkpoint, _ inputs: Int, outputs: Int? = nil) throws -> ResidualBlock {
    let conv1 = try convolution(checkpoint, "conv1", inputs: inputs, outputs: outputs)
    let outputs = conv1.outputs
    return ResidualBlock(
      norm1: try norm(checkpoint, "norm1", inputs), conv1: conv1, norm2: try norm(checkpoint, "norm2", outputs),
      conv2: try convolution(checkpoint, "conv2", inputs: outputs, outputs: outputs),
      shortcut: inputs == outputs
        ? nil : try convolution(checkpoint, shortcut, inputs: inputs, outputs: outputs, kernel: 1))
  }

  /// The residual blocks of a list, one behind the other.
  /// - Parameter channels: of the map before the first; becomes that behind the last.
  func residuals(_ checkpoint: Checkpoint, _ list: String, _ channels: inout Int) throws -> [ResidualBlock] {
    var blocks: [ResidualBlock] = []
    for index in 0..<checkpoint.count(list) {
      blocks.append(try residual(checkpoint[list][index], channels))
      channels = blocks[index].conv2.outputs
    }
    return blocks
  }

  /// Projections as matrices or as 1x1 convolutions.
  func attention(
    _ checkpoint: Checkpoint, norm: String, qkv: [String], output: String, _ channels: Int
  ) throws -> MapAttention {
    func linear(_ name: String) throws -> Linear {
      let axes = checkpoint.shape("\(name).weight")?.count == 4 ? [channels, channels, 1, 1] : [channels, channels]
      return try checkpoint.linear(name, axes)
    }
    let parts = try qkv.map(linear)
    return MapAttention(
      norm: try self.norm(checkpoint, norm, channels),
      qkv: Linear(weight: Weight.stacked(parts.map(\.weight)).packed, bias: parts.flatMap { $0.bias! }),
      output: try linear(output))
  }
}
