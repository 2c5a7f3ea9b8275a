import VTokCore
import VTokWeights

// The numbers of a tower from config.json alone, as the loaders would find them: the cost of a model needs no weights.

extension Shape.Tower {
  /// Any family that can be loaded.
  /// - Parameters:
  ///   - config: `config.json` as published.
  ///   - processor: `preprocessor_config.json`; DINOv2 takes its image size from there (224 without).
  /// - Throws: `ModelError`.
  public init(config: JSON, processor: JSON? = nil) throws {
    if config["architecture"] != nil {
      self = try TimmShape(config).tower
      return
    }
    switch config["model_type"]?.string {
    case "clip", "clip_vision_model": self = try .clip(HuggingFaceConfig(json: config["vision_config"] ?? config))
    case "siglip", "siglip_vision_model":
      self = try .siglip(HuggingFaceConfig(json: config["vision_config"] ?? config))
    case "dinov2", "dinov2_with_registers":
      self = try .dinov2(HuggingFaceConfig(json: config), crop: processor?["crop_size"])
    case "vit", "deit": self = try .vit(HuggingFaceConfig(json: config))
    case let type:
      throw ModelError.unknownFamily(
        found: type.map { "model type '\($0)'" } ?? "no model_type or architecture in config.json",
        known: VisionModel.families.map(\.name))
    }
  }

  static func clip(_ config: HuggingFaceConfig, featureBlock: Int? = nil, anySize: Bool = true) throws -> Shape.Tower {
    let (patch, side) = (try config.int("patch_size", 32), try config.int("image_size", 224))
    return try checked(
      blocks: config.int("num_hidden_layers", 12), featureBlock: featureBlock, width: config.int("hidden_size", 768),
      heads: config.int("num_attention_heads", 12), ffn: config.int("intermediate_size", 3072), prefix: 1,
      rows: side / patch, columns: side / patch, patch: patch, anySize: anySize)
  }

  private static func siglip(_ config: HuggingFaceConfig) throws -> Shape.Tower {
    let (patch, side) = (try config.int("patch_size", 16), try config.int("image_size", 224))
    let (width, ffn) = (try config.int("hidden_size", 768), try config.int("intermediate_size", 3072))
    let pools = config.json["vision_use_head"]?.bool ?? true
    return try checked(
      blocks: config.int("num_hidden_layers", 12), width: width, heads: config.int("num_attention_heads", 12),
      ffn: ffn, prefix: 0, rows: side / patch, columns: side / patch, patch: patch,
      headMACs: pools ? AttentionPool.macs(width: width, ffn: ffn) : (0, 0))
  }

  private static func dinov2(_ config: HuggingFaceConfig, crop: JSON?) throws -> Shape.Tower {
    let (width, patch) = (try config.int("hidden_size", 768), try config.int("patch_size", 14))
    let ratio = Double(try config.float("mlp_ratio", 4))
    let gated = config.json["use_swiglu_ffn"]?.bool == true
    let hidden = Int(Double(width) * ratio)
    let height = crop?["height"]?.int ?? crop?.int ?? 224
    let across = crop?["width"]?.int ?? crop?.int ?? 224
    let registers =
      config.json["model_type"]?.string == "dinov2_with_registers" ? try config.int("num_register_tokens", 4) : 0
    return try checked(
      blocks: config.int("num_hidden_layers", 12), width: width, heads: config.int("num_attention_heads", 12),
      ffn: gated ? (hidden * 2 / 3 + 7) / 8 * 8 : hidden, ffnMatrices: gated ? 3 : 2, prefix: 1 + registers,
      rows: height / patch, columns: across / patch, patch: patch, headMACs: (2 * width * config.classes, 0))
  }

  private static func vit(_ config: HuggingFaceConfig) throws -> Shape.Tower {
    let (patch, side) = (try config.int("patch_size", 16), try config.int("image_size", 224))
    let width = try config.int("hidden_size", 768)
    let heads = config.isArchitecture("WithTeacher") ? 2 : 1
    return try checked(
      blocks: config.int("num_hidden_layers", 12), width: width, heads: config.int("num_attention_heads", 12),
      ffn: config.int("intermediate_size", 3072), prefix: config.json["model_type"]?.string == "deit" ? 2 : 1,
      rows: side / patch, columns: side / patch, patch: patch, headMACs: (heads * width * config.classes, 0))
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

  static func checked(
    blocks: Int, featureBlock: Int? = nil, width: Int, heads: Int, ffn: Int, ffnMatrices: Int = 2, prefix: Int,
    rows: Int, columns: Int, patch: Int, frames: Int = 1, fuse: Int = 1, windows: Windows? = nil,
    anySize: Bool = true, headMACs: (constant: Int, perToken: Int) = (0, 0)
  ) throws -> Shape.Tower {
    try requireHeads(heads, width: width, blocks: blocks)
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

extension HuggingFaceConfig {
  func isArchitecture(_ part: String) -> Bool {
    json["architectures"]?.strings?.contains { $0.hasSuffix(part) } ?? false
  }

  /// Classes of the classifier; 0 for a bare backbone.
  var classes: Int {
    guard isArchitecture("ForImageClassification") || isArchitecture("WithTeacher") else { return 0 }
    // transformers writes no list for its default of two labels.
    return json["id2label"]?.object?.count ?? json["num_labels"]?.int ?? 2
  }
}

/// A timm model by its architecture's name, where `model_args` says nothing else.
struct TimmShape {
  let tower: Shape.Tower

  init(_ config: JSON) throws {
    let architecture = config["architecture"]?.string ?? ""
    let arguments = config["model_args"] ?? [:]
    let words = architecture.split { $0 == "_" || $0 == "." }.map(String.init)
    let size = Self.sizes.first { words.contains($0.name) }
    func number(_ key: String, _ known: Int?) throws -> Int {
      guard let value = arguments[key]?.int ?? known, value > 0 else {
        throw ModelError.configuration(
          file: "config.json", key: "architecture", found: "'\(architecture)'",
          expected: "a known timm name (vit_small_..., deit_base_...) or model_args.\(key)")
      }
      return value
    }
    let width = try number("embed_dim", size?.width)
    let patch = try number("patch_size", words.compactMap { Self.number(in: $0, after: "patch") }.first)
    let input = config["pretrained_cfg"]?["input_size"]?.ints
    let side = arguments["img_size"]?.int ?? words.compactMap { Int($0) }.last ?? 224
    let (height, across) = input.flatMap { $0.count == 3 ? ($0[1], $0[2]) : nil } ?? (side, side)
    let registers = arguments["reg_tokens"]?.int ?? words.compactMap { Self.number(in: $0, after: "reg") }.first ?? 0
    let distilled = words.contains("distilled")
    // The giant packs both halves of its gated MLP into one matrix.
    let gated = size?.name == "giant"
    let hidden = Int(Double(width) * (arguments["mlp_ratio"]?.double ?? size?.ratio ?? 4))
    let classes = config["num_classes"]?.int ?? 1000
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
    word.hasPrefix(prefix) ? Int(word.dropFirst(prefix.count)) : nil
  }
}
