import VTokCore
import VTokImage
import VTokWeights

// The numbers of a tower from config.json alone, as the loaders would find them: the cost of a model needs no weights.

extension Shape.Tower {
  /// Any family that can be loaded.
  /// - Parameters:
  ///   - config: `config.json` as published.
  ///   - processor: DINOv2 takes its image size from there (224 without).
  /// - Throws: `ModelError`.
  public init(config: JSON, processor: ProcessorFile? = nil) throws {
    self = try VisionModel.family(of: config).shape(Config(json: config), processor)
  }

  static func clip(_ config: Config, featureBlock: Int? = nil, anySize: Bool = true) throws -> Shape.Tower {
    let (patch, side) = (try config.int("patch_size", 32), try config.int("image_size", 224))
    return try checked(
      blocks: config.int("num_hidden_layers", 12), featureBlock: featureBlock, width: config.int("hidden_size", 768),
      heads: config.int("num_attention_heads", 12), ffn: config.int("intermediate_size", 3072), prefix: 1,
      rows: side / patch, columns: side / patch, patch: patch, anySize: anySize)
  }

  static func siglip(_ config: Config) throws -> Shape.Tower {
    let (patch, side) = (try config.int("patch_size", 16), try config.int("image_size", 224))
    let (width, ffn) = (try config.int("hidden_size", 768), try config.int("intermediate_size", 3072))
    let pools = try config.bool("vision_use_head", true)
    return try checked(
      blocks: config.int("num_hidden_layers", 12), width: width, heads: config.int("num_attention_heads", 12),
      ffn: ffn, prefix: 0, rows: side / patch, columns: side / patch, patch: patch,
      headMACs: pools ? AttentionPool.macs(width: width, ffn: ffn) : (0, 0))
  }

  static func dinov2(_ config: Config, _ processor: ProcessorFile?) throws -> Shape.Tower {
    let (width, patch) = (try config.int("hidden_size", 768), try config.int("patch_size", 14))
    let gated = try config.bool("use_swiglu_ffn", false)
    let crop = try processor?.values.size("crop_size") ?? Size(224)
    return try checked(
      blocks: config.int("num_hidden_layers", 12), width: width, heads: config.int("num_attention_heads", 12),
      ffn: DINOv2.hidden(config, width: width), ffnMatrices: gated ? 3 : 2,
      prefix: 1 + DINOv2.registers(config, found: 0),
      rows: crop.height / patch, columns: crop.width / patch, patch: patch,
      headMACs: (2 * width * config.classes(), 0))
  }

  static func vit(_ config: Config) throws -> Shape.Tower {
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
