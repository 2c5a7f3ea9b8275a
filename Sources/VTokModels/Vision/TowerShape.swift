import VTokCore
import VTokImage
import VTokWeights

// The numbers of a tower from config.json alone: the cost of a model needs no weights, and loaders begin from them.

extension Shape.Tower {
  /// Any family that can be loaded.
  /// - Parameters:
  ///   - config: `config.json` as published.
  ///   - processor: some families take the size of their images from there.
  ///   - size: of images, in place of what the two say.
  /// - Throws: `ModelError`.
  public init(config: JSON, processor: ProcessorFile? = nil, size: Size? = nil) throws {
    let family = try VisionFamily.of(config)
    let own = try family.sizes.flatMap { try TowerProcessor.read(processor, standard: $0)?.usualSize }
    self = try family.shape(Config(json: config), size ?? own)
    if let size { self = try resized(height: size.height, width: size.width) }
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
    hasClassifier: Bool? = nil, rows: Int, columns: Int, patch: Int, frames: Int = 1, fuse: Int = 1,
    windows: Windows? = nil,
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
      prefix: prefix, hasClassifier: hasClassifier ?? (prefix > 0), rows: rows, columns: columns, patch: patch,
      frames: frames, fuse: fuse,
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
