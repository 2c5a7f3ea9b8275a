import VTokTensor

/// Qwen2-VL's processor: the picture at about its own size, sides rounded to whole cells of `merge * merge` patches, cut
/// into patches cell by cell. PaddleOCR-VL's cuts row by row, and enlarges what is thinner than a cell.
/// (transformers: `models/qwen2_vl/image_processing_pil_qwen2_vl.py`, `models/paddleocr_vl`.)
public struct MergedPatchProcessor: TiledProcessor, Equatable {
  /// The long side may be so many times the short one.
  public static let aspectLimit = 200.0

  /// Filter and normalisation.
  public let pixels: ImageProcessor
  /// Edge of a patch in pixels; patches along the edge of a cell; frames that a still picture stands for.
  public let patch: Int, merge: Int, frames: Int
  /// Pixels that the resized picture may have; nil: it is not resized.
  public let area: ClosedRange<Int>?
  /// The order of the patches.
  public let order: Order
  /// Whether a picture whose edge is less than a cell is enlarged to one, at its own aspect ratio, before all else.
  public let enlargesThin: Bool

  public enum Order: Sendable { case cells, rows }

  /// - Precondition: all numbers are positive.
  public init(
    pixels: ImageProcessor, patch: Int, merge: Int, frames: Int, area: ClosedRange<Int>?, order: Order = .cells,
    enlargesThin: Bool = false
  ) {
    precondition(patch > 0 && merge > 0 && frames > 0 && area?.lowerBound ?? 1 > 0)
    self.pixels = pixels
    self.patch = patch
    self.merge = merge
    self.frames = frames
    self.area = area
    self.order = order
    self.enlargesThin = enlargesThin
  }

  /// The size that is a multiple of a cell and lies in `area` (`smart_resize`).
  /// - Throws: ``ImageError`` `tooLarge` for a picture that is too long and thin, or one that is not resized and no
  ///   multiple.
  public func resized(_ size: Size) throws(ImageError) -> Size {
    let factor = Double(patch * merge)
    var (width, height) = (Double(size.width), Double(size.height))
    guard let area else {
      guard size.width % (patch * merge) == 0, size.height % (patch * merge) == 0 else {
        throw ImageError(
          .tooLarge,
          "its size is \(size), and the model's processor does not resize; expected multiples of "
            + "\(patch * merge) pixels")
      }
      return size
    }
    if enlargesThin {
      if height < factor { (width, height) = ((width * factor / height).rounded(.toNearestOrEven), factor) }
      if width < factor { (width, height) = (factor, (height * factor / width).rounded(.toNearestOrEven)) }
    }
    let aspect = max(width, height) / min(width, height)
    guard aspect <= Self.aspectLimit else {
      throw ImageError(
        .tooLarge,
        "its size is \(size), an aspect ratio of \(aspect); the model takes at most "
          + "\(Int(Self.aspectLimit)), crop it first")
    }
    func cells(_ length: Double, _ rule: FloatingPointRoundingRule) -> Int {
      Int((length / factor).rounded(rule)) * patch * merge
    }
    let near = Size(width: cells(width, .toNearestOrEven), height: cells(height, .toNearestOrEven))
    if near.width * near.height > area.upperBound {
      let shrink = (width * height / Double(area.upperBound)).squareRoot()
      return Size(
        width: max(patch * merge, cells(width / shrink, .down)),
        height: max(patch * merge, cells(height / shrink, .down)))
    }
    if near.width * near.height < area.lowerBound {
      let grow = (Double(area.lowerBound) / (width * height)).squareRoot()
      return Size(width: cells(width * grow, .up), height: cells(height * grow, .up))
    }
    return near
  }

  public func tiles(of image: Image) throws(ImageError) -> PreparedImage {
    let size = try resized(image.size)
    let planes = pixels.normalise(
      image.resized(width: size.width, height: size.height, filter: pixels.filter, passes: pixels.passes))
    let (rows, columns) = (size.height / patch, size.width / patch)
    let rowSize = 3 * frames * patch * patch
    let patches = Tensor(shape: [rows * columns, rowSize]) { out in
      planes.values.withUnsafeBufferPointer { planes in
        var to = out
        // Of a patch every channel once per frame.
        for index in 0..<rows * columns {
          let (row, column) = place(of: index, columns: columns)
          for channel in 0..<3 {
            let corner = (channel * size.height + row * patch) * size.width + column * patch
            for _ in 0..<frames {
              for line in 0..<patch {
                to.update(from: planes.baseAddress! + corner + line * size.width, count: patch)
                to += patch
              }
            }
          }
        }
      }
    }
    return PreparedImage(
      tiles: [patches], rows: rows, columns: columns, original: image.size, mean: pixels.mean, std: pixels.std)
  }

  /// Where a patch lies: row by row, or cell by cell and patch by patch inside a cell.
  private func place(of index: Int, columns: Int) -> (row: Int, column: Int) {
    if order == .rows { return (index / columns, index % columns) }
    let (cell, inside) = (index / (merge * merge), index % (merge * merge))
    return (
      cell / (columns / merge) * merge + inside / merge, cell % (columns / merge) * merge + inside % merge
    )
  }
}
