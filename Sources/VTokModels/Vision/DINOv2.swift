import VTokCore
import VTokImage
import VTokTensor
import VTokWeights

/// DINOv2 as Hugging Face publishes it, with and without registers, with and without a classifier.
/// (transformers: `models/dinov2`, `models/dinov2_with_registers`; Oquab et al. 2023, arXiv 2304.07193.)
enum DINOv2 {
  /// Register tokens: those that the type promises. Where no type is given, the file decides.
  static func registers(_ config: Config, found: Int) throws(ModelError) -> Int {
    switch try config.string("model_type") {
    case "dinov2_with_registers": try config.int("num_register_tokens", 4)
    case nil: found
    default: 0
    }
  }

  /// Hidden width of the MLP; a gated one has two thirds of it, rounded up to a multiple of 8.
  static func hidden(_ config: Config, width: Int) throws(ModelError) -> Int {
    let hidden = Int(Double(width) * (try config.double("mlp_ratio", 4)))
    return try config.bool("use_swiglu_ffn", false) ? (hidden * 2 / 3 + 7) / 8 * 8 : hidden
  }

  static func load(_ checkpoint: Checkpoint) throws -> VisionModel {
    let config = Config(json: checkpoint.config)
    // A classifier puts the backbone under its own prefix.
    let prefixes = ["dinov2", "dinov2_with_registers"]
    let found = prefixes.first { checkpoint.has("\($0).embeddings.cls_token") }
    let view = found.map { checkpoint[$0] } ?? checkpoint
    let width = try config.int("hidden_size", 768)
    let heads = try config.int("num_attention_heads", 12)
    let patch = try config.int("patch_size", 14)
    let epsilon = try config.float("layer_norm_eps", 1e-6)
    let activation = try config.activation(.gelu)
    let gated = try config.bool("use_swiglu_ffn", false)
    let (ffn, hasBiases) = (try hidden(config, width: width), try config.bool("qkv_bias", true))
    let depth = try config.int("num_hidden_layers", 12)
    try requireHeads(heads, width: width, blocks: depth)

    let blocks = try (0..<depth).map { index in
      let layer = view["encoder"]["layer"][index]
      return TransformerBlock(
        heads: heads, norm1: try layer.norm("norm1", width, epsilon: epsilon),
        qkv: try layer["attention"]["attention"].linear(
          stacking: ["query", "key", "value"], [width, width], bias: hasBiases),
        output: try layer.linear("attention.output.dense", [width, width]),
        scale1: try layer.vector("layer_scale1.lambda1", [width]),
        norm2: try layer.norm("norm2", width, epsilon: epsilon),
        up: try layer.linear(gated ? "mlp.weights_in" : "mlp.fc1", [gated ? 2 * ffn : ffn, width]),
        down: try layer.linear(gated ? "mlp.weights_out" : "mlp.fc2", [width, ffn]),
        mlp: gated ? .gated : .plain(activation), scale2: try layer.vector("layer_scale2.lambda1", [width]))
    }

    try requireEqual(blocks)

    // Positions are for [class, patches]; registers stand between them without a position.
    let positions = try view.tensor("embeddings.position_embeddings", [1, nil, width])
    let cls = try view.tensor("embeddings.cls_token", [1, 1, width]).values
    var prefix: [(kind: TokenKind, row: [Float])] = [(.classifier, zip(cls, positions.row(0)).map(+))]
    let name = "embeddings.register_tokens"
    let count = try Self.registers(config, found: view.shape(name)?.dropFirst().first ?? 0)
    let hasRegisters = count > 0
    if hasRegisters {
      let registers = try view.tensor(name, [1, count, width])
      for index in 0..<registers.rows { prefix.append((.register, Array(registers.row(index)))) }
    }
    let grid = try PositionGrid.square(
      positions.gathered(Array(1..<positions.rows)), kernel: hasRegisters ? .antialiased : .plain,
      name: "embeddings.position_embeddings")
    let embedding = VisionTower.Embedding(
      patch: patch,
      projection: try view.patchProjection("embeddings.patch_embeddings.projection", width: width, patch: patch),
      prefix: prefix, positions: grid, norm: nil)
    let head: VisionModel.Head =
      checkpoint.has("classifier.weight")
      ? .tokenAndMean(try checkpoint.linear("classifier", [nil, 2 * width], bias: nil)) : .token(nil)

    let fallback = ImageProcessor(
      resize: .shortestEdge(256), filter: .bicubic, crop: Size(224), cropRounding: .floor,
      mean: ImageProcessor.imagenetMean, std: ImageProcessor.imagenetStd)
    var processor = try ImageProcessor.huggingFace(checkpoint, fallback: fallback, bareSizeIsSquare: false)
    // DINOv2 was trained and evaluated with torchvision's centre crop. Hugging Face's processor starts one pixel earlier
    // where the margin is odd; stored reference logits follow the former.
    processor.cropRounding = .halfEven
    // The grid of the pictures the processor makes, not of the (usually larger) one that positions were trained on.
    let side = processor.crop ?? Size(224)
    guard side.width >= patch, side.height >= patch else {
      throw ModelError.configuration(
        file: "preprocessor_config.json", key: "crop_size", found: "\(side)",
        expected: "a patch of \(patch) pixels or more")
    }
    let shape = Shape.Tower(
      blocks: blocks.count, width: width, heads: heads, ffn: blocks[0].hidden, ffnMatrices: gated ? 3 : 2,
      prefix: prefix.count, hasClassifier: true, rows: side.height / patch, columns: side.width / patch, patch: patch,
      headMACs: head.macs.constant, headMACsPerToken: head.macs.perToken)
    return VisionModel(
      family: "dinov2",
      tower: VisionTower(
        embedding: embedding, blocks: blocks, finalNorm: try view.norm("layernorm", width, epsilon: epsilon),
        shape: shape), head: head, labels: try head.classes.flatMap { try config.labels($0) },
      processor: processor)
  }
}
