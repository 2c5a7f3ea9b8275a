import CVTokKernels

/// A matrix `[rows, columns]` of weights in 4 bits, every 32 along a row with one scale (ggml's Q4_0), in the order of the kernels:
/// 4.5 bits a weight.
///
/// A product rounds the rows of x to 8 bits in groups of 32 (ggml's Q8_0), right before it. Sums of a group are whole numbers;
/// groups are added in float32 in their order, so a row has the same bits in any company and on any number of threads;
/// processors differ in the last ones.
package final class Int4Panels: WeightPanels, @unchecked Sendable {
  package let rows: Int, columns: Int
  package let precision = Precision.int4
  private let panels: UnsafeMutablePointer<UInt8>

  /// Whether a row is whole groups.
  package static func fits(_ weight: Weight) -> Bool { weight.columns % 32 == 0 && weight.columns > 0 }

  /// Rounds `weight` panel by panel.
  package init(_ weight: Weight, threads: Int = 1) {
    precondition(Self.fits(weight), "rows of \(weight.columns) are no whole groups of 32")
    rows = weight.rows
    columns = weight.columns
    let count = (weight.rows + Self.panel - 1) / Self.panel
    let bytes = columns / 32 * vtok_int4_group_bytes()
    panels = UnsafeMutableRawPointer.allocate(byteCount: max(count * bytes, 1), alignment: 64)
      .bindMemory(to: UInt8.self, capacity: count * bytes)
    let (rows, columns, panels) = (rows, columns, Shared(panels))
    parallel(count, threads: threads) { index in
      let wide = Scratch(Self.panel * columns)
      let part = index * Self.panel..<min((index + 1) * Self.panel, rows)
      weight.widen(rows: part, into: wide.pointer)
      vtok_int4_pack(wide.pointer, part.count, columns, columns, panels.pointer + index * bytes)
    }
  }

  deinit { UnsafeMutableRawPointer(panels).deallocate() }

  package func multiply(
    _ x: UnsafePointer<Float>, _ n: Int, _ ldx: Int, from wanted: Int, accumulate: Bool,
    into out: UnsafeMutablePointer<Float>, _ ldo: Int, threads: Int
  ) {
    multiply(x, n, ldx, from: wanted, accumulate: accumulate, into: out, ldo, threads: threads, level: Self.bestLevel)
  }

  /// - Parameter level: of the kernels.
  package func multiply(
    _ x: UnsafePointer<Float>, _ n: Int, _ ldx: Int, from wanted: Int = 0, accumulate: Bool = false,
    into out: UnsafeMutablePointer<Float>, _ ldo: Int, threads: Int = 1, level: Int
  ) {
    guard n > 0 else { return }
    let rounded = RoundedRows(bytes: n * columns, scales: n * columns / 32)
    vtok_q8_round(x, n, columns, ldx, rounded.values, rounded.scales, rounded.sums)
    let out = Shared(out)
    parallel(wanted..<rows, unit: Self.panel, threads: threads) { first, count in
      vtok_int4_product(
        level, rounded.values, n, columns, rounded.scales, rounded.sums, panels, first, count, accumulate ? 1 : 0,
        out.pointer + first, ldo)
    }
  }

  package func widen(rows range: Range<Int>, into out: UnsafeMutablePointer<Float>) {
    for (index, row) in range.enumerated() { vtok_int4_widen(panels, columns, row, out + index * columns) }
  }

  /// Rows of W in one panel.
  private static let panel = 64

  /// Of the kernels.
  package static let levels = KernelLevels.running(VTOK_INT4_PRODUCT)
  package static let bestLevel = vtok_best_level(VTOK_INT4_PRODUCT)
}
