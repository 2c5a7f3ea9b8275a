import VTokImage
import VTokModels
import VTokTensor
import VTokWeights

/// The binary autoencoder of ELM ("Elucidating the design space of language models for image generation", arXiv 2410.16257;
/// `Pepper-lll/LMforImageGeneration`, `bae/binaryae.py`): a convolutional autoencoder whose cells are 16 to 24 bits each, 256 of
/// them for 256 x 256 pixels.
///
/// Bits are set by a threshold, as the official code does when it is told to be deterministic; by default it draws them, and all
/// models but `bae_16_deter` were trained with draws.
public struct BAE: PaintingTokenizer {
  public let name = "bae"
  public let quantizer: BinaryQuantizer
  /// Of a picture; the layers take any multiple of `cell`, no file says which they were trained with.
  private let side: Int
  /// Pixels along the side of a cell.
  private let cell: Int
  private let encoder: MapStack, decoder: MapStack
  private let logits: Convolution

  static func matches(_ checkpoint: Checkpoint) -> Bool {
    checkpoint.has("ae.quantize.proj.0.weight") && checkpoint.has("ae.quantize.embed.weight")
  }

  /// - Throws: `ModelError`, `WeightError`.
  init(_ checkpoint: Checkpoint) throws {
    let view = checkpoint["ae"]
    let config = Config(json: checkpoint.config)
    let vectors = try view.tensor("quantize.embed.weight", [nil, nil])
    guard vectors.rows <= 30 else {
      throw ModelError.configuration(
        file: checkpoint.name, key: view.full("quantize.embed.weight"), found: "\(vectors.rows) bits a cell",
        expected: "at most 30")
    }
    quantizer = BinaryQuantizer(vectors)
    encoder = try MapStack(view["encoder"], inputs: 3, outputs: vectors.width, resize: .half)
    decoder = try MapStack(view["generator"], inputs: vectors.width, outputs: 3, resize: .double)
    logits = try MapStack.layers.convolution(
      view, "quantize.proj.0", inputs: vectors.width, outputs: vectors.rows, kernel: 1)
    side = try config.int("img_size", 256, in: 1...1024)
    guard encoder.resizes == decoder.resizes, encoder.resizes < 8, side % (1 << encoder.resizes) == 0 else {
      throw ModelError.configuration(
        file: checkpoint.name, key: view.full("encoder.blocks"),
        found: "\(encoder.resizes) halvings before and \(decoder.resizes) doublings behind the bits of \(side) pixels",
        expected: "as many of both, and whole cells")
    }
    cell = 1 << encoder.resizes
  }

  // MARK: Pictures

  public var codebookSize: Int { 1 << quantizer.bits }
  private var grid: Int { side / cell }

  public func lengths(for size: Size) -> TokenLengths { .fixed(grid * grid) }

  /// The centre square as ADM cuts it; samples in 0...1.
  public var processor: ImageProcessor {
    ImageProcessor(
      resize: .halvingToShortestEdge(side), filter: .bicubic, crop: Size(side), mean: [0, 0, 0], std: [1, 1, 1])
  }

  public func prepare(_ image: Image) -> Image { processor.prepare(image) }

  public func encode(_ image: Image, tokens: Int?, threads: Int) throws -> ImageTokens {
    _ = try length(tokens, for: Size(side))
    let map = encoded(processor(image), threads: threads).logits
    return ImageTokens(ids: BinaryQuantizer.ids(map.reshaped([map.rows, map.width])), size: Size(side))
  }

  public func decode(_ tokens: ImageTokens, seed: UInt64, threads: Int) throws -> Image {
    try check(tokens, size: Size(side))
    return Image(pixels: painted(quantizer(tokens.ids), threads: threads), rounding: .toNearestOrAwayFromZero)
  }

  public func embeddings(of tokens: ImageTokens) throws -> Tensor? {
    try check(tokens)
    return quantizer(tokens.ids)
  }

  // MARK: Tensors

  /// What the encoder makes of pixels `[3, height, width]` in 0...1, and the logits of bits: `[rows, columns, width]` and
  /// `[rows, columns, bits]`.
  package func encoded(_ pixels: Tensor, threads: Int = 1) -> (features: Tensor, logits: Tensor) {
    let memory = ConvolutionMemory()
    let features = encoder(channelsLast(pixels), memory, threads)
    return (features, logits(features, memory, threads: threads))
  }

  /// Pixels `[3, side, side]`, about 0...1, of the vectors of all cells in raster order.
  package func painted(_ vectors: Tensor, threads: Int = 1) -> Tensor {
    channelsFirst(decoder(vectors.reshaped([grid, grid, vectors.width]), ConvolutionMemory(), threads))
  }
}

/// A flat list of layers whose kinds show in their tensors, as taming-transformers' later offspring have them.
private struct MapStack: Sendable {
  private enum Layer: Sendable {
    case convolution(Convolution)
    /// Without an activation behind it.
    case norm(GroupNorm)
    case residual(ResidualBlock)
    case attention(MapAttention)
  }

  static let layers = MapLoader(groups: 32, shortcut: "conv_out")

  private let layers: [Layer]
  /// How often the size changes.
  let resizes: Int

  /// - Parameter resize: what a layer does that changes the size.
  init(_ checkpoint: Checkpoint, inputs: Int, outputs: Int, resize: Convolution.Size) throws {
    let loader = Self.layers
    let (list, count) = (checkpoint["blocks"], checkpoint.count("blocks"))
    var channels = inputs
    var resizes = 0
    layers = try (0..<count).map { index -> Layer in
      let view = list[index]
      if view.has("norm1.weight") {
        let block = try loader.residual(view, channels)
        channels = block.conv2.outputs
        return .residual(block)
      }
      if view.has("q.weight") {
        return .attention(
          try loader.attention(view, norm: "norm", qkv: ["q", "k", "v"], output: "proj_out", channels))
      }
      if view.has("conv.weight") {
        resizes += 1
        return .convolution(
          try loader.convolution(view, "conv", inputs: channels, outputs: channels, size: resize))
      }
      if list.shape("\(index).weight")?.count == 1 { return .norm(try loader.norm(list, "\(index)", channels)) }
      let convolution = try loader.convolution(
        list, "\(index)", inputs: channels, outputs: index == count - 1 ? outputs : nil)
      channels = convolution.outputs
      return .convolution(convolution)
    }
    self.resizes = resizes
    guard channels == outputs, case .convolution? = layers.last else {
      throw ModelError.configuration(
        file: checkpoint.name, key: checkpoint.full("blocks"), found: "\(channels) channels behind the last layer",
        expected: "a convolution to \(outputs)")
    }
  }

  func callAsFunction(_ x: Tensor, _ memory: ConvolutionMemory, _ threads: Int) -> Tensor {
    var x = x
    for layer in layers {
      switch layer {
      case .convolution(let convolution): x = convolution(x, memory, threads: threads)
      case .norm(let norm): x = norm(x, threads: threads)
      case .residual(let block): block(&x, memory, threads)
      case .attention(let attention): attention(&x, threads)
      }
    }
    return x
  }
}
