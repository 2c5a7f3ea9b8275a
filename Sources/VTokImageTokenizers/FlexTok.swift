import VTokImage
import VTokModels
import VTokTensor
import VTokWeights

/// FlexTok (Bachmann et al., ICML 2025, arXiv 2502.13967; `apple/ml-flextok`): a picture as 1 to 256 tokens of 64,000, coarse
/// to fine, and back through a rectified flow in the latents of an autoencoder.
///
/// ```swift
/// let flextok = try FlexTok.load(Checkpoint(directory: "flextok_d12_d12_in1k"))
/// let tokens = try flextok.encode(photo, tokens: 32)
/// let picture = try flextok.decode(tokens, seed: 1)
/// ```
/// A generative decoder: few tokens give a plausible picture of the same content, not a blurred copy. Judge it by perceptual
/// distances; PSNR stays below 20 dB even with all tokens.
public struct FlexTok: PaintingTokenizer {
  public let name = "flextok"
  public let autoencoder: AutoencoderKL
  /// The latents of the transformers are those of the autoencoder times this.
  public let latentScale: Float
  /// Whether the latents are drawn from the autoencoder's posterior, as training did, or are its mean.
  public let samplesPosterior: Bool
  package let encoder: RegisterEncoder
  public let quantizer: FiniteScalarQuantizer
  package let decoder: FlowDecoder
  /// What `decode` of a picture does by default: the official pipeline's 25 steps without guidance. Its authors show 20
  /// steps and `.adaptiveProjected(7.5)`.
  public var steps = 25
  public var guidance = Guidance.none

  public var codebookSize: Int { quantizer.codebookSize }
  /// Most tokens of a picture.
  public var maxTokens: Int { encoder.registers.rows }
  public func lengths(for size: Size) -> TokenLengths { .prefixes(maxTokens) }

  /// Size in pixels of the pictures it was trained on: the whole table of positions.
  public var imageSize: Size {
    let table = encoder.patches.positions.shape
    return Size(width: table[1] * cell, height: table[0] * cell)
  }

  /// Shorter side to the image size, centre crop, -1...1 (`flextok/utils/demo.py`).
  public var processor: ImageProcessor {
    ImageProcessor(
      resize: .shortestEdge(max(imageSize.width, imageSize.height)), filter: .bilinear, crop: imageSize,
      cropRounding: .halfEven)
  }

  public func prepare(_ image: Image) -> Image { processor.prepare(image) }

  // MARK: Pictures

  public func encode(_ image: Image, tokens: Int?, threads: Int) throws -> ImageTokens {
    ImageTokens(ids: try encode(pixels: processor(image), tokens: tokens, threads: threads), size: imageSize)
  }

  public func decode(_ tokens: ImageTokens, seed: UInt64, threads: Int) throws -> Image {
    try check(tokens)
    let pixels = try decode(tokens.ids, size: tokens.size, seed: seed, threads: threads)
    return Image(pixels: pixels, range: -1...1)
  }

  public func embeddings(of tokens: ImageTokens) throws -> Tensor? {
    try check(tokens)
    return quantizer.codes(tokens.ids)
  }

  // MARK: Tensors

  /// - Parameters:
  ///   - pixels: `[3, height, width]` in -1...1; sides up to `imageSize` that whole patches fill.
  ///   - tokens: how many, nil for all; only so many registers are run, and they are those of the full run.
  ///   - seed: of the posterior's noise, where the model draws from it.
  public func encode(pixels: Tensor, tokens: Int? = nil, seed: UInt64 = 0, threads: Int = 1) throws -> [Int] {
    let count = try length(tokens, for: imageSize)
    let latents = try latents(of: pixels, seed: seed, threads: threads)
    return quantizer.quantize(encoder(latents, count: count, threads: threads)).ids
  }

  /// What the transformers work on, `[channels, height, width]` in latents: scaled, the posterior's mean or a draw from it.
  /// - Parameter noise: of the shape of the latents; nil: of `seed`, if the model draws.
  public func latents(of pixels: Tensor, noise: Tensor? = nil, seed: UInt64 = 0, threads: Int = 1) throws -> Tensor {
    guard pixels.shape.count == 3, pixels.shape[0] == 3, fits(pixels.shape[1], pixels.shape[2]) else {
      throw ModelError.input(
        what: "pixels of \(name)", found: "shape \(pixels.shape)",
        expected: "[3, height, width] with sides that \(cell) divides, up to \(imageSize)",
        fix: "Prepare the picture with the model's processor.")
    }
    let posterior = autoencoder.encode(pixels, threads: threads)
    var latents = posterior.mean
    if let noise {
      latents = posterior.sample(noise)
    } else if samplesPosterior {
      latents = posterior.sample(
        Tensor(normalNoise(seed: seed, count: latents.values.count), shape: latents.shape))
    }
    for index in latents.values.indices { latents.values[index] *= latentScale }
    return latents
  }

  /// A picture from the first tokens of an encoding. The cost falls with their number, too.
  /// - Parameters:
  ///   - ids: 1 to `maxTokens` of them, each below `codebookSize`.
  ///   - steps, guidance: nil: those of this value.
  ///   - size: of the picture in pixels; nil: `imageSize`.
  ///   - seed: of the noise it starts from (`normalNoise`).
  /// - Returns: `[3, height, width]`, about -1...1, not clamped.
  public func decode(
    _ ids: [Int], steps: Int? = nil, guidance: Guidance? = nil, size: Size? = nil, seed: UInt64 = 0, threads: Int = 1
  ) throws -> Tensor {
    let size = size ?? imageSize
    guard fits(size.height, size.width) else {
      throw ModelError.input(
        what: "size to decode to", found: "\(size)", expected: "sides that \(cell) divides, up to \(imageSize)",
        fix: "Choose such a size.")
    }
    let factor = autoencoder.factor
    let shape = [autoencoder.latentChannels, size.height / factor, size.width / factor]
    let noise = Tensor(normalNoise(seed: seed, count: shape.reduce(1, *)), shape: shape)
    let latents = try decodeLatents(
      ids, from: noise, steps: steps ?? self.steps, guidance: guidance ?? self.guidance, threads: threads)
    return decode(latents: latents, threads: threads)
  }

  /// The flow alone: latents `[channels, height, width]` from noise of that shape.
  /// - Parameter observe: is shown the latents before the first step and after each.
  public func decodeLatents(
    _ ids: [Int], from noise: Tensor, steps: Int, guidance: Guidance, threads: Int = 1,
    observe: (Tensor) -> Void = { _ in }
  ) throws -> Tensor {
    try check(ImageTokens(ids: ids, size: imageSize))
    guard steps > 0 else {
      throw ModelError.input(
        what: "steps of \(name)", found: "\(steps)", expected: "1 or more", fix: "20 to 25 are usual.")
    }
    guard guidance.scale.isFinite else {
      throw ModelError.input(
        what: "guidance of \(name)", found: "\(guidance.scale)", expected: "a finite scale", fix: "1 is no guidance.")
    }
    let condition = decoder.condition(quantizer.codes(ids))
    let none = decoder.unconditional()
    return FlowSampler(steps: steps, guidance: guidance)(from: noise, observe: observe) { latents, t, isGuided in
      decoder(latents, at: t, isGuided ? [condition, none] : [condition], threads: threads)
    }
  }

  /// The autoencoder's half: scaled latents to pixels.
  public func decode(latents: Tensor, threads: Int = 1) -> Tensor {
    var unscaled = latents
    for index in unscaled.values.indices { unscaled.values[index] /= latentScale }
    return autoencoder.decode(unscaled, threads: threads)
  }

  /// Pixels of one patch along each side.
  private var cell: Int { autoencoder.factor * encoder.patches.side }

  private func fits(_ height: Int, _ width: Int) -> Bool {
    height > 0 && width > 0 && height % cell == 0 && width % cell == 0 && height <= imageSize.height
      && width <= imageSize.width
  }
}

// MARK: Loading

extension FlexTok {
  /// Whether a checkpoint says that it is one.
  public static func matches(_ checkpoint: Checkpoint) -> Bool {
    (try? configuration(checkpoint)["_target_"]?.string) == FlexTokClass.wrapper.rawValue
  }

  /// Loads a published file (`EPFL-VILAB/flextok_*`), which holds its autoencoder and, in its header, its configuration.
  /// - Parameter groups: of the autoencoder's norms, which no part of the file tells; all published ones have 32.
  /// - Throws: `ModelError`, `WeightError` or `JSONError`.
  public static func load(_ checkpoint: Checkpoint, groups: Int = 32) throws -> FlexTok {
    let config = try configuration(checkpoint)
    guard config["_target_"] == nil || config["_target_"]?.string == FlexTokClass.wrapper.rawValue else {
      throw ModelError.configuration(
        file: checkpoint.name, key: "_target_", found: config["_target_"]!.text(),
        expected: FlexTokClass.wrapper.rawValue)
    }
    let vae = try FlexTokModule(config, "vae", checkpoint).require(.autoencoder)
    let fsq = try FlexTokModule(config, "regularizer", checkpoint).require(.quantizer)
    _ = try FlexTokModule(config, "pipeline", checkpoint).require(.pipeline)
    let levels = try fsq.settings.ints("levels") ?? []
    let size = levels.reduce(1) { $0.multipliedReportingOverflow(by: $1).overflow ? 0 : $0 * $1 }
    guard !levels.isEmpty, levels.allSatisfy({ $0 >= 2 }), (1...Int(Int32.max)).contains(size) else {
      throw fsq.unfit("levels", "\(levels)", "numbers of 2 or more whose product fits in 32 bits")
    }
    let autoencoder = try AutoencoderKL.load(vae.tensors["vae"], groups: groups)
    let channels = autoencoder.latentChannels
    let scale = try vae.settings.double("scaling_factor", 0)
    guard abs(scale) >= 1e-6 else {
      throw vae.unfit("scaling_factor", "\(scale)", "the factor of the latents, other than 0")
    }
    let encoder = try RegisterEncoder.load(config, checkpoint, channels: channels, levels: levels.count)
    let decoder = try FlowDecoder.load(
      config, checkpoint, channels: channels, levels: levels.count, registers: encoder.registers.rows)
    guard decoder.patches.side == encoder.patches.side,
      decoder.patches.positions.shape.dropLast()
        == encoder.patches.positions.shape.dropLast()
    else {
      throw ModelError.configuration(
        file: checkpoint.name, key: "decoder.module_dict",
        found: "patches of \(decoder.patches.side) on a grid of \(decoder.patches.positions.shape.dropLast())",
        expected: "those of the encoder")
    }
    return FlexTok(
      autoencoder: autoencoder, latentScale: Float(scale),
      samplesPosterior: try vae.settings.bool("sample_posterior", true), encoder: encoder,
      quantizer: FiniteScalarQuantizer(levels: levels), decoder: decoder)
  }

  /// From the header of the weights, written as Python literals; without one from `config.json`, where the Hub has the same
  /// at top level or under `config`.
  private static func configuration(_ checkpoint: Checkpoint) throws -> JSON {
    let header = try checkpoint.literalMetadata()
    if header["encoder"] != nil { return header }
    return checkpoint.config["config"] ?? checkpoint.config
  }
}
