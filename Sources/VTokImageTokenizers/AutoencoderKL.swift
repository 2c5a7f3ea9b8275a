import CVTokKernels
import VTokLibC
import VTokModels
import VTokTensor
import VTokWeights

/// The convolutional autoencoder of latent diffusion (diffusers' `AutoencoderKL`; Rombach et al., arXiv 2112.10752):
/// pictures to a grid of latents, 8 pixels a side in published models, and back.
///
/// Numbers of channels, levels and blocks are read off the tensors; `config.json` says the rest.
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
struct Pyramid: Sendable {
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
    let loader = PyramidLoader(
      layers: MapLoader(groups: try groups ?? config.int("norm_num_groups", 32)),
      hasAttention: try config.bool("mid_block_add_attention", true))
    func pointwise(_ key: String, _ name: String, _ channels: Int) throws -> Convolution? {
      guard try config.bool(key, true) else { return nil }
      return try loader.layers.convolution(checkpoint, name, inputs: channels, outputs: channels, kernel: 1)
    }
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
      quant: try pointwise("use_quant_conv", "quant_conv", moments),
      postQuant: try pointwise("use_post_quant_conv", "post_quant_conv", channels))
  }
}

extension Pyramid {
  var doublings: Int { levels.count { $0.resize != nil } }
}

private struct PyramidLoader {
  let layers: MapLoader, hasAttention: Bool

  func encoder(_ checkpoint: Checkpoint) throws -> Pyramid {
    let entry = try layers.convolution(checkpoint, "conv_in", inputs: 3)
    var channels = entry.outputs
    let levels = try levels(checkpoint, "down_blocks", "downsamplers", .half, &channels)
    return try pyramid(checkpoint, entry, levels, channels, middle: channels, middleIsFirst: false, outputs: nil)
  }

  func decoder(_ checkpoint: Checkpoint) throws -> Pyramid {
    let entry = try layers.convolution(checkpoint, "conv_in", inputs: nil)
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
        try layers.residual(block["resnets"][0], middle, outputs: middle),
        try attention(block["attentions"][0], middle),
        try layers.residual(block["resnets"][1], middle, outputs: middle)
      ), middleIsFirst: middleIsFirst, norm: try layers.norm(checkpoint, "conv_norm_out", channels),
      exit: try layers.convolution(checkpoint, "conv_out", inputs: channels, outputs: outputs))
  }

  private func levels(
    _ checkpoint: Checkpoint, _ name: String, _ resize: String, _ size: Convolution.Size, _ channels: inout Int
  ) throws -> [Pyramid.Level] {
    let count = checkpoint.count(name)
    return try (0..<count).map { index in
      let level = checkpoint[name][index]
      let blocks = try layers.residuals(level, "resnets", &channels)
      return Pyramid.Level(
        blocks: blocks,
        resize: index < count - 1
          ? try layers.convolution(level, "\(resize).0.conv", inputs: channels, outputs: channels, size: size) : nil)
    }
  }

  /// Files older than diffusers 0.18 call the projections otherwise, and may hold them as 1x1 convolutions.
  private func attention(_ checkpoint: Checkpoint, _ channels: Int) throws -> MapAttention? {
    guard hasAttention else { return nil }
    let isOld = checkpoint.has("query.weight")
    return try layers.attention(
      checkpoint, norm: "group_norm", qkv: isOld ? ["query", "key", "value"] : ["to_q", "to_k", "to_v"],
      output: isOld ? "proj_attn" : "to_out.0", channels)
  }
}
