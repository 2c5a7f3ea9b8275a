extension Image {
  /// The rectangle whose top left corner is pixel `(x, y)`. Where it leaves the picture the result is black.
  ///
  /// - Precondition: both sides are at least 1.
  public func cropped(x: Int, y: Int, width: Int, height: Int) -> Image {
    var out = Image(width: width, height: height, colour: [0, 0, 0])
    let columns = max(x, 0)..<max(min(x + width, self.width), max(x, 0))
    let rows = max(y, 0)..<max(min(y + height, self.height), max(y, 0))
    for row in rows where !columns.isEmpty {
      let from = (row * self.width + columns.lowerBound) * 3
      let to = ((row - y) * width + columns.lowerBound - x) * 3
      out.rgb.replaceSubrange(to..<to + columns.count * 3, with: rgb[from..<from + columns.count * 3])
    }
    return out
  }

  /// The picture centred on a square of its longer side, as LLaVA's `expand2square`: margins by floor division, the
  /// odd pixel to the right or below.
  ///
  /// - Precondition: `colour` has three samples.
  public func paddedToSquare(colour: [UInt8]) -> Image {
    let canvas = Canvas(square: size, colour: colour)
    let side = 0..<canvas.size.width
    return resized(on: canvas, to: canvas.size, columns: side, rows: side, filter: .nearest)
  }

  /// Rows as columns.
  func transposed() -> Image { oriented(5) }

  /// The picture turned and mirrored as EXIF orientation `exif` asks for; 1 and values outside 1...8 leave it as it is.
  /// 5...8 exchange width and height.
  public func oriented(_ exif: Int) -> Image {
    guard (2...8).contains(exif) else { return self }
    let turned = exif >= 5
    let size = turned ? Size(width: height, height: width) : size
    // Output (x, y) comes from pixel `start + x * right + y * down`.
    let (right, down) = turned ? (width, 1) : (1, width)
    let mirrorsColumns = [2, 3, 6, 7].contains(exif)
    let mirrorsRows = [3, 4, 7, 8].contains(exif)
    let start = (mirrorsColumns ? (size.width - 1) * right : 0) + (mirrorsRows ? (size.height - 1) * down : 0)
    let stepRight = (mirrorsColumns ? -right : right) * 3
    let stepDown = (mirrorsRows ? -down : down) * 3
    let count = rgb.count
    let out = [UInt8](unsafeUninitializedCapacity: count) { out, initialized in
      rgb.withUnsafeBufferPointer { rgb in
        for y in 0..<size.height {
          var from = start * 3 + y * stepDown
          var to = y * size.width * 3
          for _ in 0..<size.width {
            out[to] = rgb[from]
            out[to + 1] = rgb[from + 1]
            out[to + 2] = rgb[from + 2]
            from += stepRight
            to += 3
          }
        }
      }
      initialized = count
    }
    return Image(width: size.width, height: size.height, rgb: out)
  }
}
