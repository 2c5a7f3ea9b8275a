/// InternVL's dynamic resolution: the picture bent to the grid of tiles whose aspect ratio is nearest to its own, cut row by
/// row, and the whole as the last tile where there are several.
/// (transformers: `models/got_ocr2/image_processing_pil_got_ocr2.py`; OpenGVLab/InternVL: `dynamic_preprocess`.)
public struct AspectTilesProcessor: TiledProcessor, Equatable {
  /// Filter and normalisation.
  public let pixels: ImageProcessor
  /// Of a tile.
  public let tile: Size
  /// How many tiles a picture may be cut into.
  public let tiles: ClosedRange<Int>
  /// Whether the whole follows several tiles.
  public let hasThumbnail: Bool

  /// - Precondition: sides and numbers are at least 1.
  public init(pixels: ImageProcessor, tile: Size, tiles: ClosedRange<Int>, hasThumbnail: Bool = true) {
    precondition(tile.width > 0 && tile.height > 0 && tiles.lowerBound > 0)
    self.pixels = pixels
    self.tile = tile
    self.tiles = tiles
    self.hasThumbnail = hasThumbnail
  }

  /// The grid of nearest aspect ratio, small ones first; an equally near larger one is taken where the picture has more than
  /// half its pixels (`get_optimal_tiled_canvas`).
  public func grid(for size: Size) -> (rows: Int, columns: Int) {
    if tiles.upperBound == 1 { return (1, 1) }
    let aspect = Double(size.width) / Double(size.height)
    var best = (rows: 1, columns: 1)
    var distance = Double.infinity
    for count in tiles {
      for columns in 1...count where count % columns == 0 {
        let rows = count / columns
        let own = abs(aspect - Double(columns) / Double(rows))
        let isLarge = Double(size.width * size.height) > 0.5 * Double(tile.width * tile.height * count)
        if own < distance || own == distance && isLarge { (best, distance) = ((rows, columns), own) }
      }
    }
    return best
  }

  public func tiles(of image: Image) -> PreparedImage {
    func resized(_ size: Size) -> Image {
      image.resized(width: size.width, height: size.height, filter: pixels.filter, passes: pixels.passes)
    }
    let (rows, columns) = grid(for: image.size)
    let large = resized(Size(width: columns * tile.width, height: rows * tile.height))
    let parts = (0..<rows * columns).map { index in
      large.cropped(
        x: index % columns * tile.width, y: index / columns * tile.height, width: tile.width, height: tile.height)
    }
    let whole = hasThumbnail && parts.count > 1 ? [resized(tile)] : []
    return PreparedImage(
      tiles: (parts + whole).map { pixels.normalise($0) }, rows: rows, columns: columns, original: image.size)
  }
}
