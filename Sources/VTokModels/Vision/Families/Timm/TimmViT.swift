import VTokCore
import VTokImage
import VTokTensor
import VTokWeights

/// Vision transformers as timm publishes them: the architectures that `TimmArguments` lists, and no others.
/// (timm 1.0: `models/{vision_transformer,deit,eva,beit}.py`.)
///
/// What a model computes follows from its arguments: those of its architecture, changed by `model_args` in `config.json`.
/// The tensors must be the ones that these arguments make, to the last name and size.
package enum TimmViT {
  static let family = VisionFamily(
    // The first is the `model_type` of a timm model that transformers has saved. All its tensors then stand behind
    // `timm_model.`
    name: "timm", types: ["timm_wrapper"] + TimmArguments.architectures.keys.sorted(), typeKey: "architecture",
    summary: "ViT, DeiT (distilled too), AugReg, CLIP, MAE fine-tuned, DINOv2, DINOv3, SigLIP, EVA-02, BEiT",
    marks: ["blocks.0.norm1.weight"],
    needless: [
      .mask, Needless("*relative_position_index", "rope.*", reason: "follows from the size of the image"),
      Needless("lm_head.*", reason: "names hidden patches in pre-training"),
    ],
    published: [
      published("deit-t", "deit_tiny_patch16_224"), published("deit-s", "deit_small_patch16_224"),
      published("deit-b", "deit_base_patch16_224"), published("deit-t-distilled", "deit_tiny_distilled_patch16_224"),
      published("deit-s-distilled", "deit_small_distilled_patch16_224"),
      published("deit-b-distilled", "deit_base_distilled_patch16_224"),
      published("vit-s-augreg", "vit_small_patch16_224"), published("vit-b-augreg", "vit_base_patch16_224"),
      published("vit-l-augreg", "vit_large_patch16_224"), published("vit-b-augreg-384", "vit_base_patch16_384"),
      published("vit-l-augreg-384", "vit_large_patch16_384"), published("vit-b-mae", "mae_finetuned_vit_base"),
      published("vit-l-mae", "mae_finetuned_vit_large"), published("vit-h-mae", "mae_finetuned_vit_huge"),
      // SWAG's are torchvision's, of the same numbers.
      published("vit-b-swag-384", "vit_base_patch16_384"),
      published("vit-l-swag-512", "vit_large_patch16_224", side: 512),
      published("vit-h-swag-518", "vit_huge_patch14_224", side: 518),
      published("eva02-t-336", "eva02_tiny_patch14_336"), published("eva02-s-336", "eva02_small_patch14_336"),
      published("eva02-b-448", "eva02_base_patch14_448"), published("eva02-l-448", "eva02_large_patch14_448"),
      published("beit-b", "beit_base_patch16_224"), published("beit-l", "beit_large_patch16_224"),
      published("beitv2-b", "beitv2_base_patch16_224"), published("beitv2-l", "beitv2_large_patch16_224"),
    ], shape: { config, _ in try shape(TimmArguments(config), config) }, load: load)

  private static func published(_ name: String, _ architecture: String, side: Int? = nil) -> PublishedModel {
    PublishedModel(
      name, ["architecture": JSON(architecture), "model_args": side.map { ["img_size": JSON($0)] as JSON } ?? [:]])
  }

  private static func load(_ checkpoint: Checkpoint) throws -> VisionModel {
    let config = Config(json: checkpoint.config)
    let prefix = "timm_model."
    let checkpoint = checkpoint.renamed { $0.hasPrefix(prefix) ? String($0.dropFirst(prefix.count)) : $0 }
    var arguments = try TimmArguments(config)
    if let pool = try config.choice("global_pool", TimmArguments.Pool.self) {
      // timm notes here what the model was saved with; an argument of that name has the last word.
      if try !config.section("model_args").has("global_pool") { arguments.pool = pool }
    } else if checkpoint.has("fc_norm.weight"), try !config.section("model_args").has("global_pool") {
      arguments.pool = .avg  // a file without configuration: only a mean is normed behind the pool
    }
    try checkSizes(checkpoint, arguments)
    let file = try checkpoint.processorFile
    let pretrained = try self.pretrained(config, file)
    let size = try pretrained.inputSize()
    let names = pretrained.has("label_names") ? pretrained : config  // an object of names with gaps is not read
    for section in [config, try config.section("model_args"), pretrained] {
      for key in ["num_classes", "num_features"] { _ = try section.intIfPresent(key) }
    }
    let model = try load(
      checkpoint, arguments, imageSize: arguments.side.map { ($0, $0) } ?? size.map { ($0.height, $0.width) },
      processor: processor(pretrained, file),
      labels: names.json["label_names"]?.object != nil ? nil : names.strings("label_names"))
    if let labels = model.labels, let classes = model.head.classes, labels.count != classes {
      throw names.unfit("label_names", "a name for each of the \(classes) classes", found: "\(labels.count) names")
    }
    return model
  }

  /// What the weights were trained with: of `config.json`, or of the processor that transformers saves beside it.
  private static func pretrained(_ config: Config, _ file: ProcessorFile?) throws -> Config {
    let key = "pretrained_cfg"
    return try config.sectionIfPresent(key) ?? file?.values.sectionIfPresent(key) ?? config.section(key)
  }

  /// A file that a user named, else timm's own values, else a file that names an official processor.
  private static func processor(_ pretrained: Config, _ file: ProcessorFile?) throws -> ImageProcessor? {
    if let file, file.isNamed { return try TowerProcessor.read(file, standard: nil) }
    return try .timm(pretrained) ?? (file?.type() == nil ? nil : TowerProcessor.read(file, standard: nil))
  }

  /// Refuses tensors of other sizes than the arguments make: a name that lies about its model lies about its heads too.
  private static func checkSizes(_ checkpoint: Checkpoint, _ arguments: TimmArguments) throws {
    let depth = checkpoint.count("blocks")
    guard depth == arguments.depth else {
      throw ModelError.configuration(
        file: "config.json", key: "model_args.depth", found: "\(arguments.depth) for this architecture",
        expected: "the \(depth) blocks of the weights")
    }
    _ = try checkpoint.tensor(
      "patch_embed.proj.weight", [arguments.width, 3, arguments.patch, arguments.patch])
    let first = arguments.isSplit ? "mlp.fc1_g.weight" : "mlp.fc1.weight"
    _ = try checkpoint["blocks"][0].weight(first, [arguments.hidden.rows, arguments.width])
  }

  /// - Parameters:
  ///   - arguments: kinds of parts and the number of heads; sizes are those of the tensors.
  ///   - imageSize: height and width the positions are for; nil: a square grid.
  package static func load(
    _ checkpoint: Checkpoint, _ arguments: TimmArguments, imageSize: (Int, Int)? = nil,
    processor: ImageProcessor? = nil, labels: [String]? = nil
  ) throws -> VisionModel {
    let patchShape = try checkpoint.shape("patch_embed.proj.weight", rank: 4)
    let (width, patch) = (patchShape[0], patchShape[3])
    let depth = checkpoint.count("blocks")
    try requireHeads(arguments.heads, width: width, blocks: depth)
    var found = arguments
    (found.width, found.depth, found.patch) = (width, depth, patch)
    func norm(_ name: String, if isThere: Bool) throws -> LayerNorm? {
      isThere ? try checkpoint.norm(name, width, epsilon: arguments.epsilon) : nil
    }
    let (embedding, rows, columns) = try self.embedding(
      checkpoint, arguments, width: width, patch: patch, imageSize: imageSize,
      norm: norm("norm_pre", if: arguments.hasPreNorm))
    let blocks = try blocks(checkpoint, arguments, depth: depth, width: width, rows: rows, columns: columns)
    let finalNorm = try norm("norm", if: arguments.hasFinalNorm && !arguments.normsMean)
    let poolNorm = try norm("fc_norm", if: arguments.hasFinalNorm && arguments.normsMean)
    let output = try head(checkpoint, arguments, width: width, norm: poolNorm)
    let shape = try Self.shape(
      found, ffn: blocks[0].hidden, rows: rows, columns: columns, headMACs: output.macs)
    var tower = VisionTower(embedding: embedding, blocks: blocks, finalNorm: finalNorm, shape: shape)
    tower.rotary = arguments.rotary.map { turn in
      switch turn {
      case .dinov3: TowerRotary(.centred, theta: 100, headDim: shape.headDim)
      case .cells:
        TowerRotary(
          .reference(rows: arguments.reference[0], columns: arguments.reference[1]), theta: 10000,
          headDim: shape.headDim)
      }
    }
    return VisionModel(family: family.name, tower: tower, head: output, labels: labels, processor: processor)
  }

  private static func blocks(
    _ checkpoint: Checkpoint, _ arguments: TimmArguments, depth: Int, width: Int, rows: Int, columns: Int
  ) throws -> [TransformerBlock] {
    let entries = arguments.isRelative ? RelativeBias.entries(rows: rows, columns: columns) : nil
    let name = "rel_pos_bias.relative_position_bias_table"
    let shared = try entries.flatMap { entries in
      checkpoint.has(name) ? try checkpoint.tensor(name, [entries, arguments.heads]) : nil
    }
    let blocks = try (0..<depth).map {
      try block(checkpoint["blocks"][$0], width, arguments, entries: entries, shared: shared)
    }
    try requireEqual(blocks)
    return blocks
  }

  private static func head(
    _ checkpoint: Checkpoint, _ arguments: TimmArguments, width: Int, norm: LayerNorm?
  ) throws -> VisionModel.Head {
    let exact = checkpoint.at(.f32)
    let head = checkpoint.has("head.weight") ? try exact.linear("head", [nil, width]) : nil
    if let head, arguments.isDistilled {
      return .distilled(head, try exact.linear("head_dist", [head.weight.rows, width]))
    }
    switch arguments.pool {
    case .token: return .token(head)
    case .avg: return .mean(norm, head)
    case .map: return .attention(try AttentionPool(timm: checkpoint["attn_pool"], width: width, arguments), head)
    }
  }

  /// Prefix tokens in timm's order [class, distillation, registers] and the grid.
  private static func embedding(
    _ checkpoint: Checkpoint, _ arguments: TimmArguments, width: Int, patch: Int, imageSize: (Int, Int)?,
    norm: LayerNorm?
  ) throws -> (VisionTower.Embedding, rows: Int, columns: Int) {
    var prefix: [(kind: TokenKind, row: [Float])] = []
    for (name, isThere) in [("cls_token", arguments.hasClassToken), ("dist_token", arguments.isDistilled)] where isThere
    {
      prefix.append((.classifier, try checkpoint.tensor(name, [1, 1, width]).values))
    }
    if arguments.registers > 0 {
      let registers = try checkpoint.tensor("reg_token", [1, arguments.registers, width])
      for index in 0..<registers.rows { prefix.append((.register, Array(registers.row(index)))) }
    }
    let projection = try checkpoint.patchProjection(
      "patch_embed.proj", width: width, patch: patch, bias: !arguments.hasPreNorm)
    guard arguments.hasPositions else {
      let size = imageSize ?? (224, 224)
      let embedding = VisionTower.Embedding(
        patch: patch, projection: projection, prefix: prefix, positions: nil, norm: norm)
      return (embedding, size.0 / patch, size.1 / patch)
    }
    let positions = try checkpoint.tensor("pos_embed", [1, nil, width])
    let placed = arguments.placesPrefix ? prefix.count : 0
    let count = positions.rows - placed
    let side = Int(Double(max(count, 0)).squareRoot().rounded())
    let given = imageSize.map { ($0.0 / patch, $0.1 / patch) }
    guard count > 0,
      let (rows, columns) = given.flatMap({ $0.0 * $0.1 == count ? $0 : nil })
        ?? (side * side == count ? (side, side) : nil)
    else {
      throw ModelError.configuration(
        file: "model.safetensors", key: "pos_embed", found: "\(positions.rows) positions for \(placed) prefix tokens",
        expected: "a square patch grid, or pretrained_cfg.input_size in config.json")
    }
    for index in 0..<placed { prefix[index].row = zip(prefix[index].row, positions.row(index)).map(+) }
    let table = positions.gathered(Array(placed..<positions.rows))
    let embedding = VisionTower.Embedding(
      patch: patch, projection: projection, prefix: prefix,
      positions: PositionGrid(table, rows: rows, columns: columns, kernel: .antialiased), norm: norm)
    return (embedding, rows, columns)
  }

  /// The numbers of a tower without its weights.
  private static func shape(_ arguments: TimmArguments, _ config: Config) throws -> Shape.Tower {
    let architecture = try config.string("architecture") ?? ""
    let words = architecture.split { "_.-".contains($0) }
    let named = words.compactMap { Int($0) }.last.flatMap { (1...8192).contains($0) ? $0 : nil }
    let side = arguments.side ?? named ?? 224
    let input = try config.section("pretrained_cfg").inputSize() ?? Size(side)
    let classes = try config.int("num_classes", 1000)
    let width = arguments.width
    var macs = ((arguments.isDistilled ? 2 : 1) * width * classes, 0)
    if arguments.pool == .map {
      let pool = AttentionPool.macs(width: width, ffn: Int(Double(width) * arguments.ratio))
      macs = (macs.0 + pool.constant, pool.perToken)
    }
    return try shape(
      arguments, ffn: arguments.hidden.ffn, rows: input.height / arguments.patch,
      columns: input.width / arguments.patch, headMACs: macs)
  }

  private static func shape(
    _ arguments: TimmArguments, ffn: Int, rows: Int, columns: Int, headMACs: (constant: Int, perToken: Int)
  ) throws -> Shape.Tower {
    try .checked(
      blocks: arguments.depth, width: arguments.width, heads: arguments.heads, ffn: ffn,
      ffnMatrices: arguments.isGated ? 3 : 2, prefix: arguments.prefix, hasClassifier: arguments.hasClassToken,
      rows: rows, columns: columns, patch: arguments.patch, anySize: !arguments.isRelative, headMACs: headMACs)
  }
}
