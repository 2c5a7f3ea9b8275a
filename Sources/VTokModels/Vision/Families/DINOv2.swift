import VTokCore
import VTokImage
import VTokTensor
import VTokWeights

/// DINOv2 as Hugging Face publishes it, with and without registers, with and without a classifier.
/// (transformers: `models/dinov2`, `models/dinov2_with_registers`; Oquab et al. 2023, arXiv 2304.07193.)
enum DINOv2 {
  static let family = VisionFamily(
    name: "dinov2", types: ["dinov2", withRegisters],
    summary: "Hugging Face DINOv2, with and without registers and classifier",
    marks: ["encoder.layer.0.layer_scale1.lambda1", "dinov2.layernorm.weight"], needless: [.mask],
    published: [
      published("dinov2-s", .small), published("dinov2-b", .base), published("dinov2-l", .large),
      published("dinov2-s-518", .small, crop: 518),
    ], sizes: .bit,
    shape: { config, size in
      guard let size else { throw ModelError.noProcessor(model: try config.string("model_type") ?? "dinov2") }
      return try shape(config, size)
    }, load: load)

  private static let withRegisters = "dinov2_with_registers"

  private static func published(_ name: String, _ size: TransformerSize, crop: Int = 224) -> PublishedModel {
    PublishedModel(name, size.config(["model_type": "dinov2"]), processor: ["crop_size": JSON(crop)])
  }

  /// The grid is that of the images which the processor makes, not of the (usually larger) ones that positions were trained
  /// on.
  private static func shape(_ config: Config, _ side: Size) throws -> Shape.Tower {
    let (width, patch) = (try config.int("hidden_size", 768), try config.int("patch_size", 14))
    guard side.width >= patch, side.height >= patch else {
      throw ModelError.configuration(
        file: "preprocessor_config.json", key: "crop_size", found: "\(side)",
        expected: "a patch of \(patch) pixels or more")
    }
    return try .checked(
      blocks: config.int("num_hidden_layers", 12), width: width, heads: config.int("num_attention_heads", 12),
      ffn: hidden(config, width: width), ffnMatrices: config.bool("use_swiglu_ffn", false) ? 3 : 2,
      prefix: 1 + registers(config, found: 0), rows: side.height / patch, columns: side.width / patch, patch: patch,
      headMACs: (2 * width * config.classes(), 0))
  }

  private static func processor(_ file: ProcessorFile?) throws -> ImageProcessor? {
    var processor = try TowerProcessor.read(file, standard: .bit)
    // DINOv2 was trained and evaluated with torchvision's centre crop. Hugging Face's processor starts one pixel earlier
    // where the margin is odd; stored reference logits follow the former.
    processor?.cropRounding = .halfEven
    return processor
  }

  /// Register tokens: those that the type promises. Where no type is given, the file decides.
  private static func registers(_ config: Config, found: Int) throws(ModelError) -> Int {
    switch try config.string("model_type") {
    case withRegisters: try config.int("num_register_tokens", 4)
    case nil: found
    default: 0
    }
  }

  /// Hidden width of the MLP; a gated one has two thirds of it, rounded up to a multiple of 8.
  private static func hidden(_ config: Config, width: Int) throws(ModelError) -> Int {
    let hidden = Int(Double(width) * (try config.double("mlp_ratio", 4)))
    return try config.bool("use_swiglu_ffn", false) ? (hidden * 2 / 3 + 7) / 8 * 8 : hidden
  }

  private static func load(_ checkpoint: Checkpoint) throws -> VisionModel {
    let config = Config(json: checkpoint.config)
    let processor = try Self.processor(checkpoint.processorFile)
    // Without a processor, or with one of no size, the grid is what positions were trained on.
    var shape = try Self.shape(config, processor?.usualSize ?? Size(config.int("image_size", 224)))
    // A classifier puts the backbone under its own prefix.
    let found = ["dinov2", withRegisters].first { checkpoint.has("\($0).embeddings.cls_token") }
    let view = found.map { checkpoint[$0] } ?? checkpoint
    let (width, epsilon) = (shape.width, try config.float("layer_norm_eps", 1e-6))
    let blocks = try blocks(view["encoder"]["layer"], config, shape, epsilon: epsilon)
    let embedding = try embedding(view, config, shape)
    let head: VisionModel.Head =
      checkpoint.has("classifier.weight")
      ? .tokenAndMean(try checkpoint.at(.f32).linear("classifier", [nil, 2 * width])) : .token(nil)
    shape.prefix = embedding.prefix.count
    (shape.headMACs, shape.headMACsPerToken) = head.macs
    return VisionModel(
      family: family.name,
      tower: VisionTower(
        embedding: embedding, blocks: blocks, finalNorm: try view.norm("layernorm", width, epsilon: epsilon),
        shape: shape), head: head, labels: try head.classes.flatMap { try config.labels($0) },
      processor: processor)
  }

  private static func blocks(
    _ layers: Checkpoint, _ config: Config, _ shape: Shape.Tower, epsilon: Float
  ) throws -> [TransformerBlock] {
    let (width, ffn, isGated) = (shape.width, shape.ffn, shape.ffnMatrices == 3)
    let activation = try config.activation(.gelu)
    let hasBiases = try config.bool("qkv_bias", true)
    let blocks = try (0..<shape.blocks).map { index in
      let layer = layers[index]
      return TransformerBlock(
        heads: shape.heads, norm1: try layer.norm("norm1", width, epsilon: epsilon),
        qkv: try layer["attention"]["attention"].linear(
          stacking: ["query", "key", "value"], [width, width], bias: hasBiases),
        output: try layer.linear("attention.output.dense", [width, width]),
        scale1: try layer.vector("layer_scale1.lambda1", [width]),
        norm2: try layer.norm("norm2", width, epsilon: epsilon),
        up: try layer.linear(isGated ? "mlp.weights_in" : "mlp.fc1", [isGated ? 2 * ffn : ffn, width]),
        down: try layer.linear(isGated ? "mlp.weights_out" : "mlp.fc2", [width, ffn]),
        mlp: isGated ? .gated : .plain(activation), scale2: try layer.vector("layer_scale2.lambda1", [width]))
    }
    try requireEqual(blocks)
    return blocks
  }

  private static func embedding(
    _ view: Checkpoint, _ config: Config, _ shape: Shape.Tower
  ) throws -> VisionTower.Embedding {
    let (width, patch) = (shape.width, shape.patch)
    // Positions are for [class, patches]; registers stand between them without a position.
    let positions = try view.tensor("embeddings.position_embeddings", [1, nil, width])
    let cls = try view.tensor("embeddings.cls_token", [1, 1, width]).values
    var prefix: [(kind: TokenKind, row: [Float])] = [(.classifier, zip(cls, positions.row(0)).map(+))]
    let name = "embeddings.register_tokens"
    let count = try registers(config, found: view.shape(name)?.dropFirst().first ?? 0)
    if count > 0 {
      let registers = try view.tensor(name, [1, count, width])
      for index in 0..<registers.rows { prefix.append((.register, Array(registers.row(index)))) }
    }
    let grid = try PositionGrid.square(
      positions.gathered(Array(1..<positions.rows)), kernel: count > 0 ? .antialiased : .plain,
      name: "embeddings.position_embeddings")
    return VisionTower.Embedding(
      patch: patch,
      projection: try view.patchProjection("embeddings.patch_embeddings.projection", width: width, patch: patch),
      prefix: prefix, positions: grid, norm: nil)
  }
}
