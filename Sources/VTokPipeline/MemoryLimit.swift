import VTokCore
import VTokEval
import VTokFiles
import VTokImage
import VTokModels

/// Memory that a run may take, as predicted before any work: `MemoryEstimate`.
public struct MemoryLimit: Sendable, Equatable {
  public let bytes: Int

  public init(bytes: Int) { self.bytes = bytes }

  /// No size of the pictures fits.
  public struct Excess: OneLineError {
    /// The smallest prediction there is, and the limit, in MB of 2^20 bytes.
    public let least: MemoryEstimate, limit: MemoryLimit
    /// Whether smaller pictures were tried.
    public let wasShrunk: Bool

    public var message: String {
      "memory: a run that is expected to take \(Int(least.megabytes.rounded(.up))) MB (\(least.shares))"
        + (wasShrunk ? " with the smallest pictures" : "")
        + ", expected at most \(Int(MemoryEstimate.megabytes(limit.bytes))) MB. Allow more, choose a lower precision, fewer "
        + "threads or another model."
    }
  }

  /// The largest number up to `most` with which a run fits.
  /// - Parameters:
  ///   - estimate: grows with its number.
  /// - Throws: `Excess` where it does not with 1.
  func largest(_ most: Int, _ estimate: (Int) throws -> MemoryEstimate) throws -> (Int, MemoryEstimate) {
    let whole = try estimate(most)
    if whole.total <= bytes { return (most, whole) }
    var (low, high) = (1, most)
    var best = try estimate(low)
    guard best.total <= bytes else { throw Excess(least: best, limit: self, wasShrunk: best.total < whole.total) }
    while high - low > 1 {
      let middle = (low + high) / 2
      let found = try estimate(middle)
      if found.total <= bytes { (low, best) = (middle, found) } else { high = middle }
    }
    return (low, best)
  }

  /// Sizes of the pictures of a prompt, all shrunk alike, with which a run fits, and what it is expected to take.
  /// - Throws: `Excess`.
  public func fitted(_ sizes: [Size], _ estimate: ([Size]) throws -> MemoryEstimate) throws -> (
    sizes: [Size], estimate: MemoryEstimate
  ) {
    let most = sizes.map { max($0.width, $0.height) }.max() ?? 1
    func shrunk(_ side: Int) -> [Size] {
      side == most ? sizes : sizes.map { $0.shrunk(by: Double(side) / Double(most)) }
    }
    let (side, found) = try largest(most) { try estimate(shrunk($0)) }
    return (shrunk(side), found)
  }

  /// Pixels that a picture of any usual shape may have for a run to fit; nil: as many as it likes.
  /// - Throws: `Excess`.
  public func pixels(_ estimate: (Size) throws -> MemoryEstimate) throws -> (
    pixels: Int?, estimate: MemoryEstimate
  ) {
    let shapes = [(1.0, 1.0), (4, 3), (3, 4), (2, 1), (1, 2), (3, 1), (1, 3)]
    let (side, found) = try largest(Self.mostSide) { side in
      var worst: MemoryEstimate?
      for (width, height) in shapes {
        let scale = Double(side) / (width * height).squareRoot()
        let size = Size(width: max(1, Int(width * scale)), height: max(1, Int(height * scale)))
        let found = try estimate(size)
        if found.total > worst?.total ?? 0 { worst = found }
      }
      return worst!
    }
    return (side == Self.mostSide ? nil : side * side, found)
  }

  /// Processors read no more of larger ones.
  private static let mostSide = 4096
}

extension Size {
  /// At least a pixel each way.
  func shrunk(by scale: Double) -> Size {
    Size(width: max(1, Int(Double(width) * scale)), height: max(1, Int(Double(height) * scale)))
  }
}

extension Image {
  /// The same picture with at most so many pixels; nil: any number.
  func atMost(_ pixels: Int?) -> Image {
    guard let pixels, width * height > pixels else { return self }
    return shrunk(to: size.shrunk(by: (Double(pixels) / Double(width * height)).squareRoot()))
  }

  /// The same picture in another size, as Pillow's bicubic filter makes it.
  public func shrunk(to size: Size) -> Image {
    size == self.size ? self : resized(width: size.width, height: size.height, filter: .bicubic)
  }
}
