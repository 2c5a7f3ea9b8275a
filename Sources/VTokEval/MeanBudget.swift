import VTokCore
import VTokImage
import VTokWeights

/// A budget per picture under a mean of all: pictures with more to see keep more. The rule is ours.
///
/// A picture is looked at before any model: brought to 224x224 and cut into 16x16 cells, each with the standard deviation
/// of its brightness. The share of cells above a threshold is what the picture keeps, from half of the mean to twice the mean. The
/// threshold is found on the pictures themselves, without labels, so that the mean is met.
public struct MeanBudget: Sendable, Equatable {
  /// Share of the visual tokens to keep on average.
  public let mean: Double
  /// Brightness (0 to 255) by which a cell must vary to count.
  public let threshold: Double
  /// By which shares are multiplied, since no threshold meets the mean exactly.
  public let scale: Double

  /// One that was found before.
  public init(mean: Double, threshold: Double, scale: Double) {
    self.mean = mean
    self.threshold = threshold
    self.scale = scale
  }

  /// Found on pictures.
  /// - Parameters:
  ///   - mean: above 0, at most 1.
  ///   - details: of every picture, see `detail(of:)`.
  public init(mean: Double, details: [[Float]]) {
    precondition(mean > 0 && mean <= 1 && !details.isEmpty)
    self.mean = mean
    let sorted = details.map { $0.sorted() }
    func average(_ threshold: Double) -> Double {
      sorted.reduce(0) { $0 + Self.share(above: threshold, of: $1, mean) } / Double(sorted.count)
    }
    // Fewer cells are above a higher threshold: the lowest of those that occur whose mean is not too much.
    let values = Set(sorted.flatMap(\.self)).sorted().map(Double.init)
    var (low, high) = (-1, values.count - 1)
    while high - low > 1 {
      let middle = (low + high) / 2
      if average(values[middle]) <= mean { high = middle } else { low = middle }
    }
    let threshold = values[high]
    self.threshold = threshold
    // A share above 1 is cut, so that the factor for the others is looked for.
    let shares = sorted.map { Self.share(above: threshold, of: $0, mean) }
    func scaled(_ factor: Double) -> Double {
      shares.reduce(0) { $0 + min(1, $1 * factor) } / Double(shares.count)
    }
    var (least, most) = (0.0, 1 / (shares.min() ?? 1))
    for _ in 0..<60 {
      let middle = (least + most) / 2
      if scaled(middle) <= mean { least = middle } else { most = middle }
    }
    scale = least
  }

  /// Share of its visual tokens that a picture keeps, above 0 and at most 1, in steps of 1/256.
  public func share(of detail: [Float]) -> Double {
    let exact = min(1, Self.share(above: threshold, of: detail.sorted(), mean) * scale)
    return max(1, (256 * exact).rounded()) / 256
  }

  /// The same as a budget.
  public func budget(for image: Image) -> Budget { .ratio(share(of: Self.detail(of: image))) }

  private static func share(above threshold: Double, of sorted: [Float], _ mean: Double) -> Double {
    var (low, high) = (0, sorted.count)
    while low < high {
      let middle = (low + high) / 2
      if Double(sorted[middle]) <= threshold { low = middle + 1 } else { high = middle }
    }
    let share = Double(sorted.count - low) / Double(sorted.count)
    return min(1, max(mean / 2, min(2 * mean, share)))
  }

  private static let side = 224, cell = 14

  /// Standard deviation of the brightness in each of 16x16 cells, row by row.
  public static func detail(of image: Image) -> [Float] {
    let small = image.resized(width: side, height: side, filter: .bicubic)
    let cells = side / cell
    return (0..<cells * cells).map { index in
      let (row, column) = (index / cells, index % cells)
      var (sum, squares) = (0.0, 0.0)
      for y in row * cell..<(row + 1) * cell {
        for x in column * cell..<(column + 1) * cell {
          let place = 3 * (y * side + x)
          let value =
            0.299 * Double(small.rgb[place]) + 0.587 * Double(small.rgb[place + 1])
            + 0.114 * Double(small.rgb[place + 2])
          sum += value
          squares += value * value
        }
      }
      let count = Double(cell * cell)
      return Float(max(0, squares / count - (sum / count) * (sum / count)).squareRoot())
    }
  }

  public var json: JSON {
    ["mean": JSON(mean), "threshold": number(threshold), "scale": number(scale)]
  }
}
