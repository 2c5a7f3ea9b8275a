import CVTokKernels

/// A matrix `[rows, columns]` of weights in 8 bits, with one float32 scale a row, in the order of the kernels.
///
/// A product rounds the rows of x in the same way, right before it. Every element is `float(sum) * (t * s)`, with the 32-bit
/// sum of the products of the rounded numbers and the scales of the two rows: the same bits on every processor, for a row
/// alone and in company, on any number of threads.
package final class Int8Panels: WeightPanels, @unchecked Sendable {
  package let rows: Int, columns: Int
  package let precision = Precision.int8
  private let panels: UnsafeMutablePointer<UInt8>
  /// One for each row; those that fill the last panel are 1.
  private let scales: UnsafeMutablePointer<Float>

  /// Rounds `weight` panel by panel.
  package init(_ weight: Weight, threads: Int = 1) {
    rows = weight.rows
    columns = weight.columns
    let count = (weight.rows + Self.panel - 1) / Self.panel
    let bytes = Self.panel * vtok_int8_depth(weight.columns)
    panels = UnsafeMutableRawPointer.allocate(byteCount: max(count * bytes, 1), alignment: 64)
      .bindMemory(to: UInt8.self, capacity: count * bytes)
    scales = .allocate(capacity: count * Self.panel)
    let (rows, columns, panels, scales) = (rows, columns, Shared(panels), Shared(scales))
    parallel(count, threads: threads) { index in
      let wide = Scratch(Self.panel * columns)
      let part = index * Self.panel..<min((index + 1) * Self.panel, rows)
      weight.widen(rows: part, into: wide.pointer)
      vtok_int8_pack(
        wide.pointer, part.count, columns, columns, panels.pointer + index * bytes, scales.pointer + index * Self.panel)
      weight.forget(rows: part)
    }
  }

  deinit {
    UnsafeMutableRawPointer(panels).deallocate()
    scales.deallocate()
  }

  package func multiply(
    _ x: UnsafePointer<Float>, _ n: Int, _ ldx: Int, from wanted: Int, accumulate: Bool,
    into out: UnsafeMutablePointer<Float>, _ ldo: Int, threads: Int
  ) {
    multiply(x, n, ldx, from: wanted, accumulate: accumulate, into: out, ldo, threads: threads, level: Self.bestLevel)
  }

  /// - Parameter level: of the kernels; all give the same.
  package func multiply(
    _ x: UnsafePointer<Float>, _ n: Int, _ ldx: Int, from wanted: Int = 0, accumulate: Bool = false,
    into out: UnsafeMutablePointer<Float>, _ ldo: Int, threads: Int = 1, level: Int
  ) {
    guard n > 0 else { return }
    let rounded = RoundedRows(bytes: n * vtok_int8_depth(columns), scales: n)
    vtok_int8_round(x, n, columns, ldx, rounded.values, rounded.scales, rounded.sums)
    let out = Shared(out)
    parallel(wanted..<rows, unit: Self.panel, threads: threads) { first, count in
      vtok_int8_product(
        level, rounded.values, n, columns, rounded.scales, rounded.sums, panels, scales, nil, first, count,
        accumulate ? 1 : 0,
        out.pointer + first, ldo)
    }
  }

  package func widen(rows range: Range<Int>, into out: UnsafeMutablePointer<Float>) {
    for (index, row) in range.enumerated() {
      for column in 0..<columns {
        out[index * columns + column] = Float(vtok_int8_weight(panels, columns, row, column)) * scales[row]
      }
    }
  }

  /// Rows of W in one panel.
  private static let panel = 64

  /// Of the kernels.
  package static let levels = KernelLevels.running(VTOK_INT8_PRODUCT)
  package static let bestLevel = vtok_best_level(VTOK_INT8_PRODUCT)
}
