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
  /// Whether frames may be a video.
  public let takesVideos: Bool

  /// - Parameters:
  ///   - config: `config.json` as published, of a vision tower or a vision-language model of any known family.
  ///   - processor: nil: that of the family's published models.
  ///   - size: of the images of a tower; nil: its own.
  /// - Throws: `ModelError`.
  public init(config: JSON, processor file: ProcessorFile? = nil, size: Size? = nil) throws {
    if let family = MultimodalFamily.of(config) {
      let outline = try family.read(Config(json: config))
      (shape, geometry) = (outline.shape, outline.geometry)
      processor = try ProcessorConfig.read(file, config: config)
      takesVideos = geometry?.takesVideos == true && family.text.takesVideos
    } else {
      let tower = try Shape.Tower(config: config, processor: file, size: size)
      (shape, geometry, processor, takesVideos) = (Shape(tower: tower), nil, nil, false)
    }
  }

  /// What the files of a checkpoint say.
  /// - Throws: `ModelError`, `WeightError`.
  public init(_ checkpoint: Checkpoint) throws {
    try self.init(config: checkpoint.config, files: checkpoint.processorFile, of: checkpoint.name)
  }

  /// What the files of a folder say; where they say nothing about images, whose processor decides what they cost, that is
  /// an error.
  /// - Parameter size: of the images of a tower; nil: its own.
  package init(config: JSON, files: ProcessorFile?, of name: String, size: Size? = nil) throws {
    do {
      try self.init(config: config, processor: files, size: size)
    } catch ModelError.noProcessor {
      throw ModelError.noProcessor(model: name)
    }
    if let layout = shape.layout, layout.tiling != .one { try ProcessorConfig.require(files, config: config, of: name) }
  }

  /// A tower alone.
  public init(tower: Shape.Tower) {
    (shape, geometry, processor, takesVideos) = (Shape(tower: tower), nil, nil, false)
  }

  /// A published model by its name, without any file.
  public static func published(_ name: String) -> ModelOutline? {
    try! published(name, processor: nil)  // our own text, tested
  }

  /// The same with a processor that a user named.
  package static func published(_ name: String, processor: ProcessorFile?) throws -> ModelOutline? {
    try Families.published.first { $0.name == name }.map {
      try ModelOutline(config: $0.config, processor: processor ?? $0.processor)
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

  /// The patches of a picture that its processor only resizes to whole cells; nil: it does more.
  /// - Throws: `ImageError` if it refuses the size.
  package func nativeGrid(of picture: Size) throws(ImageError) -> (rows: Int, columns: Int)? {
    guard let merged = processor as? MergedPatchProcessor else { return nil }
    let size = try merged.resized(picture)
    return (size.height / merged.patch, size.width / merged.patch)
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
  /// - Parameter budget: of its visual tokens, into which its processor shrinks it; nil: it does not.
  /// - Throws: `ImageError` if the processor refuses the size.
  /// - Precondition: this is a vision-language model.
  package func prepared(_ size: Size, shrunkTo budget: Budget? = nil) throws -> PreparedImage {
    guard let processor else { preconditionFailure("a tower has no prompt") }
    let used = try budget.flatMap { try shrinking(size, to: $0) } ?? processor
    return try used.tiles(of: Image(width: size.width, height: size.height, colour: [0, 0, 0]))
  }

  /// The processor that gives a picture of this size at most the visual tokens of a budget, which are cells of whole patches;
  /// nil: pictures have the tokens that they have.
  package func shrinking(_ size: Size, to budget: Budget) throws(ImageError) -> (any TiledProcessor)? {
    guard let merged = processor as? MergedPatchProcessor else { return nil }
    let cells = try merged.cells(of: size)
    let wanted = budget.tokens(of: cells)
    return wanted < cells ? merged.shrunk(toCells: max(1, wanted)) : merged
  }

  /// The places of a picture that was shrunk to a budget as it would be whole, without its pixels.
  package func whole(_ image: PreparedImage) throws(ImageError) -> PreparedImage {
    guard let grid = try nativeGrid(of: image.original) else { return image }
    return PreparedImage(
      tiles: [Tensor(zeros: [1, 1])], rows: grid.rows, columns: grid.columns, original: image.original)
  }
}
