import VTokCore
import VTokImage
import VTokTensor
import VTokWeights

/// Vision transformers as timm publishes them: DeiT (distilled too), AugReg, MAE fine-tuned, DINOv2 with and without
/// registers, SwiGLU. (timm 1.0: `models/vision_transformer.py`, `models/deit.py`.)
///
/// Sizes come from the tensors. Only the number of heads is not in them: it is `model_args.num_heads`, or follows from
/// the architecture's name.
package enum TimmViT {
  static func matches(_ checkpoint: Checkpoint) -> Bool {
    checkpoint.config["architecture"] != nil
      || (checkpoint.config["model_type"] == nil && checkpoint.has("blocks.0.attn.qkv.weight"))
  }

  static func load(_ checkpoint: Checkpoint) throws -> VisionModel {
    let config = Config(json: checkpoint.config)
    let architecture = try config.string("architecture") ?? ""
    guard let heads = try config.section("model_args").intIfPresent("num_heads") ?? self.heads(of: architecture) else {
      throw config.unfit(
        "architecture", "a known timm name (vit_small_..., deit_base_...) or model_args.num_heads",
        found: "'\(architecture)'")
    }
    let pool = try config.string("global_pool")
    guard ["token", "avg", "", nil].contains(pool) else { throw config.unfit("global_pool", "token or avg") }
    let pretrained = try config.section("pretrained_cfg")
    let size = try pretrained.inputSize()
    try check(checkpoint, config)
    let model = try load(
      checkpoint, architecture: architecture, heads: heads, pool: pool,
      imageSize: size.map { ($0.height, $0.width) }, processor: processor(pretrained, size),
      labels: pretrained.strings("label_names"))
    if let labels = model.labels, let classes = model.head.classes, labels.count != classes {
      throw pretrained.unfit("label_names", "a name for each of the \(classes) classes", found: "\(labels.count) names")
    }
    return model
  }

  /// Refuses a file that says other sizes than the tensors have.
  private static func check(_ checkpoint: Checkpoint, _ config: Config) throws {
    let arguments = try config.section("model_args")
    let kernel = checkpoint.shape("patch_embed.proj.weight") ?? []
    let found: [(String, Int?)] = [
      ("embed_dim", kernel.first), ("patch_size", kernel.last), ("depth", checkpoint.count("blocks")),
    ]
    for (key, size) in found {
      guard let stated = try arguments.intOrInts(key), let size, !stated.allSatisfy({ $0 == size }) else { continue }
      throw arguments.unfit(key, "\(size), as in the weights")
    }
    _ = try arguments.intOrInts("img_size")
    for section in [config, arguments, try config.section("pretrained_cfg")] {
      for key in ["num_classes", "num_features"] { _ = try section.intIfPresent(key) }
    }
  }

  /// - Parameters:
  ///   - imageSize: height and width the positions are for; nil: a square grid.
  package static func load(
    _ checkpoint: Checkpoint, architecture: String, heads: Int, pool: String? = nil, imageSize: (Int, Int)? = nil,
    processor: ImageProcessor? = nil, labels: [String]? = nil
  ) throws -> VisionModel {
    let epsilon: Float = architecture.contains("_clip_") ? 1e-5 : 1e-6
    let activation: Activation = architecture.contains("quickgelu") ? .quickGELU : .gelu
    let patchShape = try checkpoint.shape("patch_embed.proj.weight", rank: 4)
    let (width, patch) = (patchShape[0], patchShape[3])
    func norm(_ name: String, in view: Checkpoint) throws -> LayerNorm { try view.norm(name, width, epsilon: epsilon) }

    var blocks: [TransformerBlock] = []
    while checkpoint.has("blocks.\(blocks.count).norm1.weight") {
      let view = checkpoint["blocks"][blocks.count]
      let up = try view.linear("mlp.fc1", [nil, width])
      let down = try view.linear("mlp.fc2", [width, nil])
      let gated = up.weight.rows == 2 * down.weight.columns
      blocks.append(
        TransformerBlock(
          heads: heads, norm1: try view.norm("norm1", width, epsilon: epsilon),
          qkv: try view.linear("attn.qkv", [3 * width, width]),
          output: try view.linear("attn.proj", [width, width]),
          scale1: try view.vectorIfPresent("ls1.gamma", [width]),
          norm2: try view.norm("norm2", width, epsilon: epsilon), up: up,
          down: down, mlp: gated ? .gated : .plain(activation),
          scale2: try view.vectorIfPresent("ls2.gamma", [width])))
    }
    try requireHeads(heads, width: width, blocks: blocks.count)
    try requireEqual(blocks)

    let (embedding, rows, columns) = try self.embedding(
      checkpoint, width: width, patch: patch, imageSize: imageSize,
      norm: checkpoint.has("norm_pre.weight") ? norm("norm_pre", in: checkpoint) : nil)
    let poolNorm = checkpoint.has("fc_norm.weight") ? try norm("fc_norm", in: checkpoint) : nil
    let head = checkpoint.has("head.weight") ? try checkpoint.linear("head", [nil, width]) : nil
    let output: VisionModel.Head
    if let head, checkpoint.has("head_dist.weight") {
      output = .distilled(head, try checkpoint.linear("head_dist", [head.weight.rows, width]))
    } else if poolNorm != nil || pool == "avg" {
      output = .mean(poolNorm, head)
    } else {
      output = .token(head)
    }
    let macs = output.macs
    let shape = Shape.Tower(
      blocks: blocks.count, width: width, heads: heads, ffn: blocks[0].hidden,
      ffnMatrices: blocks[0].up.weight.rows == blocks[0].hidden ? 2 : 3, prefix: embedding.prefix.count,
      hasClassifier: true, rows: rows, columns: columns, patch: patch, headMACs: macs.constant,
      headMACsPerToken: macs.perToken)
    let tower = VisionTower(
      embedding: embedding, blocks: blocks,
      finalNorm: checkpoint.has("norm.weight") ? try norm("norm", in: checkpoint) : nil, shape: shape)
    let fallback = ImageProcessor.timm(inputSize: Size(width: columns * patch, height: rows * patch), cropPct: 0.875)
    return VisionModel(family: "timm", tower: tower, head: output, labels: labels, processor: processor ?? fallback)
  }

  /// Prefix tokens in timm's order [class, distillation, registers] and the grid. Positions cover the prefix, or (models
  /// with `no_embed_class`) only the patches.
  private static func embedding(
    _ checkpoint: Checkpoint, width: Int, patch: Int, imageSize: (Int, Int)?, norm: LayerNorm?
  ) throws -> (VisionTower.Embedding, rows: Int, columns: Int) {
    var prefix: [(kind: TokenKind, row: [Float])] = [
      (.classifier, try checkpoint.tensor("cls_token", [1, 1, width]).values)
    ]
    if checkpoint.has("dist_token") {
      prefix.append((.classifier, try checkpoint.tensor("dist_token", [1, 1, width]).values))
    }
    if checkpoint.has("reg_token") {
      let registers = try checkpoint.tensor("reg_token", [1, nil, width])
      for index in 0..<registers.rows { prefix.append((.register, Array(registers.row(index)))) }
    }
    let positions = try checkpoint.tensor("pos_embed", [1, nil, width])
    let entries = positions.rows
    func grid(_ count: Int) -> (Int, Int)? {
      if let (height, width) = imageSize, (height / patch) * (width / patch) == count {
        return (height / patch, width / patch)
      }
      let side = Int(Double(count).squareRoot().rounded())
      return count > 0 && side * side == count ? (side, side) : nil
    }
    // With the image size known only one reading fits; without it, positions over the prefix are the common case.
    let sized = imageSize.map { ($0.0 / patch) * ($0.1 / patch) }
    let covers = sized.map { $0 != entries } ?? (grid(entries - prefix.count) != nil)
    guard let (rows, columns) = grid(covers ? entries - prefix.count : entries) else {
      throw ModelError.configuration(
        file: "model.safetensors", key: "pos_embed", found: "\(entries) positions for \(prefix.count) prefix tokens",
        expected: "a square patch grid, or pretrained_cfg.input_size in config.json")
    }
    if covers {
      for index in prefix.indices {
        prefix[index].row = zip(prefix[index].row, positions.row(index)).map(+)
      }
    }
    let table = positions.gathered(Array((covers ? prefix.count : 0)..<entries))
    let embedding = VisionTower.Embedding(
      patch: patch, projection: try checkpoint.patchProjection("patch_embed.proj", width: width, patch: patch),
      prefix: prefix, positions: PositionGrid(table, rows: rows, columns: columns, kernel: .antialiased), norm: norm)
    return (embedding, rows, columns)
  }

  /// Heads by architecture name.
  static func heads(of architecture: String) -> Int? {
    let sizes: [(String, Int)] = [
      ("_tiny_", 3), ("_small_", 6), ("_base_", 12), ("_large_", 16), ("_huge_", 16), ("_giant_patch14_dinov2", 24),
      ("_giant_patch14_reg4_dinov2", 24), ("_so400m_", 16),
    ]
    return sizes.first { (architecture + "_").contains($0.0) }?.1
  }

  /// timm's evaluation transform from `pretrained_cfg`; nil where it names no size.
  private static func processor(_ config: Config, _ size: Size?) throws(ModelError) -> ImageProcessor? {
    let (share, mode) = (
      try config.double("crop_pct", 0.875), try config.choice("crop_mode", ImageProcessor.CropMode.self)
    )
    let filter = try config.choice("interpolation", Resample.self)
    let (mean, std) = (try config.floats("mean", count: 3), try config.floats("std", count: 3))
    return size.map {
      .timm(
        inputSize: $0, cropPct: share, cropMode: mode ?? .center, filter: filter ?? .bicubic,
        mean: mean ?? ImageProcessor.imagenetMean, std: std ?? ImageProcessor.imagenetStd)
    }
  }
}

extension Config {
  /// `input_size` of a timm model: `[3, height, width]`.
  func inputSize() throws(ModelError) -> Size? {
    guard let size = try ints("input_size", count: 3) else { return nil }
    guard size[0] == 3 else { throw unfit("input_size", "[3, height, width]") }
    return Size(width: size[2], height: size[1])
  }
}
