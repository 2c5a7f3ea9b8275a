/// LLaVA-NeXT's "anyres": the whole picture squeezed into one tile, then the picture at the resolution that fits it
/// best, centred on black and cut into tiles.
/// (transformers: `models/llava_next/image_processing_pil_llava_next.py`, `image_processing_utils.py`.)
public struct AnyResolutionProcessor: TiledProcessor, Equatable {
  /// What happens to every tile, the thumbnail too.
  public let tile: ImageProcessor
  /// Size of the thumbnail, and edge of a tile before `tile`.
  public let thumbnail: Size, side: Int
  /// Resolutions to choose from, multiples of `side`.
  public let pinpoints: [Size]

  /// - Precondition: there are pinpoints, all multiples of `side`.
  public init(tile: ImageProcessor, thumbnail: Size, side: Int, pinpoints: [Size]) {
    precondition(!pinpoints.isEmpty && pinpoints.allSatisfy { Self.isMultiple($0, of: side) })
    self.tile = tile
    self.thumbnail = thumbnail
    self.side = side
    self.pinpoints = pinpoints
  }

  public static func isMultiple(_ size: Size, of side: Int) -> Bool {
    side > 0 && size.width > 0 && size.height > 0 && size.width % side == 0 && size.height % side == 0
  }

  /// The resolution that keeps most pixels, of equals the one that wastes least, of equals the first
  /// (`select_best_resolution`).
  public func resolution(for size: Size) -> Size {
    let (width, height) = (Double(size.width), Double(size.height))
    var best = pinpoints[0]
    var bestKept = -1
    var bestWaste = 0
    for candidate in pinpoints {
      let scale = min(Double(candidate.width) / width, Double(candidate.height) / height)
      let kept = min(Int(width * scale) * Int(height * scale), size.width * size.height)
      let waste = candidate.width * candidate.height - kept
      if kept > bestKept || kept == bestKept && waste < bestWaste {
        (best, bestKept, bestWaste) = (candidate, kept, waste)
      }
    }
    return best
  }

  /// The picture's own size inside a resolution, where it touches two sides (`get_patch_output_size`).
  public func fitted(_ size: Size, in resolution: Size) -> Size {
    let across = Double(resolution.width) / Double(size.width)
    let down = Double(resolution.height) / Double(size.height)
    if across < down {
      let height = Int((Double(size.height) * across).rounded(.up))
      return Size(width: resolution.width, height: min(height, resolution.height))
    }
    return Size(width: min(Int((Double(size.width) * down).rounded(.up)), resolution.width), height: resolution.height)
  }

  /// Where the fitted picture begins: the odd pixel of black goes to the right or below.
  public func margins(of fitted: Size, in resolution: Size) -> (left: Int, top: Int) {
    ((resolution.width - fitted.width) / 2, (resolution.height - fitted.height) / 2)
  }

  public func region(of size: Size) -> ImageProcessor.Region {
    let resolution = resolution(for: size)
    let fitted = fitted(size, in: resolution)
    let (left, top) = margins(of: fitted, in: resolution)
    let across = Double(size.width) / Double(fitted.width)
    let down = Double(size.height) / Double(fitted.height)
    return ImageProcessor.Region(
      x: -Double(left) * across, y: -Double(top) * down, width: Double(resolution.width) * across,
      height: Double(resolution.height) * down)
  }

  public func tiles(of image: Image) -> PreparedImage {
    let resolution = resolution(for: image.size)
    let fitted = fitted(image.size, in: resolution)
    let (left, top) = margins(of: fitted, in: resolution)
    let whole = image.resized(
      width: thumbnail.width, height: thumbnail.height, filter: tile.filter, passes: tile.passes)
    let large = image.resized(width: fitted.width, height: fitted.height, filter: tile.filter, passes: tile.passes)
    let (rows, columns) = (resolution.height / side, resolution.width / side)
    let parts = (0..<rows * columns).map { index in
      large.cropped(
        x: index % columns * side - left, y: index / columns * side - top, width: side, height: side)
    }
    return PreparedImage(tiles: ([whole] + parts).map { tile($0) }, rows: rows, columns: columns, original: image.size)
  }
}
