import CVTokKernels
import VTokImage
import VTokLibC
import VTokModels
import VTokTensor
import VTokWeights

/// One-D-Piece (arXiv 2501.10064, `turingmotors/One-D-Piece`) and TiTok (arXiv 2406.07550, `bytedance/1d-tokenizer`):
/// latent tokens of a vision transformer, each the id of its nearest code, and a second transformer that paints from
/// them. One-D-Piece was trained with its tail dropped at random, so any prefix is a picture; TiTok has one length.
///
/// Sizes come from the tensors; `config.json`, which One-D-Piece publishes none of, is asked for little.
public struct OneDPiece: PaintingTokenizer {
  public let name: String
  /// From pictures of any size to the square that the model sees, samples in 0...1. The official evaluation shrinks by
  /// bicubic interpolation, the demonstration script by bilinear.
  public var processor: ImageProcessor
  let encoder: LatentTransformer, decoder: LatentTransformer
  private let patch: Int
  /// Of the picture that is painted; the model may see it at another size.
  private let side: Int
  private let hasPrefixes: Bool
  private let isLegacy: Bool
  private let embedding: Linear  // of patches
  private let latentTokens: Tensor
  private let toCode: Linear, fromCode: Linear
  package let quantizer: VectorQuantizer
  private let maskToken: [Float]
  private let head: Head

  /// From cells to pixels.
  private enum Head: Sendable {
    /// Probabilities of the codes of another tokenizer, whose decoder paints their mean: `[codes, width]`.
    case codes(hidden: Linear, logits: Linear, codebook: Tensor, decoder: MaskGITDecoder)
    /// Pixels, one patch a cell, and a 3x3 convolution over them.
    case pixels(Linear, Convolution)

    /// Pixels across one cell.
    var patch: Int {
      switch self {
      case .codes(_, _, _, let decoder): decoder.scale
      case .pixels(let linear, _): Int(Double(linear.weight.rows / 3).squareRoot().rounded())
      }
    }
  }

  static func matches(_ checkpoint: Checkpoint) -> Bool {
    checkpoint.has("latent_tokens") && checkpoint.has("encoder.latent_token_positional_embedding")
  }

  /// - Parameter heads: of encoder and decoder; nil: one for every 64 channels, as in all published sizes.
  /// - Throws: `ModelError`, `WeightError`.
  package init(_ checkpoint: Checkpoint, heads: (encoder: Int, decoder: Int)? = nil) throws {
    let model = try Config(json: checkpoint.config).section("model")
    let settings = try model.section("vq_model")
    if let mode = try settings.string("quantize_mode"), mode != "vq" {
      throw settings.unfit("quantize_mode", "'vq': others have no token ids")
    }
    latentTokens = try checkpoint.tensor("latent_tokens", [nil, nil])
    let latents = latentTokens.rows
    encoder = try LatentTransformer(checkpoint["encoder"], latents: latents, heads: heads?.encoder)
    decoder = try LatentTransformer(checkpoint["decoder"], latents: latents, heads: heads?.decoder)
    let kernel = try checkpoint["encoder"].shape("patch_embed.weight", rank: 4)
    patch = kernel[3]
    embedding = try checkpoint["encoder"].patchProjection("patch_embed", width: encoder.width, patch: patch)
    guard let rows = encoder.gridSide, let painted = decoder.gridSide, patch > 0 else {
      throw ModelError.configuration(
        file: checkpoint.name, key: "positional_embedding",
        found: "\(encoder.cells) cells in the encoder, \(decoder.cells) in the decoder, patches of \(patch)",
        expected: "square grids")
    }
    processor = ImageProcessor(
      resize: .shortestEdge(rows * patch), filter: .bicubic, crop: Size(rows * patch), cropRounding: .halfEven,
      mean: [0, 0, 0], std: [1, 1, 1])

    isLegacy = checkpoint.has("decoder.ffn.2.weight")
    // Without a configuration: legacy models normalise, and the only one of them with 256 tokens is One-D-Piece.
    let isNormalised = try settings.bool("use_l2_norm", isLegacy)
    quantizer = VectorQuantizer(
      try checkpoint.tensor("quantize.embedding.weight", [nil, nil]), isNormalised: isNormalised)
    let isUnnamed = checkpoint.config["model"] == nil && isLegacy && latents == 256
    let isOneDPiece = try isUnnamed || model.string("type") == "one_d_piece"
    let isStrict = try settings.bool("strict_length_assertion", false)
    hasPrefixes = isOneDPiece && !isStrict
    name = isOneDPiece ? "one-d-piece" : "titok"
    let width = quantizer.codes.width
    toCode = try checkpoint.pointwise("encoder.conv_out", inputs: encoder.width, outputs: width)
    fromCode = try checkpoint["decoder"].linear("decoder_embed", [decoder.width, width])
    maskToken = try checkpoint.tensor("decoder.mask_token", [1, 1, decoder.width]).values
    head = try Self.head(checkpoint, width: decoder.width, isLegacy: isLegacy)
    side = painted * head.patch
  }

  private static func head(_ checkpoint: Checkpoint, width: Int, isLegacy: Bool) throws -> Head {
    if isLegacy {
      let hidden = try checkpoint.pointwise("decoder.ffn.0", inputs: width)
      let decoder = try MaskGITDecoder(checkpoint["pixel_decoder"])
      let codebook = try checkpoint.tensor("pixel_quantize.embedding.weight", [nil, decoder.codeWidth])
      let logits = try checkpoint.pointwise("decoder.ffn.2", inputs: hidden.weight.rows, outputs: codebook.rows)
      return .codes(hidden: hidden, logits: logits, codebook: codebook, decoder: decoder)
    }
    let pixels = try checkpoint.pointwise("decoder.ffn.0", inputs: width)
    let patch = Int(Double(pixels.weight.rows / 3).squareRoot().rounded())
    guard patch > 0, pixels.weight.rows == 3 * patch * patch else {
      throw ModelError.configuration(
        file: checkpoint.name, key: "decoder.ffn.0", found: "\(pixels.weight.rows) numbers a cell",
        expected: "those of the pixels of a square patch")
    }
    let kernel = try checkpoint.tensor("decoder.conv_out.weight", [3, 3, 3, 3])
    return .pixels(
      pixels,
      Convolution(kernel, bias: try checkpoint.vector("decoder.conv_out.bias", [3])))
  }

  // MARK: ImageTokenizer

  public var codebookSize: Int { quantizer.codes.rows }

  public func lengths(for size: Size) -> TokenLengths {
    hasPrefixes ? .prefixes(latentTokens.rows) : .fixed(latentTokens.rows)
  }

  public func prepare(_ image: Image) -> Image {
    var processor = processor
    (processor.resize, processor.crop) = (.shortestEdge(side), Size(side))
    return processor.prepare(image)
  }

  public func encode(_ image: Image, tokens: Int?, threads: Int) throws -> ImageTokens {
    let count = try length(tokens, for: Size(side))
    // All latents, whatever is asked: they look at each other, and the legacy layout mixes them.
    let ids = quantizer(latents(encoded(processor(image), threads: threads)))
    return ImageTokens(ids: Array(ids.prefix(count)), size: Size(side))
  }

  public func decode(_ tokens: ImageTokens, seed: UInt64, threads: Int) throws -> Image {
    try check(tokens, size: Size(side))
    let map = painted(cells(tokens.ids, threads: threads), threads: threads)
    return Image(pixels: map.transposed.reshaped([3, side, side]))
  }

  public func embeddings(of tokens: ImageTokens) throws -> Tensor? {
    try check(tokens)
    return quantizer.codes.gathered(tokens.ids)
  }

  // MARK: Steps

  /// Latent tokens after the last norm. Pixels `[3, side, side]` in 0...1; result `[latents, width]`.
  package func encoded(_ pixels: Tensor, threads: Int = 1) -> Tensor {
    let grid = embedding(pixels.patches(patch), threads: threads)
    let all = encoder(grid: grid, latents: latentTokens, threads: threads)
    return encoder.postNorm(all.gathered(Array(1 + encoder.cells..<all.rows)))
  }

  /// Vectors that are quantised, `[latents, dimensions]`.
  package func latents(_ encoded: Tensor) -> Tensor {
    guard isLegacy else { return toCode(encoded) }
    // The first TiTok code reinterpreted [latents, width] as [width, latents] where it meant to transpose; its weights,
    // and One-D-Piece's, learned with it. Token j is element j of every such row.
    return toCode(encoded.reshaped([encoded.width, encoded.rows]).transposed)
  }

  /// Cells of the grid after the last norm, painted from the first tokens. `[cells, width]`
  public func cells(_ ids: [Int], threads: Int = 1) -> Tensor {
    let latents = fromCode(quantizer.codes.gathered(ids), threads: threads)
    let grid = Tensor(
      [[Float]](repeating: maskToken, count: decoder.cells).flatMap { $0 }, shape: [decoder.cells, decoder.width])
    let all = decoder(grid: grid, latents: latents, threads: threads)
    return decoder.postNorm(all.gathered(Array(1..<1 + decoder.cells)))
  }

  /// Logits of the pixel decoder's codes, `[cells, codes]`; nil for models without one.
  package func logits(_ cells: Tensor, threads: Int = 1) -> Tensor? {
    guard case .codes(let hidden, let logits, _, _) = head else { return nil }
    var inner = hidden(cells, threads: threads)
    for index in inner.values.indices { inner.values[index] = tanh(inner.values[index]) }
    return logits(inner, threads: threads)
  }

  /// Mean codes by their probabilities, as the pixel decoder takes them: `[rows, columns, width]`.
  package func mixture(_ logits: Tensor) -> Tensor? {
    guard case .codes(_, _, let codebook, _) = head else { return nil }
    var shares = logits
    vtok_softmax_rows(&shares.values, shares.rows, shares.width, shares.width, nil)
    let grid = side / head.patch
    return Tensor(shape: [grid, grid, codebook.width]) { out in
      let panel = Scratch(vtok_matrix.panels)
      codebook.values.withUnsafeBufferPointer { codes in
        let codes = vtok_matrix(columns: codes.baseAddress!, depth: codebook.rows, stride: codebook.width)
        vtok_product(
          shares.values, shares.rows, shares.width, codes, 0, codebook.width, 0, out, codebook.width, panel.pointer)
      }
    }
  }

  /// RGB `[side, side, 3]`, about 0...1.
  public func painted(_ cells: Tensor, threads: Int = 1) -> Tensor {
    switch head {
    case .codes(_, _, _, let decoder): return decoder(mixture(logits(cells, threads: threads)!)!, threads: threads)
    case .pixels(let linear, let output):
      let (patch, side) = (head.patch, side)
      let flat = linear(cells, threads: threads)  // a cell is its pixels, row by row, three channels each
      let map = Tensor(shape: [side, side, 3]) { out in
        for row in 0..<side {
          for cell in 0..<side / patch {
            let from = (row / patch * (side / patch) + cell) * flat.width + row % patch * patch * 3
            for index in 0..<3 * patch { out[(row * side + cell * patch) * 3 + index] = flat.values[from + index] }
          }
        }
      }
      return output(map, ConvolutionMemory(), threads: threads)
    }
  }
}
