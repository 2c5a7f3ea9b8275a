/// Idefics3's and SmolVLM's image splitting: the picture is enlarged until its long edge is `longestEdge`, bent to
/// multiples of `side`, cut into tiles, and the whole follows as the last tile.
/// (transformers: `models/idefics3/image_processing_pil_idefics3.py`.)
public struct SplittingProcessor: TiledProcessor, Equatable {
  /// The long edge is never made longer than this.
  public static let longestEdgeLimit = 4096

  /// Filter and normalisation.
  public let pixels: ImageProcessor
  /// Of the first resize; nil: none.
  public let longestEdge: Int?
  /// Edge of a tile.
  public let side: Int
  /// Without, the picture is squeezed into one tile.
  public let splits: Bool

  /// - Precondition: edges are positive.
  public init(pixels: ImageProcessor, longestEdge: Int?, side: Int, splits: Bool = true) {
    precondition(side > 0 && longestEdge ?? 1 > 0)
    self.pixels = pixels
    self.longestEdge = longestEdge
    self.side = side
    self.splits = splits
  }

  /// After the first resize, which keeps the aspect ratio up to an even short edge.
  public func enlarged(_ size: Size) -> Size {
    guard let longestEdge else { return size }
    func sized(_ size: Size, long: Int, even: Bool) -> Size {
      let aspect = Double(size.width) / Double(size.height)
      let isWide = size.width >= size.height
      let short = isWide ? Int(Double(long) / aspect) : Int(Double(long) * aspect)
      let length = max(even && short % 2 != 0 ? short + 1 : short, 1)
      return isWide ? Size(width: long, height: length) : Size(width: length, height: long)
    }
    let asked = sized(size, long: longestEdge, even: true)
    return longestEdge > Self.longestEdgeLimit ? sized(asked, long: Self.longestEdgeLimit, even: false) : asked
  }

  /// After the second, to whole tiles.
  public func bent(_ size: Size) -> Size {
    func whole(_ length: Int) -> Int { (length + side - 1) / side * side }
    let aspect = Double(size.width) / Double(size.height)
    if size.width >= size.height {
      let width = whole(size.width)
      return Size(width: width, height: whole(Int(Double(width) / aspect)))
    }
    let height = whole(size.height)
    return Size(width: whole(Int(Double(height) * aspect)), height: height)
  }

  /// Tiles of a picture of this size without the whole one; 0 x 0: the whole one is all there is.
  public func grid(for size: Size) -> (rows: Int, columns: Int) {
    let bent = bent(enlarged(size))
    guard splits, max(bent.width, bent.height) > side else { return (0, 0) }
    return (bent.height / side, bent.width / side)
  }

  public func tiles(of image: Image) throws(ImageError) -> PreparedImage {
    func resized(_ image: Image, _ size: Size) throws(ImageError) -> Image {
      // An edge that rounds down to nothing: 1 pixel beside thousands, with a small long edge.
      guard size.width > 0, size.height > 0 else {
        throw ImageError(.tooLarge, "its size is \(image.size), too thin to be split into tiles; crop it first")
      }
      return image.resized(width: size.width, height: size.height, filter: pixels.filter, passes: pixels.passes)
    }
    let large = try resized(image, enlarged(image.size))
    let whole = Size(side)
    guard splits else {
      return PreparedImage(tiles: [pixels.normalise(try resized(large, whole))], original: image.size)
    }
    let cut = try resized(large, bent(large.size))
    let (rows, columns) = grid(for: image.size)
    let parts = (0..<rows * columns).map { index in
      cut.cropped(x: index % columns * side, y: index / columns * side, width: side, height: side)
    }
    let tiles = try parts + [resized(cut, whole)]
    return PreparedImage(
      tiles: tiles.map { pixels.normalise($0) }, rows: rows, columns: columns, original: image.size)
  }
}
