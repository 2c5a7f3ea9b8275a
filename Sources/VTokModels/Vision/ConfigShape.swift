import VTokCore
import VTokImage
import VTokWeights

// The numbers of a tower from config.json alone, as the loaders would find them: the cost of a model needs no weights.

extension Shape.Tower {
  /// Any family that can be loaded.
  /// - Parameters:
  ///   - config: `config.json` as published.
  ///   - processor: `preprocessor_config.json`; DINOv2 takes its image size from there (224 without).
  /// - Throws: `ModelError`.
  public init(config: JSON, processor: JSON? = nil) throws {
    let file = Config(json: config)
    if config["architecture"] != nil {
      self = try TimmShape(file).tower
      return
    }
    switch try file.string("model_type") {
    case "clip", "clip_vision_model": self = try .clip(file.visionPart())
    case "siglip", "siglip_vision_model": self = try .siglip(file.visionPart())
    case "dinov2", "dinov2_with_registers":
      self = try .dinov2(file, Config(json: processor ?? [:], file: "preprocessor_config.json"))
    case "vit", "deit": self = try .vit(file)
    case let type:
      throw ModelError.unknownFamily(
        found: type.map { "model type '\($0)'" } ?? "no model_type or architecture in config.json",
        known: VisionModel.families.map(\.name))
    }
  }

  static func clip(_ config: Config, featureBlock: Int? = nil, anySize: Bool = true) throws -> Shape.Tower {
    let (patch, side) = (try config.int("patch_size", 32), try config.int("image_size", 224))
    return try checked(
      blocks: config.int("num_hidden_layers", 12), featureBlock: featureBlock, width: config.int("hidden_size", 768),
      heads: config.int("num_attention_heads", 12), ffn: config.int("intermediate_size", 3072), prefix: 1,
      rows: side / patch, columns: side / patch, patch: patch, anySize: anySize)
  }

  private static func siglip(_ config: Config) throws -> Shape.Tower {
    let (patch, side) = (try config.int("patch_size", 16), try config.int("image_size", 224))
    let (width, ffn) = (try config.int("hidden_size", 768), try config.int("intermediate_size", 3072))
    let pools = try config.bool("vision_use_head", true)
    return try checked(
      blocks: config.int("num_hidden_layers", 12), width: width, heads: config.int("num_attention_heads", 12),
      ffn: ffn, prefix: 0, rows: side / patch, columns: side / patch, patch: patch,
      headMACs: pools ? AttentionPool.macs(width: width, ffn: ffn) : (0, 0))
  }

  private static func dinov2(_ config: Config, _ processor: Config) throws -> Shape.Tower {
    let (width, patch) = (try config.int("hidden_size", 768), try config.int("patch_size", 14))
    let gated = try config.bool("use_swiglu_ffn", false)
    let hidden = Int(Double(width) * (try config.double("mlp_ratio", 4)))
    let crop = try processor.size("crop_size") ?? Size(224)
    let registers =
      config.json["model_type"]?.string == "dinov2_with_registers" ? try config.int("num_register_tokens", 4) : 0
    return try checked(
      blocks: config.int("num_hidden_layers", 12), width: width, heads: config.int("num_attention_heads", 12),
      ffn: gated ? (hidden * 2 / 3 + 7) / 8 * 8 : hidden, ffnMatrices: gated ? 3 : 2, prefix: 1 + registers,
      rows: crop.height / patch, columns: crop.width / patch, patch: patch,
      headMACs: (2 * width * config.classes(), 0))
  }

  private static func vit(_ config: Config) throws -> Shape.Tower {
    let (patch, side) = (try config.int("patch_size", 16), try config.int("image_size", 224))
    let width = try config.int("hidden_size", 768)
    let heads = config.isArchitecture("WithTeacher") ? 2 : 1
    return try checked(
      blocks: config.int("num_hidden_layers", 12), width: width, heads: config.int("num_attention_heads", 12),
      ffn: config.int("intermediate_size", 3072), prefix: config.json["model_type"]?.string == "deit" ? 2 : 1,
      rows: side / patch, columns: side / patch, patch: patch, headMACs: (heads * width * config.classes(), 0))
  }

  /// The same tower on images of `height` x `width` pixels; edges that do not fill a patch are dropped.
  /// - Throws: `ModelError.input` when not one patch fits.
  public func resized(height: Int, width: Int) throws(ModelError) -> Shape.Tower {
    guard height >= patch, width >= patch else {
      throw .input(
        what: "image size", found: "\(width)x\(height)", expected: "at least one patch of \(patch) pixels",
        fix: "Give a larger size.")
    }
    return on(rows: height / patch, columns: width / patch)
  }

  private static let gridLimit = 1 << 13

  static func checked(
    blocks: Int, featureBlock: Int? = nil, width: Int, heads: Int, ffn: Int, ffnMatrices: Int = 2, prefix: Int,
    rows: Int, columns: Int, patch: Int, frames: Int = 1, fuse: Int = 1, windows: Windows? = nil,
    anySize: Bool = true, headMACs: (constant: Int, perToken: Int) = (0, 0)
  ) throws -> Shape.Tower {
    try requireHeads(heads, width: width, blocks: blocks)
    try Shape.check(parameters: blocks * width * (4 * width + ffnMatrices * ffn), of: "tower")
    guard rows <= gridLimit, columns <= gridLimit, rows * columns <= 1 << 17 else {
      throw ModelError.configuration(
        file: "config.json", key: "image_size", found: "\(rows)x\(columns) patches", expected: "at most \(1 << 17)")
    }
    guard rows > 0, columns > 0 else {
      throw ModelError.configuration(
        file: "config.json", key: "image_size", found: "smaller than one patch", expected: "at least \(patch)")
    }
    return Shape.Tower(
      blocks: blocks, featureBlock: featureBlock, width: width, heads: heads, ffn: ffn, ffnMatrices: ffnMatrices,
      prefix: prefix, hasClassifier: prefix > 0, rows: rows, columns: columns, patch: patch, frames: frames, fuse: fuse,
      windows: windows, anySize: anySize, headMACs: headMACs.constant, headMACsPerToken: headMACs.perToken)
  }
}

extension Config {
  func isArchitecture(_ part: String) -> Bool {
    json.value(at: "architectures")?.strings?.contains { $0.hasSuffix(part) } ?? false
  }

  /// Classes of the classifier; 0 for a bare backbone.
  func classes() throws(ModelError) -> Int {
    guard isArchitecture("ForImageClassification") || isArchitecture("WithTeacher") else { return 0 }
    // transformers writes no list for its default of two labels.
    if let table = try sectionIfPresent("id2label")?.json.object { return table.count }
    return try int("num_labels", 2)
  }
}

extension Shape {
  /// Refuses sizes that lie in their ranges but make a model that nobody has: the largest published ones have 10^12
  /// parameters. Below this no cost overflows.
  static func check(parameters: Int, of part: String) throws(ModelError) {
    if parameters > 1 << 40 {
      throw ModelError.configuration(
        file: "config.json", key: part, found: "of \(parameters) parameters", expected: "at most \(1 << 40)")
    }
  }
}

/// A timm model by its architecture's name, where `model_args` says nothing else.
struct TimmShape {
  let tower: Shape.Tower

  init(_ config: Config) throws {
    let architecture = try config.string("architecture") ?? ""
    let arguments = try config.section("model_args")
    let words = architecture.split { $0 == "_" || $0 == "." }.map(String.init)
    let size = Self.sizes.first { words.contains($0.name) }
    func number(_ key: String, _ known: Int?) throws -> Int {
      guard let value = try arguments.intIfPresent(key) ?? known, (1...65536).contains(value) else {
        throw config.unfit(
          "architecture", "a known timm name (vit_small_..., deit_base_...) or model_args.\(key)",
          found: "'\(architecture)'")
      }
      return value
    }
    let width = try number("embed_dim", size?.width)
    let patch = try number("patch_size", words.compactMap { Self.number(in: $0, after: "patch") }.first)
    let named = words.compactMap { Int($0) }.last.flatMap { (1...8192).contains($0) ? $0 : nil }
    let sides = try arguments.intOrInts("img_size") ?? [named ?? 224]
    let input = try config.section("pretrained_cfg").inputSize()
    let (height, across) = input.map { ($0.height, $0.width) } ?? (sides[0], sides[sides.count - 1])
    let registers =
      try arguments.intIfPresent("reg_tokens") ?? words.compactMap { Self.number(in: $0, after: "reg") }.first ?? 0
    let distilled = words.contains("distilled")
    // The giant packs both halves of its gated MLP into one matrix.
    let gated = size?.name == "giant"
    let hidden = Int(Double(width) * (try arguments.double("mlp_ratio", size?.ratio ?? 4)))
    let classes = try config.int("num_classes", 1000)
    tower = try .checked(
      blocks: number("depth", size?.depth), width: width, heads: number("num_heads", size?.heads),
      ffn: gated ? hidden / 2 : hidden, ffnMatrices: gated ? 3 : 2, prefix: 1 + (distilled ? 1 : 0) + registers,
      rows: height / patch, columns: across / patch, patch: patch,
      headMACs: ((distilled ? 2 : 1) * width * classes, 0))
  }

  private static let sizes: [(name: String, width: Int, depth: Int, heads: Int, ratio: Double)] = [
    ("tiny", 192, 12, 3, 4), ("small", 384, 12, 6, 4), ("base", 768, 12, 12, 4), ("large", 1024, 24, 16, 4),
    ("huge", 1280, 32, 16, 4), ("giant", 1536, 40, 24, 2.66667 * 2),
  ]

  private static func number(in word: String, after prefix: String) -> Int? {
    word.hasPrefix(prefix) ? Int(word.dropFirst(prefix.count)).flatMap { (0...1024).contains($0) ? $0 : nil } : nil
  }
}
