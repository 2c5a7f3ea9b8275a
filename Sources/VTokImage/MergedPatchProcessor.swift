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
  /// How frames of videos are resized; nil: no video is prepared.
  public var videos: Videos?

  /// Filter and normalisation of frames, and the pixels that they may have.
  public struct Videos: Sendable, Equatable {
    public let pixels: ImageProcessor
    /// nil: they are not resized.
    public let area: ClosedRange<Int>?
    /// Whether the pixels are those of all frames together (Qwen3-VL); else of each.
    public let isOfAll: Bool

    public init(pixels: ImageProcessor, area: ClosedRange<Int>?, isOfAll: Bool) {
      self.pixels = pixels
      self.area = area
      self.isOfAll = isOfAll
    }
  }

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

  /// Cells that a picture of this size becomes.
  public func cells(of picture: Size) throws(ImageError) -> Int {
    let size = try resized(picture)
    return size.width / (patch * merge) * (size.height / (patch * merge))
  }

  /// The same processor for pictures of at most so many cells: its `max_pixels`. What is longer than so many cells in a row
  /// keeps more.
  public func shrunk(toCells cells: Int) -> MergedPatchProcessor {
    let most = cells * patch * merge * patch * merge
    return MergedPatchProcessor(
      pixels: pixels, patch: patch, merge: merge, frames: frames, area: min(area?.lowerBound ?? 1, most)...most,
      order: order, enlargesThin: enlargesThin)
  }

  /// The size that is a multiple of a cell and lies in `area` (`smart_resize`).
  /// - Throws: ``ImageError`` `tooLarge` for a picture that is too long and thin, or one that is not resized and no
  ///   multiple.
  public func resized(_ size: Size) throws(ImageError) -> Size { try resized(size, area, frames: 1) }

  /// - Parameter frames: whose pixels count together.
  private func resized(_ size: Size, _ area: ClosedRange<Int>?, frames: Int) throws(ImageError) -> Size {
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
    } else if frames > 1, min(width, height) < factor {
      let scale = max(factor / height, factor / width)
      (width, height) = ((width * scale).rounded(.down), (height * scale).rounded(.down))
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
    let whole = frames == 1 ? 1 : Int((Double(frames) / Double(self.frames)).rounded(.toNearestOrEven)) * self.frames
    let pixels = Double(frames) * height * width
    if whole * near.width * near.height > area.upperBound {
      let shrink = (pixels / Double(area.upperBound)).squareRoot()
      return Size(
        width: max(patch * merge, cells(width / shrink, .down)),
        height: max(patch * merge, cells(height / shrink, .down)))
    }
    if whole * near.width * near.height < area.lowerBound {
      let grow = (Double(area.lowerBound) / pixels).squareRoot()
      return Size(width: cells(width * grow, .up), height: cells(height * grow, .up))
    }
    return near
  }

  public func tiles(of image: Image) throws(ImageError) -> PreparedImage {
    let size = try resized(image.size)
    let planes = pixels.normalise(
      image.resized(width: size.width, height: size.height, filter: pixels.filter, passes: pixels.passes))
    return PreparedImage(
      tiles: [patches(of: [Tensor](repeating: planes, count: frames), size)], rows: size.height / patch,
      columns: size.width / patch, original: image.size, mean: pixels.mean, std: pixels.std)
  }

  /// A tile for as many frames as a patch spans; the last frame stands for those that are missing. Resized by Pillow's rules,
  /// where the official processor of videos has torchvision's.
  /// (transformers: `models/qwen2_vl/video_processing_qwen2_vl.py`, `models/qwen3_vl/video_processing_qwen3_vl.py`.)
  public func video(_ frames: [Image], rate: Double) throws(ImageError) -> PreparedImage? {
    guard let videos, order == .cells else { return nil }
    guard frames.count >= self.frames else {
      throw ImageError(.tooLarge, "a video of 1 frame, expected at least \(self.frames)")
    }
    let size = try resized(frames[0].size, videos.area, frames: videos.isOfAll ? frames.count : 1)
    var planes = frames.map { frame in
      videos.pixels.normalise(
        frame.resized(width: size.width, height: size.height, filter: pixels.filter, passes: pixels.passes))
    }
    var times = frames.indices.map { Double($0) / rate }
    while planes.count % self.frames != 0 {
      planes.append(planes.last!)
      times.append(times.last!)
    }
    let starts = stride(from: 0, to: planes.count, by: self.frames)
    return PreparedImage(
      tiles: starts.map { patches(of: Array(planes[$0..<$0 + self.frames]), size) }, rows: size.height / patch,
      columns: size.width / patch, original: frames[0].size, isVideo: true,
      seconds: starts.map { (times[$0] + times[$0 + self.frames - 1]) / 2 }, pace: Double(self.frames) / rate,
      mean: videos.pixels.mean, std: videos.pixels.std)
  }

  /// Patches of frames that lie behind each other in time: of a patch every channel once per frame.
  /// - Parameter planes: `[3, height, width]` each.
  private func patches(of planes: [Tensor], _ size: Size) -> Tensor {
    let (rows, columns) = (size.height / patch, size.width / patch)
    return Tensor(shape: [rows * columns, 3 * planes.count * patch * patch]) { out in
      for (frame, plane) in planes.enumerated() {
        plane.values.withUnsafeBufferPointer { plane in
          for index in 0..<rows * columns {
            let (row, column) = place(of: index, columns: columns)
            for channel in 0..<3 {
              let corner = (channel * size.height + row * patch) * size.width + column * patch
              var to = out + ((index * 3 + channel) * planes.count + frame) * patch * patch
              for line in 0..<patch {
                to.update(from: plane.baseAddress! + corner + line * size.width, count: patch)
                to += patch
              }
            }
          }
        }
      }
    }
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
