/// What the official processor of a vision-language model does with one picture. One value per published processor; all
/// are equal to the Pillow-backed Hugging Face ones byte for byte up to the normalisation.
public protocol TiledProcessor: Sendable {
  /// The tiles of a picture of any size.
  /// - Throws: ``ImageError`` `tooLarge` for a picture that the official processor refuses.
  func tiles(of image: Image) throws(ImageError) -> PreparedImage
  /// The same of one picture among several of a prompt, where that makes a difference.
  func tiles(of image: Image, among images: Int) throws(ImageError) -> PreparedImage
  /// Pictures of one size as the frames of one video; nil: no video is prepared with it.
  /// - Parameter rate: frames a second.
  /// - Throws: ``ImageError`` for too few frames, or a size that the official processor refuses.
  func video(_ frames: [Image], rate: Double) throws(ImageError) -> PreparedImage?
  /// The part of a picture of this size that the tiles together show (without thumbnail or whole image), in its pixels. It
  /// reaches beyond the picture where the processor pads.
  func region(of size: Size) -> ImageProcessor.Region
}

extension TiledProcessor {
  /// As the only one.
  public func tiles(of image: Image, among images: Int) throws(ImageError) -> PreparedImage { try tiles(of: image) }

  public func video(_ frames: [Image], rate: Double) throws(ImageError) -> PreparedImage? { nil }

  /// All of it.
  public func region(of size: Size) -> ImageProcessor.Region {
    ImageProcessor.Region(x: 0, y: 0, width: Double(size.width), height: Double(size.height))
  }
}

/// LLaVA-1.5: the picture is the only tile.
extension ImageProcessor: TiledProcessor {
  public func tiles(of image: Image) -> PreparedImage {
    PreparedImage(tiles: [self(image)], original: image.size, isSquared: padToSquare != nil)
  }

  public func region(of size: Size) -> Region { visibleRegion(width: size.width, height: size.height) }

  /// The colour of LLaVA's square: `int(255 * mean)`.
  public static func padding(mean: [Float]) -> [UInt8] {
    mean.map { UInt8(clamping: Int((Double($0.description) ?? 0) * 255)) }  // of the decimal, as Python has it
  }
}
