/// A size in pixels.
public struct Size: Sendable, Equatable, CustomStringConvertible {
  public var width: Int
  public var height: Int

  public init(width: Int, height: Int) {
    self.width = width
    self.height = height
  }

  /// A square.
  public init(_ side: Int) { self.init(width: side, height: side) }

  var transposed: Size { Size(width: height, height: width) }

  /// "width x height".
  public var description: String { "\(width)x\(height)" }
}

/// A picture of 8-bit RGB pixels.
public struct Image: Sendable, Equatable {
  public let width: Int
  public let height: Int
  /// The samples, `[height, width, 3]` row by row from the top. Write them in place; their number is fixed.
  public var rgb: [UInt8]

  /// - Precondition: both sides are at least 1 and `rgb.count` is `width * height * 3`.
  public init(width: Int, height: Int, rgb: [UInt8]) {
    precondition(width > 0 && height > 0, "an image cannot be \(width)x\(height)")
    precondition(rgb.count == width * height * 3, "\(rgb.count) samples do not make \(width)x\(height) RGB pixels")
    self.width = width
    self.height = height
    self.rgb = rgb
  }

  /// A plain area of one colour.
  ///
  /// - Precondition: `colour` has three samples.
  public init(width: Int, height: Int, colour: [UInt8]) {
    precondition(colour.count == 3, "a colour has 3 samples, not \(colour.count)")
    let count = width * height * 3
    let rgb = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      for i in stride(from: 0, to: count, by: 3) {
        buffer[i] = colour[0]
        buffer[i + 1] = colour[1]
        buffer[i + 2] = colour[2]
      }
      initialized = count
    }
    self.init(width: width, height: height, rgb: rgb)
  }

  public var size: Size { Size(width: width, height: height) }
}
