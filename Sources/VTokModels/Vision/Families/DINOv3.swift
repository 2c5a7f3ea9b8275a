import VTokCore
import VTokImage
import VTokTensor
import VTokWeights

/// DINOv3 as Hugging Face publishes it: class and register tokens, positions turned into queries and keys, any image size.
/// (transformers 5.24: `models/dinov3_vit`; Siméoni et al. 2025, arXiv 2508.10104.)
enum DINOv3 {
  static let family = VisionFamily(
    name: "dinov3", types: ["dinov3_vit"], summary: "Hugging Face DINOv3 (ViT), gated and plain",
    marks: ["layer.0.attention.q_proj.weight", "model.layer.0.attention.q_proj.weight"], needless: [.mask],
    published: [
      published("dinov3-vits16", .small), published("dinov3-vits16plus", .small, isGated: true),
      published("dinov3-vitb16", .base), published("dinov3-vitl16", .large),
      published("dinov3-vith16plus", TransformerSize(layers: 32, width: 1280, heads: 20, ffn: 5120), isGated: true),
      published("dinov3-vit7b16", TransformerSize(layers: 40, width: 4096, heads: 32, ffn: 8192), isGated: true),
    ], sizes: .dinov3,
    shape: { config, size in
      guard let size else { throw ModelError.noProcessor(model: try config.string("model_type") ?? "dinov3") }
      return try shape(config, size)
    }, load: load)

  private static func published(_ name: String, _ size: TransformerSize, isGated: Bool = false) -> PublishedModel {
    let config = size.config([
      "model_type": "dinov3_vit", "num_register_tokens": 4, "use_gated_mlp": JSON(isGated),
      "hidden_act": isGated ? "silu" : "gelu",
    ])
    return PublishedModel(name, config, processor: ["size": ["height": 224, "width": 224]])
  }

  private static func shape(_ config: Config, _ size: Size) throws -> Shape.Tower {
    let (width, patch) = (try config.int("hidden_size", 384), try config.int("patch_size", 16))
    let heads = try config.int("num_attention_heads", 6)
    guard width % heads == 0, width / heads % 4 == 0 else {
      throw config.unfit("num_attention_heads", "a number that splits the width \(width) into heads of a multiple of 4")
    }
    return try .checked(
      blocks: config.int("num_hidden_layers", 12), width: width, heads: heads,
      ffn: config.int("intermediate_size", 1536), ffnMatrices: config.bool("use_gated_mlp", false) ? 3 : 2,
      prefix: 1 + config.int("num_register_tokens", 0), rows: size.height / patch, columns: size.width / patch,
      patch: patch)
  }

  private static func load(_ checkpoint: Checkpoint) throws -> VisionModel {
    let config = Config(json: checkpoint.config)
    let processor = try TowerProcessor.read(checkpoint.processorFile, standard: .dinov3)
    let shape = try shape(config, processor?.usualSize ?? Size(config.int("image_size", 224)))
    let (width, epsilon) = (shape.width, try config.float("layer_norm_eps", 1e-5))
    // Names of files, and those in memory, which older code wrote.
    let layers = checkpoint.count("layer") > 0 ? checkpoint["layer"] : checkpoint["model"]["layer"]
    let blocks = try (0..<shape.blocks).map { try block(layers[$0], config, shape, epsilon: epsilon) }
    try requireEqual(blocks)
    var prefix: [(kind: TokenKind, row: [Float])] = [
      (.classifier, try checkpoint.tensor("embeddings.cls_token", [1, 1, width]).values)
    ]
    if shape.prefix > 1 {
      let registers = try checkpoint.tensor("embeddings.register_tokens", [1, shape.prefix - 1, width])
      for index in 0..<registers.rows { prefix.append((.register, Array(registers.row(index)))) }
    }
    let embedding = VisionTower.Embedding(
      patch: shape.patch,
      projection: try checkpoint.patchProjection("embeddings.patch_embeddings", width: width, patch: shape.patch),
      prefix: prefix, positions: nil, norm: nil)
    var tower = VisionTower(
      embedding: embedding, blocks: blocks, finalNorm: try checkpoint.norm("norm", width, epsilon: epsilon),
      shape: shape)
    tower.rotary = TowerRotary(.centred, theta: try config.double("rope_theta", 100), headDim: shape.headDim)
    return VisionModel(family: family.name, tower: tower, head: .token(nil), labels: nil, processor: processor)
  }

  private static func block(
    _ layer: Checkpoint, _ config: Config, _ shape: Shape.Tower, epsilon: Float
  ) throws -> TransformerBlock {
    let (width, ffn, isGated) = (shape.width, shape.ffn, shape.ffnMatrices == 3)
    let activation = try config.activation(.gelu)
    guard !isGated || activation == .silu else { throw config.unfit("hidden_act", "silu where use_gated_mlp is true") }
    let (mlp, hasBias) = (layer["mlp"], try config.bool("mlp_bias", true))
    return TransformerBlock(
      heads: shape.heads, norm1: try layer.norm("norm1", width, epsilon: epsilon),
      qkv: try layer["attention"].linear(
        stacking: [
          "q_proj": config.bool("query_bias", true), "k_proj": config.bool("key_bias", false),
          "v_proj": config.bool("value_bias", true),
        ], [width, width]),
      output: try layer.linear("attention.o_proj", [width, width], bias: config.bool("proj_bias", true)),
      scale1: try layer.vector("layer_scale1.lambda1", [width]),
      norm2: try layer.norm("norm2", width, epsilon: epsilon),
      up: try isGated
        ? mlp.linear(stacking: ["gate_proj", "up_proj"], [ffn, width], bias: hasBias)
        : mlp.linear("up_proj", [ffn, width], bias: hasBias),
      down: try mlp.linear("down_proj", [width, ffn], bias: hasBias), mlp: isGated ? .gated : .plain(activation),
      scale2: try layer.vector("layer_scale2.lambda1", [width]))
  }
}
