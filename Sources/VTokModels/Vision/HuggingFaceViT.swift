import VTokCore
import VTokImage
import VTokTensor
import VTokWeights

/// ViT and DeiT as Hugging Face publishes them (transformers: `models/vit`, `models/deit`). Layer norm epsilon 1e-12.
enum HuggingFaceViT {
  static func load(_ checkpoint: Checkpoint) throws -> VisionModel {
    let config = Config(json: checkpoint.config)
    let found = ["vit", "deit"].first { checkpoint.has("\($0).embeddings.cls_token") }
    let view = found.map { checkpoint[$0] } ?? checkpoint
    let width = try config.int("hidden_size", 768)
    let ffn = try config.int("intermediate_size", 3072)
    let heads = try config.int("num_attention_heads", 12)
    let patch = try config.int("patch_size", 16)
    let epsilon = try config.float("layer_norm_eps", 1e-12)
    let activation = try config.activation(.gelu)
    let count = try config.int("num_hidden_layers", 12)
    let hasBiases = try config.bool("qkv_bias", true)
    try requireHeads(heads, width: width, blocks: count)

    let blocks = try (0..<count).map { index in
      let layer = view["encoder"]["layer"][index]
      return TransformerBlock(
        heads: heads, norm1: try layer.norm("layernorm_before", width, epsilon: epsilon),
        qkv: try layer["attention"]["attention"].linear(
          stacking: ["query", "key", "value"], [width, width], bias: hasBiases),
        output: try layer.linear("attention.output.dense", [width, width]), scale1: nil,
        norm2: try layer.norm("layernorm_after", width, epsilon: epsilon),
        up: try layer.linear("intermediate.dense", [ffn, width]), down: try layer.linear("output.dense", [width, ffn]),
        mlp: .plain(activation), scale2: nil)
    }

    let positions = try view.tensor("embeddings.position_embeddings", [1, nil, width])
    var prefix: [(kind: TokenKind, row: [Float])] = []
    let type = try config.string("model_type")
    let isDistilled = type.map { $0 == "deit" } ?? view.has("embeddings.distillation_token")
    for name in isDistilled ? ["cls_token", "distillation_token"] : ["cls_token"] {
      let token = try view.tensor("embeddings.\(name)", [1, 1, width]).values
      prefix.append((.classifier, zip(token, positions.row(prefix.count)).map(+)))
    }
    let grid = try PositionGrid.square(
      positions.gathered(Array(prefix.count..<positions.rows)), kernel: .plain, name: "embeddings.position_embeddings")
    let embedding = VisionTower.Embedding(
      patch: patch,
      projection: try view.patchProjection("embeddings.patch_embeddings.projection", width: width, patch: patch),
      prefix: prefix, positions: grid, norm: nil)

    let head: VisionModel.Head
    if checkpoint.has("distillation_classifier.weight") {
      head = .distilled(
        try checkpoint.linear("cls_classifier", [nil, width], bias: nil),
        try checkpoint.linear("distillation_classifier", [nil, width], bias: nil))
    } else {
      head = .token(
        checkpoint.has("classifier.weight") ? try checkpoint.linear("classifier", [nil, width], bias: nil) : nil)
    }
    let macs = head.macs
    let shape = Shape.Tower(
      blocks: count, width: width, heads: heads, ffn: ffn, prefix: prefix.count, hasClassifier: !prefix.isEmpty,
      rows: grid.rows, columns: grid.columns, patch: patch, headMACs: macs.constant, headMACsPerToken: macs.perToken)
    let side = grid.rows * patch
    let fallback = ImageProcessor(
      resize: .exact(width: side, height: side), filter: .bilinear, crop: nil, cropRounding: .floor,
      mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5])
    return VisionModel(
      family: type ?? "vit",
      tower: VisionTower(
        embedding: embedding, blocks: blocks, finalNorm: try view.norm("layernorm", width, epsilon: epsilon),
        shape: shape), head: head, labels: try head.classes.flatMap { try config.labels($0) },
      processor: try .huggingFace(checkpoint, fallback: fallback, bareSizeIsSquare: true))
  }
}
