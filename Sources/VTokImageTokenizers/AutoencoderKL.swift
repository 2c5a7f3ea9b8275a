import CVTokKernels
import VTokLibC
import VTokModels
import VTokTensor
import VTokWeights

/// The convolutional autoencoder of latent diffusion (diffusers' `AutoencoderKL`; Rombach et al., arXiv 2112.10752):
/// pictures to a grid of latents, 8 pixels a side in published models, and back.
///
/// Numbers of channels, levels and blocks are read off the tensors; only the groups of the norms are not in them.
public struct AutoencoderKL: Sendable {
  /// Width of a latent.
  public let latentChannels: Int
  /// Pixels a latent stands for, along each side.
  public let factor: Int
  private let encoder: Pyramid, decoder: Pyramid
  /// 1x1 on the moments and on the latents; some models have none.
  private let quant: Convolution?, postQuant: Convolution?

  /// What the encoder makes of a picture: independent normal distributions, each tensor
  /// `[latentChannels, height / factor, width / factor]`.
  public struct Posterior: Sendable {
    public let mean: Tensor, deviation: Tensor
    /// The raw output, `[2 latentChannels, ...]`: means, then logarithms of variances, not clamped.
    public let moments: Tensor

    /// `mean + deviation * noise`; noise of the shape of the mean.
    public func sample(_ noise: Tensor) -> Tensor {
      precondition(noise.shape == mean.shape, "noise of shape \(noise.shape) for \(mean.shape)")
      return Tensor(
        mean.values.indices.map { mean.values[$0] + deviation.values[$0] * noise.values[$0] }, shape: mean.shape)
    }
  }

  /// - Parameter pixels: `[3, height, width]` in -1...1, sides divisible by `factor`.
  public func encode(_ pixels: Tensor, threads: Int = 1) -> Posterior {
    let memory = ConvolutionMemory()
    var x = encoder(channelsLast(pixels), memory, threads)
    if let quant { x = quant(x, memory, threads: threads) }
    let moments = channelsFirst(x)
    let shape = [latentChannels] + moments.shape.dropFirst()
    let half = moments.values.count / 2
    let variance = moments.values[half...].map { expf(0.5 * min(max($0, -30), 20)) }
    return Posterior(
      mean: Tensor(Array(moments.values[..<half]), shape: shape), deviation: Tensor(variance, shape: shape),
      moments: moments)
  }

  /// - Parameter latents: `[latentChannels, height, width]`.
  /// - Returns: `[3, factor * height, factor * width]`, about -1...1, not clamped.
  public func decode(_ latents: Tensor, threads: Int = 1) -> Tensor {
    let memory = ConvolutionMemory()
    var x = channelsLast(latents)
    if let postQuant { x = postQuant(x, memory, threads: threads) }
    return channelsFirst(decoder(x, memory, threads))
  }
}

// MARK: Layers

/// Encoder or decoder: levels of residual blocks with a change of size after each but the last, and a middle with
/// attention where the map is smallest.
private struct Pyramid: Sendable {
  struct Level: Sendable {
    let blocks: [ResidualBlock]
    let resize: Convolution?
  }
  let entry: Convolution
  let levels: [Level]
  let middle: (ResidualBlock, MapAttention?, ResidualBlock)
  let middleIsFirst: Bool
  let norm: GroupNorm
  let exit: Convolution

  func callAsFunction(_ pixels: Tensor, _ memory: ConvolutionMemory, _ threads: Int) -> Tensor {
    var x = entry(pixels, memory, threads: threads)
    if middleIsFirst { runMiddle(&x, memory, threads) }
    for level in levels {
      for block in level.blocks { block(&x, memory, threads) }
      if let resize = level.resize { x = resize(x, memory, threads: threads) }
    }
    if !middleIsFirst { runMiddle(&x, memory, threads) }
    return exit(x, after: norm, memory, threads: threads)
  }

  private func runMiddle(_ x: inout Tensor, _ memory: ConvolutionMemory, _ threads: Int) {
    middle.0(&x, memory, threads)
    middle.1?(&x, threads)
    middle.2(&x, memory, threads)
  }
}

/// `x + conv2(SiLU(norm2(conv1(SiLU(norm1(x))))))`, x through a 1x1 convolution where the number of channels changes.
private struct ResidualBlock: Sendable {
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
private struct MapAttention: Sendable {
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

extension AutoencoderKL {
  /// Loads a stand-alone model with its own `config.json`, or the view of a larger checkpoint that holds one.
  /// - Parameter groups: of the norms; nil: `norm_num_groups` of the configuration, 32 without it.
  public static func load(_ checkpoint: Checkpoint, groups: Int? = nil) throws -> AutoencoderKL {
    let config = Config(json: checkpoint.prefix.isEmpty ? checkpoint.config : [:])
    let activation = try config.string("act_fn") ?? "silu"
    guard ["silu", "swish"].contains(activation) else {
      throw ModelError.configuration(file: "config.json", key: "act_fn", found: activation, expected: "silu")
    }
    let loader = try PyramidLoader(groups: groups ?? config.int("norm_num_groups", 32))
    let encoder = try loader.encoder(checkpoint["encoder"])
    let decoder = try loader.decoder(checkpoint["decoder"])
    let moments = encoder.exit.outputs
    let channels = decoder.entry.inputs
    guard moments == 2 * channels, encoder.doublings == decoder.doublings else {
      throw ModelError.configuration(
        file: checkpoint.name, key: checkpoint.full("encoder"),
        found: "\(moments) moments, \(encoder.doublings) changes of size",
        expected: "\(2 * channels) and \(decoder.doublings), to fit the decoder")
    }
    return AutoencoderKL(
      latentChannels: channels, factor: 1 << encoder.doublings, encoder: encoder, decoder: decoder,
      quant: try loader.pointwise(checkpoint, "quant_conv", moments),
      postQuant: try loader.pointwise(checkpoint, "post_quant_conv", channels))
  }
}

extension Pyramid {
  fileprivate var doublings: Int { levels.count { $0.resize != nil } }
}

private struct PyramidLoader {
  let groups: Int

  func encoder(_ checkpoint: Checkpoint) throws -> Pyramid {
    let entry = try convolution(checkpoint, "conv_in", inputs: 3)
    var channels = entry.outputs
    let levels = try levels(checkpoint, "down_blocks", "downsamplers", .half, &channels)
    return try pyramid(checkpoint, entry, levels, channels, middle: channels, middleIsFirst: false, outputs: nil)
  }

  func decoder(_ checkpoint: Checkpoint) throws -> Pyramid {
    let entry = try convolution(checkpoint, "conv_in", inputs: nil)
    var channels = entry.outputs
    let levels = try levels(checkpoint, "up_blocks", "upsamplers", .double, &channels)
    return try pyramid(checkpoint, entry, levels, channels, middle: entry.outputs, middleIsFirst: true, outputs: 3)
  }

  private func pyramid(
    _ checkpoint: Checkpoint, _ entry: Convolution, _ levels: [Pyramid.Level], _ channels: Int, middle: Int,
    middleIsFirst: Bool, outputs: Int?
  ) throws -> Pyramid {
    let block = checkpoint["mid_block"]
    return Pyramid(
      entry: entry, levels: levels,
      middle: (
        try residual(block["resnets"][0], middle, outputs: middle), try attention(block["attentions"][0], middle),
        try residual(block["resnets"][1], middle, outputs: middle)
      ), middleIsFirst: middleIsFirst, norm: try norm(checkpoint, "conv_norm_out", channels),
      exit: try convolution(checkpoint, "conv_out", inputs: channels, outputs: outputs))
  }

  private func levels(
    _ checkpoint: Checkpoint, _ name: String, _ resize: String, _ size: Convolution.Size, _ channels: inout Int
  ) throws -> [Pyramid.Level] {
    try (0..<checkpoint.count(name)).map { index in
      let level = checkpoint[name][index]
      var blocks: [ResidualBlock] = []
      for block in 0..<level.count("resnets") {
        blocks.append(try residual(level["resnets"][block], channels, outputs: nil))
        channels = blocks[block].conv2.outputs
      }
      let last = "\(resize).0.conv"
      return Pyramid.Level(
        blocks: blocks,
        resize: level.has("\(last).weight")
          ? try convolution(level, last, inputs: channels, outputs: channels, size: size) : nil)
    }
  }

  private func residual(_ checkpoint: Checkpoint, _ inputs: Int, outputs: Int?) throws -> ResidualBlock {
    let conv1 = try convolution(checkpoint, "conv1", inputs: inputs, outputs: outputs)
    let outputs = conv1.outputs
    return ResidualBlock(
      norm1: try norm(checkpoint, "norm1", inputs), conv1: conv1, norm2: try norm(checkpoint, "norm2", outputs),
      conv2: try convolution(checkpoint, "conv2", inputs: outputs, outputs: outputs),
      shortcut: inputs == outputs
        ? nil : try convolution(checkpoint, "conv_shortcut", inputs: inputs, outputs: outputs, kernel: 1))
  }

  /// Files older than diffusers 0.18 call the projections otherwise, and may hold them as 1x1 convolutions.
  private func attention(_ checkpoint: Checkpoint, _ channels: Int) throws -> MapAttention? {
    guard checkpoint.has("group_norm.weight") else { return nil }
    let isOld = checkpoint.has("query.weight")
    func linear(_ name: String) throws -> Linear {
      let axes = checkpoint.shape("\(name).weight")?.count == 4 ? [channels, channels, 1, 1] : [channels, channels]
      return try checkpoint.linear(name, axes, bias: nil)
    }
    let parts = try (isOld ? ["query", "key", "value"] : ["to_q", "to_k", "to_v"]).map(linear)
    let zero = [Float](repeating: 0, count: channels)
    return MapAttention(
      norm: try norm(checkpoint, "group_norm", channels),
      qkv: Linear(weight: Weight.stacked(parts.map(\.weight)).packed, bias: parts.flatMap { $0.bias ?? zero }),
      output: try linear(isOld ? "proj_attn" : "to_out.0"))
  }

  func pointwise(_ checkpoint: Checkpoint, _ name: String, _ channels: Int) throws -> Convolution? {
    guard checkpoint.has("\(name).weight") else { return nil }
    return try convolution(checkpoint, name, inputs: channels, outputs: channels, kernel: 1)
  }

  private func convolution(
    _ checkpoint: Checkpoint, _ name: String, inputs: Int?, outputs: Int? = nil, kernel: Int = 3,
    size: Convolution.Size = .same
  ) throws -> Convolution {
    let weight = try checkpoint.tensor("\(name).weight", [outputs, inputs, kernel, kernel])
    guard !weight.values.isEmpty else {
      throw ModelError.configuration(
        file: checkpoint.name, key: checkpoint.full("\(name).weight"), found: "of shape \(weight.shape)",
        expected: "at least one channel")
    }
    return Convolution(weight, bias: try checkpoint.vectorIfPresent("\(name).bias", [weight.shape[0]]), size: size)
  }

  private func norm(_ checkpoint: Checkpoint, _ name: String, _ channels: Int) throws -> GroupNorm {
    guard groups > 0, channels % groups == 0 else {
      throw ModelError.configuration(
        file: "config.json", key: "norm_num_groups", found: "\(groups)",
        expected: "a divisor of the \(channels) channels of \(checkpoint.full(name))")
    }
    return GroupNorm(
      weight: try checkpoint.vector("\(name).weight", [channels]),
      bias: try checkpoint.vector("\(name).bias", [channels]),
      groups: groups, epsilon: 1e-6)
  }
}
