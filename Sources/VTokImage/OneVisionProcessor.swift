/// LLaVA-OneVision's: the only picture of a prompt as LLaVA-NeXT has it; of several each is centred on a square of the mean
/// colour, and one tile.
/// (transformers: `models/llava_onevision/image_processing_pil_llava_onevision.py`.)
public struct OneVisionProcessor: TiledProcessor, Equatable {
  public let grid: AnyResolutionProcessor
  /// Of one picture among several.
  public let square: ImageProcessor

  public init(grid: AnyResolutionProcessor) {
    self.grid = grid
    var square = grid.tile
    square.padToSquare = ImageProcessor.padding(mean: square.mean)
    square.resize = .exact(width: grid.thumbnail.width, height: grid.thumbnail.height)
    square.crop = nil
    self.square = square
  }

  public func tiles(of image: Image) -> PreparedImage { grid.tiles(of: image) }

  public func tiles(of image: Image, among images: Int) -> PreparedImage {
    images > 1 ? square.tiles(of: image) : grid.tiles(of: image)
  }

  /// Each frame is one tile, whatever its aspect ratio.
  /// - Precondition: there is a frame.
  public func video(_ frames: [Image], rate: Double) -> PreparedImage? {
    let size = grid.thumbnail
    let tiles = frames.map { frame in
      grid.tile.normalise(
        frame.resized(width: size.width, height: size.height, filter: grid.tile.filter, passes: grid.tile.passes))
    }
    return PreparedImage(
      tiles: tiles, original: frames[0].size, isVideo: true, seconds: frames.indices.map { Double($0) / rate },
      pace: 1 / rate)
  }

  public func region(of size: Size) -> ImageProcessor.Region { grid.region(of: size) }
}
