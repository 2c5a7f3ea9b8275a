import VTokCore
import VTokImage
import VTokTensor
import VTokWeights

/// ViT and DeiT as Hugging Face publishes them (transformers: `models/vit`, `models/deit`). Layer norm epsilon 1e-12.
enum HuggingFaceViT {
  static let family = VisionFamily(
    name: "vit", types: ["vit", distilled], summary: "Hugging Face ViT and DeiT",
    marks: ["vit.", "deit.", ""].map { $0 + "encoder.layer.0.layernorm_before.weight" },
    needless: [
      .mask, Needless("*pooler.dense.*", reason: "a head that no published classifier uses"),
      Needless("decoder.*", reason: "paints hidden patches in pre-training"),
    ], published: [], shape: { config, _ in try shape(config) }, load: load)

  /// The type whose models have a distillation token.
  private static let distilled = "deit"

  private static func shape(_ config: Config, hasDistillation: Bool = false) throws -> Shape.Tower {
    let (patch, side) = (try config.int("patch_size", 16), try config.int("image_size", 224))
    let width = try config.int("hidden_size", 768)
    let heads = config.isArchitecture("WithTeacher") ? 2 : 1
    let isDistilled = try config.string("model_type").map { $0 == distilled } ?? hasDistillation
    return try .checked(
      blocks: config.int("num_hidden_layers", 12), width: width, heads: config.int("num_attention_heads", 12),
      ffn: config.int("intermediate_size", 3072), prefix: isDistilled ? 2 : 1,
      rows: side / patch, columns: side / patch, patch: patch, headMACs: (heads * width * config.classes(), 0))
  }

  private static func load(_ checkpoint: Checkpoint) throws -> VisionModel {
    let config = Config(json: checkpoint.config)
    let found = ["vit", "deit"].first { checkpoint.has("\($0).embeddings.cls_token") }
    let view = found.map { checkpoint[$0] } ?? checkpoint
    let named = try Self.shape(config, hasDistillation: view.has("embeddings.distillation_token"))
    let (width, patch, epsilon) = (named.width, named.patch, try config.float("layer_norm_eps", 1e-12))
    let blocks = try blocks(view["encoder"]["layer"], config, named, epsilon: epsilon)

    let positions = try view.tensor("embeddings.position_embeddings", [1, nil, width])
    var prefix: [(kind: TokenKind, row: [Float])] = []
    for name in ["cls_token", "distillation_token"].prefix(named.prefix) {
      let token = try view.tensor("embeddings.\(name)", [1, 1, width]).values
      prefix.append((.classifier, zip(token, positions.row(prefix.count)).map(+)))
    }
    let grid = try PositionGrid.square(
      positions.gathered(Array(prefix.count..<positions.rows)), kernel: .plain, name: "embeddings.position_embeddings")
    let embedding = VisionTower.Embedding(
      patch: patch,
      projection: try view.patchProjection("embeddings.patch_embeddings.projection", width: width, patch: patch),
      prefix: prefix, positions: grid, norm: nil)

    let head = try head(checkpoint, width: width)
    var shape = named.on(rows: grid.rows, columns: grid.columns)
    (shape.headMACs, shape.headMACsPerToken) = head.macs
    let type = try config.string("model_type")
    return VisionModel(
      family: type ?? family.name,
      tower: VisionTower(
        embedding: embedding, blocks: blocks, finalNorm: try view.norm("layernorm", width, epsilon: epsilon),
        shape: shape), head: head, labels: try head.classes.flatMap { try config.labels($0) },
      processor: try TowerProcessor.read(checkpoint.processorFile, standard: type == distilled ? .deit : .vit))
  }

  private static func blocks(
    _ layers: Checkpoint, _ config: Config, _ shape: Shape.Tower, epsilon: Float
  ) throws -> [TransformerBlock] {
    let (width, ffn) = (shape.width, shape.ffn)
    let activation = try config.activation(.gelu)
    let hasBiases = try config.bool("qkv_bias", true)
    return try (0..<shape.blocks).map { index in
      let layer = layers[index]
      return TransformerBlock(
        heads: shape.heads, norm1: try layer.norm("layernorm_before", width, epsilon: epsilon),
        qkv: try layer["attention"]["attention"].linear(
          stacking: ["query", "key", "value"], [width, width], bias: hasBiases),
        output: try layer.linear("attention.output.dense", [width, width]), scale1: nil,
        norm2: try layer.norm("layernorm_after", width, epsilon: epsilon),
        up: try layer.linear("intermediate.dense", [ffn, width]), down: try layer.linear("output.dense", [width, ffn]),
        mlp: .plain(activation), scale2: nil)
    }
  }

  private static func head(_ checkpoint: Checkpoint, width: Int) throws -> VisionModel.Head {
    if checkpoint.has("distillation_classifier.weight") {
      return .distilled(
        try checkpoint.at(.f32).linear("cls_classifier", [nil, width]),
        try checkpoint.at(.f32).linear("distillation_classifier", [nil, width]))
    }
    return .token(
      checkpoint.has("classifier.weight") ? try checkpoint.at(.f32).linear("classifier", [nil, width]) : nil)
  }
}
