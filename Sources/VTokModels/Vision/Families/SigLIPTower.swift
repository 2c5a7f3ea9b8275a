import VTokCore
import VTokTensor
import VTokWeights

/// SigLIP's tower as vision-language models have it, without the pooling head.
extension SigLIP {
  /// - Parameters:
  ///   - featureBlock: the last block that is used; nil: all are.
  ///   - fuse: patches that a connector joins into one token.
  ///   - anySize: whether positions may be resized.
  static func shape(
    _ config: Config, featureBlock: Int?, fuse: Int = 1, anySize: Bool = false
  ) throws -> Shape.Tower {
    let (patch, side) = (try config.int("patch_size", 16), try config.int("image_size", 224))
    return try .checked(
      blocks: config.int("num_hidden_layers", 12), featureBlock: featureBlock, width: config.int("hidden_size", 768),
      heads: config.int("num_attention_heads", 12), ffn: config.int("intermediate_size", 3072), prefix: 0,
      rows: side / patch, columns: side / patch, patch: patch, fuse: fuse, anySize: anySize)
  }

  /// The tower below `view`.
  /// - Parameters:
  ///   - positions: nil: one for every patch of the shape's grid.
  ///   - isNormed: whether the norm behind the last block is used.
  static func tower(
    _ view: Checkpoint, _ config: Config, shape: Shape.Tower, positions: PositionGrid? = nil, isNormed: Bool
  ) throws -> VisionTower {
    let width = shape.width
    let grid =
      try positions
      ?? PositionGrid(
        view.tensor("embeddings.position_embedding.weight", [shape.patches, width]), rows: shape.rows,
        columns: shape.columns, kernel: .plain)
    let embedding = VisionTower.Embedding(
      patch: shape.patch,
      projection: try view.patchProjection("embeddings.patch_embedding", width: width, patch: shape.patch),
      prefix: [], positions: grid, norm: nil)
    return try tower(view, config, shape: shape, embedding: embedding, isNormed: isNormed)
  }

  /// Blocks and norm behind an embedding.
  static func tower(
    _ view: Checkpoint, _ config: Config, shape: Shape.Tower, embedding: VisionTower.Embedding, isNormed: Bool
  ) throws -> VisionTower {
    let width = shape.width
    let epsilon = try config.float("layer_norm_eps", 1e-6)
    let blocks = try HuggingFaceBlocks.clip(
      view["encoder"]["layers"], count: shape.blocks, width: width, ffn: shape.ffn, heads: shape.heads,
      activation: try config.activation(.geluTanh), epsilon: epsilon)
    return VisionTower(
      embedding: embedding, blocks: blocks,
      finalNorm: isNormed ? try view.norm("post_layernorm", width, epsilon: epsilon) : nil, shape: shape)
  }
}
