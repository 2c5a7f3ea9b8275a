import VTokCore
import VTokImage
import VTokTensor
import VTokWeights

/// Gemma 3: a SigLIP tower, squares of patches averaged into one token, a norm and a matrix; a language model in which the
/// rows of an image see each other and most layers see a window only. Every tile is a visual span of its own.
/// (transformers: `models/gemma3`; Gemma Team 2025, arXiv 2503.19786.)
struct Gemma3: VisualEncoder {
  let tower: VisionTower
  let connector: Connector

  /// The numbers from `config.json`.
  static func outline(_ config: Config, _ decoder: Shape.Decoder) throws -> MultimodalFamily.Outline {
    let vision = try config.section("vision_config")
    let (patch, width) = (try vision.int("patch_size", 16), try vision.int("hidden_size", 768))
    let side = try vision.int("image_size", 224) / patch
    let tokens = try config.int("mm_tokens_per_image", 256)
    let across = Int(Double(tokens).squareRoot())
    guard across * across == tokens, side >= across else {
      throw config.unfit("mm_tokens_per_image", "a square of at most the \(side) patches a side")
    }
    let edge = side / across
    let tower = try Shape.Tower.checked(
      blocks: vision.int("num_hidden_layers", 12), width: width, heads: vision.int("num_attention_heads", 12),
      ffn: vision.int("intermediate_size", 3072), prefix: 0, rows: side, columns: side, patch: patch,
      fuse: edge * edge, anySize: false)
    return MultimodalFamily.Outline(
      shape: Shape(
        tower: tower, decoder: decoder, layout: Shape.Layout(tiling: .cut, hasSpanPerTile: true),
        connectorMACs: width * decoder.width), geometry: Gemma3Geometry(tower: tower, across: across))
  }

  /// - Parameter checkpoint: with names as `NamePrefixes` gives them.
  init(_ checkpoint: Checkpoint, shape: Shape) throws {
    let (tower, view) = (shape.tower!, checkpoint["vision"])
    let config = try Config(json: checkpoint.config).section("vision_config")
    let (width, epsilon) = (tower.width, try config.float("layer_norm_eps", 1e-6))
    let blocks = try HuggingFaceBlocks.clip(
      view["encoder"]["layers"], count: tower.blocks, width: width, ffn: tower.ffn, heads: tower.heads,
      activation: try config.activation(.geluTanh), epsilon: epsilon)
    let table = try view.tensor("embeddings.position_embedding.weight", [tower.patches, width])
    let embedding = VisionTower.Embedding(
      patch: tower.patch,
      projection: try view.patchProjection("embeddings.patch_embedding", width: width, patch: tower.patch), prefix: [],
      positions: PositionGrid(table, rows: tower.rows, columns: tower.columns, kernel: .plain), norm: nil)
    self.tower = VisionTower(
      embedding: embedding, blocks: blocks, finalNorm: try view.norm("post_layernorm", width, epsilon: epsilon),
      shape: tower)
    let projector = checkpoint["projector"]
    let weight = try projector.vector("mm_soft_emb_norm.weight", [width])
    let isCentred = try Config(json: checkpoint.config).bool("centred_norms", true)  // not in GGUF files
    // Stored as it stands left of the matrix: x W.
    let matrix = try projector.tensor("mm_input_projection_weight", [width, shape.decoder!.width]).transposed
    connector = Connector(
      norm: .rms(RMSNorm(weight: isCentred ? weight.map { 1 + $0 } : weight, epsilon: epsilon)),
      first: Linear(weight: Weight(matrix).ready(forTower: checkpoint.precision), bias: nil))
  }

  func embed(_ image: PreparedImage, first: Int) -> [(tokens: TokenSequence, surroundings: WeightBlocks.Surroundings)] {
    image.tiles.enumerated().map { index, tile in
      (tower.embed(tile, first: first + index * tower.shape.patches), WeightBlocks.Surroundings())
    }
  }

  /// Squares are averaged first and normed after.
  func connect(_ tile: TokenSequence, joining groups: [[Int32]]?, question: Tensor?, threads: Int) -> TokenSequence {
    let pooled = groups.map { tile.reduced(Reduction(rows: $0, of: tile.count, blend: .byCount)) } ?? tile
    return connector(pooled, threads: threads)
  }
}

/// The whole image, then its crops; every one is a span.
struct Gemma3Geometry: VisualGeometry {
  package let tower: Shape.Tower
  /// Tokens along one edge of a tile.
  let across: Int

  package func check(_ image: PreparedImage) throws(ModelError) {
    try checkTiles(image)
    let crops = image.rows * image.columns
    guard image.tiles.count == 1 + crops else {
      throw .input(
        what: "image", found: "\(image.tiles.count) tiles", expected: "\(1 + crops), the whole image first",
        fix: "Prepare the image with the processor of this model.")
    }
  }

  package func layout(_ image: PreparedImage) -> ImageLayout {
    ImageLayout(
      tileRows: image.rows, tileColumns: image.columns, side: tower.rows, thumbnail: 0, width: image.original.width,
      height: image.original.height, spans: [])
  }

  package func spans(of image: PreparedImage) -> [Int] { image.tiles.map { _ in across * across } }

  /// A line break and `<start_of_image>` before a span, `<end_of_image>` and a line break behind it; where there are crops,
  /// six words before the whole image, eleven before the first crop and a blank before the others.
  package func markers(of image: PreparedImage) -> [Int] {
    guard image.tiles.count > 1 else { return [2, 2] }
    return [2 + 6, 4 + 11] + image.tiles.dropFirst(2).map { _ in 4 + 1 } + [2]
  }

  /// Squares row by row; rows and columns of patches that fill none are dropped.
  package func groups(of image: PreparedImage) -> [[Int32]]? {
    let (columns, edge) = (tower.columns, tower.columns / across)
    return (0..<across * across).map { cell in
      let (top, left) = (cell / across * edge, cell % across * edge)
      return (0..<edge * edge).map { Int32((top + $0 / edge) * columns + left + $0 % edge) }
    }
  }

  package func packing(_ tiles: [TokenSequence], of image: PreparedImage, first: Int) -> [Reduction] {
    perTile(tiles)
  }
}
