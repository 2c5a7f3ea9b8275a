import CVTokKernels

/// A matrix `[rows, columns]` of weights in bfloat16, in the order of the kernels: half the memory of float32.
///
/// A product rounds the rows of x to bfloat16 too, right before it, and sums in float32. Threads change no bit; processors differ
/// in the last ones, and may for a few rows alone and in company.
package final class BF16Panels: WeightPanels, @unchecked Sendable {
  package let rows: Int, columns: Int
  package let precision = Precision.bf16
  private let panels: UnsafeMutablePointer<UInt16>

  /// Rounds `weight` panel by panel.
  package init(_ weight: Weight, threads: Int = 1) {
    rows = weight.rows
    columns = weight.columns
    let count = (weight.rows + Self.panel - 1) / Self.panel
    let size = Self.panel * vtok_bf16_depth(weight.columns)
    panels = UnsafeMutableRawPointer.allocate(byteCount: max(2 * count * size, 1), alignment: 64)
      .bindMemory(to: UInt16.self, capacity: count * size)
    let (rows, columns, panels) = (rows, columns, Shared(panels))
    parallel(count, threads: threads) { index in
      let wide = Scratch(Self.panel * columns)
      let part = index * Self.panel..<min((index + 1) * Self.panel, rows)
      weight.widen(rows: part, into: wide.pointer)
      vtok_bf16_pack(wide.pointer, 0, part.count, columns, columns, panels.pointer + index * size)
      weight.forget(rows: part)
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
    let scratch = Scratch((n * vtok_bf16_depth(columns) + 1) / 2)
    scratch.pointer.withMemoryRebound(to: UInt16.self, capacity: n * vtok_bf16_depth(columns)) { rounded in
      vtok_bf16_round(x, n, columns, ldx, rounded)
      let (rounded, out) = (Shared(rounded), Shared(out))
      parallel(wanted..<rows, unit: Self.panel, threads: threads) { first, count in
        vtok_bf16_product(
          level, rounded.pointer, n, columns, panels, first, count, accumulate ? 1 : 0, out.pointer + first, ldo)
      }
    }
  }

  package func widen(rows range: Range<Int>, into out: UnsafeMutablePointer<Float>) {
    for (index, row) in range.enumerated() { vtok_bf16_widen(panels, columns, row, out + index * columns) }
  }

  /// Rows of W in one panel.
  private static let panel = 64

  /// Of the kernels.
  package static let levels = KernelLevels.running(VTOK_BF16_PRODUCT)
  package static let bestLevel = vtok_best_level(VTOK_BF16_PRODUCT)
}
