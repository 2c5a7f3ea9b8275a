/// What the official processor of a vision-language model does with one picture. One value per published processor; all
/// are equal to the Pillow-backed Hugging Face ones byte for byte up to the normalisation.
public protocol TiledProcessor: Sendable {
  /// The tiles of a picture of any size.
  /// - Throws: ``ImageError`` `tooLarge` for a picture that the official processor refuses.
  func tiles(of image: Image) throws(ImageError) -> PreparedImage
}

/// LLaVA-1.5: the picture is the only tile.
extension ImageProcessor: TiledProcessor {
  public func tiles(of image: Image) -> PreparedImage {
    PreparedImage(tiles: [self(image)], original: image.size)
  }

  /// The colour of LLaVA's square: `int(255 * mean)`.
  public static func padding(mean: [Float]) -> [UInt8] {
    mean.map { UInt8(clamping: Int((Double($0.description) ?? 0) * 255)) }  // of the decimal, as Python has it
  }
}
