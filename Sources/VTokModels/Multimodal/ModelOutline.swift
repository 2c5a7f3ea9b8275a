import VTokCore
import VTokImage
import VTokTensor
import VTokWeights

/// A model without its weights: what a picture becomes in it, and so what that costs.
public struct ModelOutline: Sendable {
  public let shape: Shape
  /// nil for a tower alone.
  package let geometry: (any VisualGeometry)?
  private let processor: (any TiledProcessor)?

  /// - Parameters:
  ///   - config: `config.json` as published, of a vision tower or a vision-language model of any known family.
  ///   - processor: nil: the family's own.
  /// - Throws: `ModelError`.
  public init(config: JSON, processor file: ProcessorFile? = nil) throws {
    if let family = MultimodalFamily.of(config) {
      let outline = try family.read(Config(json: config))
      (shape, geometry) = (outline.shape, outline.geometry)
      processor = try ProcessorConfig.read(file, config: config)
    } else {
      let tower = try Shape.Tower(config: config, processor: file)
      (shape, geometry, processor) = (Shape(tower: tower), nil, nil)
    }
  }

  /// What the files of a checkpoint say.
  /// - Throws: `ModelError`, `WeightError`.
  public init(_ checkpoint: Checkpoint) throws {
    try self.init(config: checkpoint.config, processor: checkpoint.processorFile)
  }

  /// A tower alone.
  public init(tower: Shape.Tower) { (shape, geometry, processor) = (Shape(tower: tower), nil, nil) }

  /// A published model by its name, without any file.
  public static func published(_ name: String) -> ModelOutline? {
    Families.published.first { $0.name == name }.map {
      try! ModelOutline(config: $0.config, processor: $0.processor)  // our own text, tested
    }
  }

  /// Visual tokens of every image, where all have the same number; nil where it depends on the image.
  public var fixedTokens: Int? {
    guard shape.layout?.tiling == .one, let geometry else { return nil }
    return geometry.spans(of: PreparedImage(tiles: [Tensor(zeros: [3, 1, 1])], original: Size(1))).reduce(0, +)
  }

  /// How many tiles the tower sees of a picture, and how many pixels each covers.
  /// - Throws: `ImageError` if the processor refuses the size.
  /// - Precondition: this is a vision-language model.
  public func tiles(of picture: Size) throws -> (count: Int, tile: Size) {
    let image = try prepared(picture)
    let grid = geometry!.grid(of: image)
    let patch = shape.tower!.patch
    return (image.tiles.count, Size(width: grid.columns * patch, height: grid.rows * patch))
  }

  /// Visual tokens that a picture becomes when nothing is reduced.
  /// - Throws: `ImageError` if the processor refuses the size, `ModelError` for one that does not fit the model.
  /// - Precondition: this is a vision-language model.
  public func visualTokens(of picture: Size) throws -> Int {
    let image = try prepared(picture)
    try geometry!.check(image)
    return geometry!.spans(of: image).reduce(0, +)
  }

  /// A picture of so many pixels, prepared for the model.
  /// - Throws: `ImageError` if the processor refuses the size.
  /// - Precondition: this is a vision-language model.
  package func prepared(_ size: Size) throws -> PreparedImage {
    guard let processor else { preconditionFailure("a tower has no prompt") }
    return try processor.tiles(of: Image(width: size.width, height: size.height, colour: [0, 0, 0]))
  }
}
