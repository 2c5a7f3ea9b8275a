import VTokTensor

/// Gemma 3's processor: the whole picture bent to a square, and, where it pans and scans, crops along the longer side of a
/// long picture behind it, each bent to the same square.
/// (transformers: `models/gemma3/image_processing_pil_gemma3.py`.)
public struct PanAndScanProcessor: TiledProcessor, Equatable {
  /// When and how a picture is cropped.
  public struct Crops: Sendable, Equatable {
    /// Least edge of a crop in pixels, most crops, and how many times as long as wide a picture must be.
    public let edge: Int, most: Int
    public let ratio: Double

    /// - Precondition: all are positive.
    public init(edge: Int, most: Int, ratio: Double) {
      precondition(edge > 0 && most > 0 && ratio > 0)
      self.edge = edge
      self.most = most
      self.ratio = ratio
    }
  }

  /// Size, filter and normalisation of every tile.
  public let pixels: ImageProcessor
  /// nil: the whole picture is all there is.
  public let crops: Crops?

  public init(pixels: ImageProcessor, crops: Crops?) {
    self.pixels = pixels
    self.crops = crops
  }

  /// A crop of a picture, in its pixels.
  public struct Box: Sendable, Equatable {
    public let top: Int, left: Int
    public let size: Size
  }

  /// The crops of a picture of this size, along its longer side; the last one ends with the picture and may be narrower.
  public func boxes(of size: Size) -> [Box] {
    guard let crops else { return [] }
    let (long, short) = (max(size.width, size.height), min(size.width, size.height))
    let ratio = Double(long) / Double(short)
    guard ratio >= crops.ratio else { return [] }
    let count = min(crops.most, max(2, min(long / crops.edge, Int(ratio + 0.5))))
    let length = (long + count - 1) / count
    guard min(length, short) >= crops.edge else { return [] }
    return stride(from: 0, to: long, by: length).map { start in
      let own = min(length, long - start)
      return size.width >= size.height
        ? Box(top: 0, left: start, size: Size(width: own, height: size.height))
        : Box(top: start, left: 0, size: Size(width: size.width, height: own))
    }
  }

  public func tiles(of image: Image) throws(ImageError) -> PreparedImage {
    let boxes = boxes(of: image.size)
    let parts = boxes.map { image.cropped(x: $0.left, y: $0.top, width: $0.size.width, height: $0.size.height) }
    let isWide = image.width >= image.height
    let (rows, columns) = boxes.isEmpty ? (0, 0) : isWide ? (1, boxes.count) : (boxes.count, 1)
    return PreparedImage(
      tiles: ([image] + parts).map { pixels($0) }, rows: rows, columns: columns, original: image.size)
  }
}
