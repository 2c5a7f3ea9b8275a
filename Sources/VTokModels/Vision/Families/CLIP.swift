import VTokCore
import VTokImage
import VTokLibC
import VTokTensor
import VTokWeights

/// CLIP as Hugging Face publishes it: a vision tower, and in full checkpoints a text tower and two projections.
/// (transformers: `models/clip`; Radford et al. 2021, arXiv 2103.00020.)
public struct CLIP: Sendable {
  public let vision: VisionModel
  public let text: TextTower
  /// `[projection, width]`, no bias.
  let visualProjection: Linear
  let logitScale: Float

  static let family = VisionFamily(
    name: "clip", types: ["clip", "clip_vision_model"],
    summary: "Hugging Face CLIP, whole or vision tower alone", marks: ["vision_model.pre_layrnorm.weight"],
    needless: [
      .positions, Needless("text_model.*", "text_projection.weight", reason: "the text tower of a whole CLIP"),
      Needless("visual_projection.weight", "logit_scale", reason: "compare pictures with texts"),
    ],
    published: [
      published("clip-b-32", .base, patch: 32), published("clip-b-16", .base, patch: 16),
      published("clip-l-14", .large, patch: 14), published("clip-l-14-336", .large, patch: 14, side: 336),
    ], shape: { config, _ in try shape(config.visionPart()) }, load: loadVision)

  private static func published(_ name: String, _ size: TransformerSize, patch: Int, side: Int = 224) -> PublishedModel
  {
    PublishedModel(
      name, size.config(["model_type": "clip_vision_model", "patch_size": JSON(patch), "image_size": JSON(side)]))
  }

  /// - Parameters:
  ///   - featureBlock: the last block that is used; nil: all are.
  ///   - anySize: whether positions may be resized.
  static func shape(_ config: Config, featureBlock: Int? = nil, anySize: Bool = true) throws -> Shape.Tower {
    let (patch, side) = (try config.int("patch_size", 32), try config.int("image_size", 224))
    return try .checked(
      blocks: config.int("num_hidden_layers", 12), featureBlock: featureBlock, width: config.int("hidden_size", 768),
      heads: config.int("num_attention_heads", 12), ffn: config.int("intermediate_size", 3072), prefix: 1,
      rows: side / patch, columns: side / patch, patch: patch, anySize: anySize)
  }

  /// The vision tower; names with and without `vision_model.`.
  static func loadVision(_ checkpoint: Checkpoint) throws -> VisionModel {
    let config = try Config(json: checkpoint.config).visionPart()
    let view =
      checkpoint.has("vision_model.embeddings.class_embedding") ? checkpoint["vision_model"] : checkpoint
    // The grid is that of the file: configurations leave the image size out.
    let positions = (view.shape("embeddings.position_embedding.weight")?.first ?? 2) - 1
    let grid = Int(Double(positions).squareRoot().rounded())
    let tower = try tower(view, config, shape: shape(config).on(rows: grid, columns: grid))
    let width = tower.shape.width
    let norm: LayerNorm = try view.norm("post_layernorm", width, epsilon: config.float("layer_norm_eps", 1e-5))
    return VisionModel(
      family: family.name, tower: tower, head: .normedToken(norm), labels: nil,
      processor: try TowerProcessor.read(checkpoint.processorFile, standard: .clip))
  }

  /// The tower below `view`, without the norm of its pooled token.
  static func tower(_ view: Checkpoint, _ config: Config, shape: Shape.Tower) throws -> VisionTower {
    let (width, patch) = (shape.width, shape.patch)
    let epsilon = try config.float("layer_norm_eps", 1e-5)
    let blocks = try HuggingFaceBlocks.clip(
      view["encoder"]["layers"], count: shape.blocks, width: width, ffn: shape.ffn, heads: shape.heads,
      activation: try config.activation(.quickGELU), epsilon: epsilon)
    let table = try view.tensor("embeddings.position_embedding.weight", [shape.patches + 1, width])
    let cls = try view.vector("embeddings.class_embedding", [width])
    let grid = PositionGrid(
      table.gathered(Array(1..<table.rows)), rows: shape.rows, columns: shape.columns, kernel: .plain)
    let embedding = VisionTower.Embedding(
      patch: patch,
      projection: try view.patchProjection("embeddings.patch_embedding", width: width, patch: patch, bias: false),
      prefix: [(.classifier, zip(cls, table.row(0)).map(+))], positions: grid,
      norm: try view.norm("pre_layrnorm", width, epsilon: epsilon))  // the published misspelling
    return VisionTower(embedding: embedding, blocks: blocks, finalNorm: nil, shape: shape)
  }

  /// Both towers, for zero-shot classification.
  public static func load(_ checkpoint: Checkpoint) throws -> CLIP {
    let vision = try loadVision(checkpoint)
    let config = try Config(json: checkpoint.config).section("text_config")
    // Original OpenAI configs carry eos 2, which is not the id in their text: the end is then the largest id.
    let eos = try config.int("eos_token_id", 49407)
    let text = try TextTower(
      checkpoint["text_model"], config, causal: true, activation: .quickGELU, epsilon: 1e-5,
      end: eos == 2 ? .largestID : .firstID(eos),
      head: Linear(
        weight: try checkpoint.weight("text_projection.weight", [nil, config.int("hidden_size", 512)]).widened,
        bias: nil))
    let projection = try checkpoint.weight(
      "visual_projection.weight", [text.head.weight.rows, vision.tower.shape.width])
    let scale = try checkpoint.tensor("logit_scale", []).values[0]
    try checkpoint.refuseUnknown([.positions])
    return CLIP(
      vision: vision, text: text, visualProjection: Linear(weight: projection.widened, bias: nil), logitScale: scale)
  }

  /// L2-normalised image vector. Pixels `[3, height, width]`.
  public func embed(_ pixels: Tensor, threads: Int = 1) -> [Float] { project(vision(pixels, threads: threads).pooled) }

  /// The pooled vector of a (possibly compressed) run, projected and normalised.
  public func project(_ pooled: [Float]) -> [Float] {
    normalised(visualProjection(Tensor(pooled, shape: [1, pooled.count])).values)
  }

  /// L2-normalised text vector of one padded sequence.
  public func embed(_ ids: [Int]) -> [Float] { normalised(text(ids).projected) }

  /// One vector per class: the normalised mean of its prompts' vectors.
  public func embed(prompts: [[Int]]) -> [Float] {
    let vectors = prompts.map(embed)
    return normalised(vectors[0].indices.map { i in vectors.reduce(0) { $0 + $1[i] } / Float(vectors.count) })
  }

  /// `exp(logit_scale) u · v` for every class vector.
  public func logits(image: [Float], classes: [[Float]]) -> [Float] {
    classes.map { v in expf(logitScale) * zip(image, v).reduce(0) { $0 + $1.0 * $1.1 } }
  }
}
