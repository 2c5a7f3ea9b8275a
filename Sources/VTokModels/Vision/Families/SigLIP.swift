import VTokCore
import VTokImage
import VTokLibC
import VTokTensor
import VTokWeights

/// SigLIP, and SigLIP 2 of either kind, as Hugging Face publishes it: no class token, an attention-pooling head, sigmoid zero-shot scores.
/// (transformers: `models/siglip`; Zhai et al. 2023, arXiv 2303.15343.)
public struct SigLIP: Sendable {
  public let vision: VisionModel
  public let text: TextTower
  let logitScale: Float, logitBias: Float

  static let family = VisionFamily(
    name: "siglip", types: ["siglip", "siglip_vision_model"],
    summary: "Hugging Face SigLIP and SigLIP 2 of fixed resolution, whole or vision tower alone",
    marks: ["vision_model.head.probe", "head.probe"],
    needless: [
      .positions, Needless("text_model.*", reason: "the text tower of a whole SigLIP"),
      Needless("logit_scale", "logit_bias", reason: "compare pictures with texts"),
      Needless("vision_model.head.*", "head.*", reason: "the pooling head where vision_use_head is false"),
    ],
    published: [
      published("siglip-b-16", .base, patch: 16, side: 224), published("siglip-l-16-384", .large, patch: 16, side: 384),
      published("siglip-so400m-14-384", .so400m, patch: 14, side: 384),
    ], shape: { config, _ in try shape(config.visionPart()) }, load: loadVision)

  private static func published(_ name: String, _ size: TransformerSize, patch: Int, side: Int) -> PublishedModel {
    PublishedModel(
      name, size.config(["model_type": "siglip_vision_model", "patch_size": JSON(patch), "image_size": JSON(side)]))
  }

  private static func shape(_ config: Config) throws -> Shape.Tower {
    let (patch, side) = (try config.int("patch_size", 16), try config.int("image_size", 224))
    return try shape(config, rows: side / patch, columns: side / patch)
  }

  /// With the pooling head, on another grid than that of the file's image size.
  static func shape(_ config: Config, rows: Int, columns: Int) throws -> Shape.Tower {
    var tower = try shape(config, featureBlock: nil, anySize: true).on(rows: rows, columns: columns)
    if try config.bool("vision_use_head", true) {
      (tower.headMACs, tower.headMACsPerToken) = AttentionPool.macs(width: tower.width, ffn: tower.ffn)
    }
    return tower
  }

  /// The vision tower; names with and without `vision_model.`.
  static func vision(_ checkpoint: Checkpoint) -> Checkpoint {
    checkpoint.has("vision_model.embeddings.patch_embedding.weight") ? checkpoint["vision_model"] : checkpoint
  }

  private static func loadVision(_ checkpoint: Checkpoint) throws -> VisionModel {
    let config = try Config(json: checkpoint.config).visionPart()
    let view = vision(checkpoint)
    let named = try shape(config)
    let (width, patch) = (named.width, named.patch)
    // The grid is that of the file.
    let grid = try PositionGrid.square(
      try view.tensor("embeddings.position_embedding.weight", [nil, named.width]), kernel: .plain,
      name: "embeddings.position_embedding.weight")
    let embedding = VisionTower.Embedding(
      patch: patch, projection: try view.patchProjection("embeddings.patch_embedding", width: width, patch: patch),
      prefix: [], positions: grid, norm: nil)
    return try model(
      view, config, named.on(rows: grid.rows, columns: grid.columns), embedding, family: family.name,
      processor: TowerProcessor.read(checkpoint.processorFile, standard: .siglip))
  }

  /// Blocks, norm and pooling head behind an embedding.
  static func model(
    _ view: Checkpoint, _ config: Config, _ shape: Shape.Tower, _ embedding: VisionTower.Embedding, family: String,
    processor: ImageProcessor?
  ) throws -> VisionModel {
    let tower = try tower(view, config, shape: shape, embedding: embedding, isNormed: true)
    let pool =
      try config.bool("vision_use_head", true)
      ? try AttentionPool(
        view["head"], width: shape.width, ffn: shape.ffn, heads: shape.heads,
        activation: try config.activation(.geluTanh), epsilon: try config.float("layer_norm_eps", 1e-6))
      : nil
    return VisionModel(
      family: family, tower: tower, head: pool.map { .attention($0) } ?? .mean(nil, nil), labels: nil,
      processor: processor)
  }

  /// Both towers, for zero-shot classification. The text is always padded to the tower's full length.
  public static func load(_ checkpoint: Checkpoint) throws -> SigLIP {
    let vision = try VisionFamily.of(checkpoint.config).load(checkpoint)
    let view = checkpoint["text_model"]
    let config = try Config(json: checkpoint.config).section("text_config")
    let text = try TextTower(
      view, config, causal: false, activation: .geluTanh, epsilon: 1e-6, end: .lastPosition,
      head: view.linear("head", [vision.tower.shape.width, config.int("hidden_size", 768)]))
    let (scale, bias) = (try checkpoint.tensor("logit_scale", [1]), try checkpoint.tensor("logit_bias", [1]))
    try checkpoint.refuseUnknown([.positions])
    return SigLIP(vision: vision, text: text, logitScale: scale.values[0], logitBias: bias.values[0])
  }

  /// L2-normalised image vector. Pixels `[3, height, width]`.
  public func embed(_ pixels: Tensor, threads: Int = 1) -> [Float] {
    normalised(vision(pixels, threads: threads).pooled)
  }
  /// L2-normalised text vector of one padded sequence.
  public func embed(_ ids: [Int]) -> [Float] { normalised(text(ids).projected) }

  /// The probability that a logit stands for.
  public static func probability(_ logit: Float) -> Float { 1 / (1 + expf(-logit)) }

  /// `exp(logit_scale) u · v + logit_bias` for every text.
  public func logits(image: [Float], texts: [[Float]]) -> [Float] {
    texts.map { v in expf(logitScale) * zip(image, v).reduce(0) { $0 + $1.0 * $1.1 } + logitBias }
  }
}
