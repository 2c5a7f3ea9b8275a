import Foundation
import VTokImage

/// How close a picture is to the one it should be. Both have the same size.
public enum PictureQuality {
  /// Mean of the squared difference of samples, which are 0...1.
  public static func meanSquaredError(_ a: Image, _ b: Image) -> Double {
    precondition(a.size == b.size, "pictures of \(a.size) and \(b.size)")
    var sum = 0
    for (x, y) in zip(a.rgb, b.rgb) {
      let difference = Int(x) - Int(y)
      sum += difference * difference
    }
    return Double(sum) / Double(a.rgb.count) / 65_025
  }

  /// Peak signal-to-noise ratio in dB of a mean squared error; infinite for 0.
  public static func psnr(_ meanSquaredError: Double) -> Double { -10 * log10(meanSquaredError) }

  /// Structural similarity (Wang et al. 2004, doi:10.1109/TIP.2003.819861): Gaussian windows of 11x11 with deviation 1.5
  /// that lie within the picture, K1 0.01, K2 0.03; mean over windows and over red, green and blue. 1 for pictures that are
  /// smaller than a window and equal.
  public static func ssim(_ a: Image, _ b: Image) -> Double {
    precondition(a.size == b.size, "pictures of \(a.size) and \(b.size)")
    let weights = window(min(11, a.width, a.height))
    let (width, height) = (a.width, a.height)
    var total = 0.0
    for channel in 0..<3 {
      let x = (0..<width * height).map { Float(a.rgb[3 * $0 + channel]) / 255 }
      let y = (0..<width * height).map { Float(b.rgb[3 * $0 + channel]) / 255 }
      func smooth(_ plane: [Float]) -> [Float] { smoothed(plane, width, height, weights) }
      let (meanX, meanY) = (smooth(x), smooth(y))
      let (xx, yy) = (smooth(zip(x, x).map(*)), smooth(zip(y, y).map(*)))
      let xy = smooth(zip(x, y).map(*))
      var sum = 0.0
      for index in meanX.indices {
        let (mx, my) = (Double(meanX[index]), Double(meanY[index]))
        let (vx, vy) = (Double(xx[index]) - mx * mx, Double(yy[index]) - my * my)
        let covariance = Double(xy[index]) - mx * my
        sum += (2 * mx * my + 1e-4) * (2 * covariance + 9e-4) / ((mx * mx + my * my + 1e-4) * (vx + vy + 9e-4))
      }
      total += sum / Double(meanX.count)
    }
    return total / 3
  }

  private static func window(_ size: Int) -> [Float] {
    let raw = (0..<size).map { exp(-pow(Double($0) - Double(size - 1) / 2, 2) / (2 * 1.5 * 1.5)) }
    let sum = raw.reduce(0, +)
    return raw.map { Float($0 / sum) }
  }

  /// Along rows, then down columns; windows within the plane only.
  private static func smoothed(_ plane: [Float], _ width: Int, _ height: Int, _ weights: [Float]) -> [Float] {
    let taps = weights.count
    let (columns, rows) = (width - taps + 1, height - taps + 1)
    var narrow = [Float](repeating: 0, count: height * columns)
    add(plane, height, pitch: width, columns, step: 1, weights, to: &narrow)
    var out = [Float](repeating: 0, count: rows * columns)
    add(narrow, rows, pitch: columns, columns, step: columns, weights, to: &out)
    return out
  }

  /// Adds windows of samples `step` apart, the first at every sample of `rows` rows of `columns`.
  private static func add(
    _ plane: [Float], _ rows: Int, pitch: Int, _ columns: Int, step: Int, _ weights: [Float], to sums: inout [Float]
  ) {
    plane.withUnsafeBufferPointer { plane in
      sums.withUnsafeMutableBufferPointer { sums in
        for row in 0..<rows {
          let to = sums.baseAddress! + row * columns
          for (tap, weight) in weights.enumerated() {
            let from = plane.baseAddress! + row * pitch + tap * step
            for column in 0..<columns { to[column] += weight * from[column] }
          }
        }
      }
    }
  }
}

extension Image {
  /// Rows of pictures with thin gaps, each cell as large as the largest picture.
  public static func grid(_ rows: [[Image]], gap: Int = 6) -> Image {
    let all = rows.flatMap { $0 }
    precondition(!all.isEmpty)
    let cell = Size(width: all.map(\.width).max()!, height: all.map(\.height).max()!)
    let columns = rows.map(\.count).max()!
    var sheet = Image(
      width: columns * (cell.width + gap) - gap, height: rows.count * (cell.height + gap) - gap,
      colour: [255, 255, 255])
    for (down, row) in rows.enumerated() {
      for (across, image) in row.enumerated() {
        let (left, top) = (across * (cell.width + gap), down * (cell.height + gap))
        for y in 0..<image.height {
          let to = ((top + y) * sheet.width + left) * 3
          sheet.rgb.replaceSubrange(
            to..<to + image.width * 3, with: image.rgb[y * image.width * 3..<(y + 1) * image.width * 3])
        }
      }
    }
    return sheet
  }
}
