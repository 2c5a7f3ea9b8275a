import VTokImage
import VTokModels
import VTokTensor
import VTokWeights

/// GigaTok (arXiv 2504.08736; `SilentView/GigaTok`, class `VQVitModelPlus`): a convolutional encoder, 256 queries that begin as means
/// over finer and finer grids of its cells and look at them through a transformer, the id of the nearest of 16,384 codes for each;
/// and the way back through a second transformer, whose cells all begin as the first token.
///
/// Queries see each other without a mask, and no released model was trained on fewer: one length.
public struct GigaTok: PaintingTokenizer {
  static let layers = MapLoader(groups: 32, shortcut: "nin_shortcut")

  public let name = "gigatok"
  package let quantizer: VectorQuantizer
  private let cells: Pyramid
  private let encoder: QueryTransformer, decoder: QueryTransformer
  private let cellNorm: LayerNorm, tokenNorm: LayerNorm
  private let embedCells: Linear, embedTokens: Linear
  private let start: Linear
  private let toLatent: Linear, toCode: Linear, fromCode: Linear
  private let spatial: Convolution
  private let pixels: GigaTokPixels
  /// Cells along a side of the grid, pixels along a side of a picture.
  private let grid: Int, side: Int

  static func matches(_ checkpoint: Checkpoint) -> Bool {
    checkpoint.has("s2to1encoder.encoder_embed.weight") && checkpoint.has("s1to2decoder.decoder_embed.weight")
  }

  /// - Parameter heads: of encoder and decoder; nil: one for every 64 channels, as in all published sizes.
  /// - Throws: `ModelError`, `WeightError`.
  package init(_ checkpoint: Checkpoint, heads: (encoder: Int, decoder: Int)? = nil) throws {
    let settings = try GigaTokSettings(checkpoint)
    cells = try Self.pyramid(checkpoint["encoder"])
    let latent = cells.exit.outputs
    let (down, up) = (checkpoint["s2to1encoder"], checkpoint["s1to2decoder"])
    embedCells = try down.linear("encoder_embed", [nil, latent])
    embedTokens = try up.linear("decoder_embed", [nil, latent])
    let (cellTable, tokenTable) = ("positional_embedding", "latent_token_positional_embedding")
    encoder = try QueryTransformer(
      down, positions: (tokenTable, cellTable), width: embedCells.weight.rows, heads: heads?.encoder)
    decoder = try QueryTransformer(
      up, positions: (cellTable, tokenTable), width: embedTokens.weight.rows, heads: heads?.decoder)
    cellNorm = try down.norm("ln_pre", latent, epsilon: 1e-5)
    tokenNorm = try up.norm("ln_pre", latent, epsilon: 1e-5)
    start = try down.linear("global_proj", [encoder.width, encoder.width])
    toLatent = try down.pointwise("conv_out", inputs: encoder.width, outputs: latent)
    spatial = try Self.layers.convolution(up, "conv_out", inputs: decoder.width, outputs: latent)
    pixels = try GigaTokPixels(checkpoint["decoder"], inputs: latent)
    let codes = try checkpoint.tensor("quantize.embedding.weight", [nil, nil])
    quantizer = VectorQuantizer(codes, isNormalised: settings.isNormalised)
    toCode = try checkpoint.pointwise("quant_conv", inputs: latent, outputs: codes.width)
    fromCode = try checkpoint.pointwise("post_quant_conv", inputs: codes.width, outputs: latent)
    grid = Int(Double(decoder.positions.rows).squareRoot().rounded())
    side = grid << cells.doublings
    try requireShape(checkpoint)
  }

  private func requireShape(_ checkpoint: Checkpoint) throws(ModelError) {
    let count = encoder.positions.rows
    guard grid > 1, grid * grid == decoder.positions.rows, encoder.memoryPositions.rows == grid * grid,
      decoder.memoryPositions.rows == count, cells.doublings == pixels.doublings, cells.doublings < 8, side <= 4096
    else {
      throw .configuration(
        file: checkpoint.name, key: "positional_embedding",
        found: "\(encoder.memoryPositions.rows) cells and \(count) tokens in the encoder, "
          + "\(decoder.positions.rows) and \(decoder.memoryPositions.rows) in the decoder, "
          + "\(cells.doublings) and \(pixels.doublings) changes of size",
        expected: "the same square grid on both sides")
    }
    let windows = Self.windows(tokens: count)
    guard let windows, windows.allSatisfy({ grid % $0.down == 0 && grid % $0.across == 0 }) else {
      throw .configuration(
        file: checkpoint.name, key: "s2to1encoder.latent_token_positional_embedding", found: "\(count) tokens",
        expected: "a power of two whose grids divide the \(grid) x \(grid) cells")
    }
  }

  private static func pyramid(_ checkpoint: Checkpoint) throws -> Pyramid {
    let entry = try layers.convolution(checkpoint, "conv_in", inputs: 3)
    var channels = entry.outputs
    let count = checkpoint.count("conv_blocks")
    let levels = try (0..<count).map { index in
      let view = checkpoint["conv_blocks"][index]
      let blocks = try layers.residuals(view, "res", &channels)
      return Pyramid.Level(
        blocks: blocks,
        resize: index < count - 1
          ? try layers.convolution(view, "downsample.conv", inputs: channels, outputs: channels, size: .half) : nil)
    }
    let middle = checkpoint["mid"]
    return Pyramid(
      entry: entry, levels: levels,
      middle: (
        try layers.residual(middle[0], channels, outputs: channels), nil,
        try layers.residual(middle[1], channels, outputs: channels)
      ), middleIsFirst: false, norm: try layers.norm(checkpoint, "norm_out", channels),
      exit: try layers.convolution(checkpoint, "conv_out", inputs: channels))
  }

  // MARK: Pictures

  public var codebookSize: Int { quantizer.codes.rows }

  public func lengths(for size: Size) -> TokenLengths { .fixed(encoder.positions.rows) }

  /// The centre square as ADM cuts it; samples in -1...1.
  public var processor: ImageProcessor {
    ImageProcessor(resize: .halvingToShortestEdge(side), filter: .bicubic, crop: Size(side))
  }

  public func prepare(_ image: Image) -> Image { processor.prepare(image) }

  public func encode(_ image: Image, tokens: Int?, threads: Int) throws -> ImageTokens {
    _ = try length(tokens, for: Size(side))
    return ImageTokens(ids: quantizer(encoded(processor(image), threads: threads).vectors), size: Size(side))
  }

  public func decode(_ tokens: ImageTokens, seed: UInt64, threads: Int) throws -> Image {
    try check(tokens, size: Size(side))
    return Image(
      pixels: decoded(tokens.ids, threads: threads).pixels, range: -1...1, rounding: .toNearestOrAwayFromZero)
  }

  public func embeddings(of tokens: ImageTokens) throws -> Tensor? {
    try check(tokens)
    return quantizer.codes.gathered(tokens.ids)
  }

  // MARK: Tensors

  /// What becomes of pixels on their way to ids.
  package struct Encoded {
    /// `[rows, columns, latent]`
    package let cells: Tensor
    /// What the queries begin as, `[tokens, width]`; what they end as, `[tokens, latent]`; what is compared with codes.
    package let queries: Tensor, latents: Tensor, vectors: Tensor
  }

  /// - Parameter pixels: `[3, side, side]` in -1...1.
  package func encoded(_ pixels: Tensor, threads: Int = 1) -> Encoded {
    let map = cells(channelsLast(pixels), ConvolutionMemory(), threads)
    let rows = map.reshaped([map.rows, map.width])
    let memory = embedCells(cellNorm(rows), threads: threads)
    let queries = start(means(of: memory), threads: threads)
    let latents = toLatent(encoder(queries, memory: memory, threads: threads), threads: threads)
    return Encoded(cells: map, queries: queries, latents: latents, vectors: toCode(latents, threads: threads))
  }

  /// The map that cells become, `[rows, columns, latent]`, and pixels `[3, side, side]`, about -1...1.
  package func decoded(_ ids: [Int], threads: Int = 1) -> (map: Tensor, pixels: Tensor) {
    let memory = embedTokens(tokenNorm(fromCode(quantizer.codes.gathered(ids))), threads: threads)
    // The official code speaks of a mean here and takes the first row.
    let begin = memory.gathered([Int](repeating: 0, count: grid * grid))
    let painted = decoder(begin, memory: memory, threads: threads)
    let map = spatial(painted.reshaped([grid, grid, painted.width]), ConvolutionMemory(), threads: threads)
    return (map, channelsFirst(pixels(map, threads: threads)))
  }

  /// The grids whose cells queries begin as: 1, 1, 2, 4, ... windows, columns split before rows; nil where the tokens are no power
  /// of two.
  private static func windows(tokens: Int) -> [(down: Int, across: Int)]? {
    guard tokens > 0, tokens & (tokens - 1) == 0 else { return nil }
    return (0...tokens.trailingZeroBitCount).map { group in
      let level = max(group - 1, 0)
      return (down: 1 << (level / 2), across: 1 << ((level + 1) / 2))
    }
  }

  /// Means of the cells over the windows of every grid in raster order, one grid behind the other. `[tokens, width]`
  private func means(of cells: Tensor) -> Tensor {
    let rows = Self.windows(tokens: encoder.positions.rows)!.flatMap { windows -> [Float] in
      let (height, width) = (grid / windows.down, grid / windows.across)
      return (0..<windows.down * windows.across).flatMap { window -> [Float] in
        let (top, left) = (window / windows.across * height, window % windows.across * width)
        return cells.mean(of: (0..<height * width).map { (top + $0 / width) * grid + left + $0 % width })
      }
    }
    return Tensor(rows, shape: [encoder.positions.rows, cells.width])
  }
}

/// What a configuration says, where there is one: the `model` block of a YAML file of the repository as JSON.
private struct GigaTokSettings {
  let isNormalised: Bool

  /// Settings that all released models share, with their values.
  private static let shared: [(key: String, value: Bool)] = [
    ("multi_level_query_init", true), ("adaptive_gn", true), ("d2s_up", true), ("use_attn", false),
    ("use_rope", false), ("rope_1d", false), ("use_qk_norm", false), ("simvq", false), ("use_lfq", false),
    ("last_level_2d_query_init", false), ("multi_level_2d_query_init", false),
  ]
  /// Tensors of models that were never released, and what they belong to.
  private static let unreleased: [(part: String, what: String)] = [
    ("quantize.codebook_transform.", "a learned codebook"), ("s2to1encoder.query_1d", "learned queries"),
    ("s1to2decoder.q_2d", "learned cells"), (".attn.", "attention between convolutions"),
    ("self_attn.q_proj", "norms of queries and keys"), ("s2ddecoder.", "the ablation with two-dimensional tokens"),
  ]

  init(_ checkpoint: Checkpoint) throws {
    let config = try Config(json: checkpoint.config).section("model").section("init_args")
    isNormalised = try config.bool("codebook_l2_norm", true)
    for (key, value) in Self.shared where try config.bool(key, value) != value {
      throw config.unfit(key, "\(value), as in all released models")
    }
    for (key, value) in config.json.object ?? JSONObject() where value.bool == true {
      guard !["learnable_", "res_"].contains(where: key.hasPrefix) else {
        throw config.unfit(key, "false, as in all released models")
      }
    }
    let names = checkpoint.tensors.map(\.name)
    for (part, what) in Self.unreleased {
      if let name = names.first(where: { $0.contains(part) }) {
        throw ModelError.configuration(
          file: checkpoint.name, key: name, found: what, expected: "none, as in all released models")
      }
    }
  }
}

extension Checkpoint {
  /// A 1x1 convolution with bias as a matrix `[outputs, inputs]`.
  func pointwise(_ name: String, inputs: Int, outputs: Int? = nil) throws -> Linear {
    try linear(name, [outputs, inputs, 1, 1])
  }
}
