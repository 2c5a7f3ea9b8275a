import Synchronization
import VTokTensor

/// Learned positions of a patch grid, and the ways in use of taking them to another size (`vit-runtime`, section 4).
public final class PositionGrid: Sendable {
  public enum Kernel: Sendable {
    /// Bicubic with a = -0.5 and a support that grows when shrinking: timm, and Hugging Face DINOv2 with registers.
    case antialiased
    /// Bicubic with a = -0.75, four taps, edges repeated: Hugging Face CLIP, SigLIP, DINOv2.
    case plain
    /// Bilinear between corners that stay where they are: Qwen3-VL.
    case aligned
    /// As `plain`, between such corners: frames of Divot, which is a grid of pixels.
    case alignedCubic
    /// Bilinear, with a support that grows when shrinking: SigLIP 2 of any resolution.
    case spread
    /// Bilinear, two taps, corners not aligned: PaddleOCR-VL.
    case bilinear
  }

  public let rows: Int, columns: Int
  /// `[rows * columns, width]`
  public let table: Tensor
  public let kernel: Kernel
  private let resized = Mutex<[Size: Tensor]>([:])
  private struct Size: Hashable { let rows: Int, columns: Int }

  public init(_ table: Tensor, rows: Int, columns: Int, kernel: Kernel) {
    precondition(table.rows == rows * columns)
    self.table = table
    self.rows = rows
    self.columns = columns
    self.kernel = kernel
  }

  /// The positions of a `rows` x `columns` grid. `[rows * columns, width]` Computed once per size.
  public func table(rows: Int, columns: Int) -> Tensor {
    if rows == self.rows, columns == self.columns { return table }
    let size = Size(rows: rows, columns: columns)
    if let known = resized.withLock({ $0[size] }) { return known }
    let made = resample(rows: rows, columns: columns)
    resized.withLock { cache in
      if cache.count >= 16 { cache.removeAll() }  // folders of many sizes must not grow memory
      cache[size] = made
    }
    return made
  }

  private func resample(rows: Int, columns: Int) -> Tensor {
    let width = table.width
    let vertical = taps(from: self.rows, to: rows)
    let horizontal = taps(from: self.columns, to: columns)
    // Along columns first, as both libraries do; float32 sums in tap order.
    var middle = [Float](repeating: 0, count: self.rows * columns * width)
    for row in 0..<self.rows {
      for (column, tap) in horizontal.enumerated() {
        let target = (row * columns + column) * width
        for (source, weight) in tap {
          let from = (row * self.columns + source) * width
          for channel in 0..<width { middle[target + channel] += weight * table.values[from + channel] }
        }
      }
    }
    var out = [Float](repeating: 0, count: rows * columns * width)
    for (row, tap) in vertical.enumerated() {
      let target = row * columns * width
      for (source, weight) in tap {
        let from = source * columns * width
        for index in 0..<columns * width { out[target + index] += weight * middle[from + index] }
      }
    }
    return Tensor(out, shape: [rows * columns, width])
  }

  /// Source indices and weights of every output index along one axis.
  private func taps(from input: Int, to output: Int) -> [[(Int, Float)]] {
    let step = Double(input) / Double(output)
    return (0..<output).map { index in
      switch kernel {
      case .antialiased:
        let center = step * (Double(index) + 0.5)
        let support = 2 * max(step, 1)
        let inverse = 1 / max(step, 1)
        let low = max(Int(center - support + 0.5), 0)
        let high = min(Int(center + support + 0.5), input)
        let weights = (low..<high).map { cubic((Double($0) - center + 0.5) * inverse, a: -0.5) }
        let total = weights.reduce(0, +)
        return zip(low..<high, weights).map { ($0, Float($1 / total)) }
      case .bilinear:
        let center = step * (Double(index) + 0.5) - 0.5
        let base = Int(center.rounded(.down))
        let t = center - Double(base)
        return [(max(base, 0), Float(1 - t)), (min(base + 1, input - 1), Float(t))]
      case .spread:
        let center = step * (Double(index) + 0.5) - 0.5
        let weights = (0..<input).map { max(0, 1 - abs(Double($0) - center) / max(step, 1)) }
        let total = weights.reduce(0, +)
        return weights.enumerated().filter { $1 > 0 }.map { ($0, Float($1 / total)) }
      case .plain, .alignedCubic:
        let center =
          kernel == .plain
          ? step * (Double(index) + 0.5) - 0.5 : Double(index * (input - 1)) / Double(max(output - 1, 1))
        let base = Int(center.rounded(.down))
        let t = center - Double(base)
        let weights = [cubic(1 + t, a: -0.75), cubic(t, a: -0.75), cubic(1 - t, a: -0.75), cubic(2 - t, a: -0.75)]
        return weights.enumerated().map { (min(max(base - 1 + $0, 0), input - 1), Float($1)) }
      case .aligned:
        let place = Double(index * (input - 1)) / Double(max(output - 1, 1))
        let base = Int(place)
        return [(base, Float(1 - (place - Double(base)))), (min(base + 1, input - 1), Float(place - Double(base)))]
      }
    }
  }
}

/// The bicubic convolution kernel.
private func cubic(_ x: Double, a: Double) -> Double {
  let x = abs(x)
  if x <= 1 { return (a + 2) * x * x * x - (a + 3) * x * x + 1 }
  if x < 2 { return a * x * x * x - 5 * a * x * x + 8 * a * x - 4 * a }
  return 0
}
