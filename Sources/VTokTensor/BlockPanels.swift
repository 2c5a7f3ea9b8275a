import CVTokKernels

/// A matrix in blocks as a weight: its products are those of `BlockWeight`, or float32 ones with the exact values.
final class BlockPanels: WeightPanels {
  let precision: Precision
  private let blocks: BlockWeight

  /// - Parameter precision: `.f32` for float32 products; the others round rows.
  init(_ blocks: BlockWeight, precision: Precision) {
    self.blocks = blocks
    self.precision = precision
  }

  func multiply(
    _ x: UnsafePointer<Float>, _ n: Int, _ ldx: Int, from wanted: Int, accumulate: Bool,
    into out: UnsafeMutablePointer<Float>, _ ldo: Int, threads: Int
  ) {
    guard n > 0, wanted < blocks.rows else { return }
    guard precision != .f32 else {
      return multiplyExactly(x, n, ldx, from: wanted, accumulate: accumulate, into: out, ldo, threads: threads)
    }
    let part = blocks.from(row: wanted)
    guard accumulate else { return part.multiply(x, n, ldx, into: out + wanted, ldo, threads: threads) }
    let sums = Scratch(n * part.rows)
    part.multiply(x, n, ldx, into: sums.pointer, part.rows, threads: threads)
    for row in 0..<n { vtok_accumulate(out + row * ldo + wanted, sums.pointer + row * part.rows, part.rows, 1) }
  }

  func multiply(_ x: ProductInput, into out: UnsafeMutablePointer<Float>, _ ldo: Int, threads: Int) {
    guard x.count > 0 else { return }
    guard precision != .f32 else {
      return multiplyExactly(x.rows, x.count, x.width, from: 0, accumulate: false, into: out, ldo, threads: threads)
    }
    blocks.multiply(x.rounded(for: blocks.type), into: out, ldo, threads: threads)
  }

  /// Widens a few panels of rows at a time.
  private func multiplyExactly(
    _ x: UnsafePointer<Float>, _ n: Int, _ ldx: Int, from wanted: Int, accumulate: Bool,
    into out: UnsafeMutablePointer<Float>, _ ldo: Int, threads: Int
  ) {
    let (x, out) = (Shared(UnsafeMutablePointer(mutating: x)), Shared(out))
    let (blocks, columns, unit) = (blocks, blocks.columns, 4 * vtok_panel())
    let units = (blocks.rows - wanted + unit - 1) / unit
    let parts = threads <= 1 ? 1 : min(units, 4 * threads)
    parallel(parts, threads: threads) { part in
      let wide = Scratch(unit * columns)
      let scratch = Scratch(n <= 4 ? 0 : vtok_matrix.panels)
      for index in part * units / parts..<(part + 1) * units / parts {
        let first = wanted + index * unit
        let rows = first..<min(first + unit, blocks.rows)
        blocks.widen(rows: rows, into: wide.pointer)
        let matrix = vtok_matrix(rows: wide.pointer, depth: columns, stride: columns)
        if n <= 4 {
          vtok_dots(
            x.pointer, n, ldx, matrix, 0, rows.count, accumulate ? 1 : 0, out.pointer + first, ldo)
        } else {
          vtok_product(
            x.pointer, n, ldx, matrix, 0, rows.count, accumulate ? 1 : 0, out.pointer + first, ldo, scratch.pointer)
        }
      }
    }
  }

  func widen(rows: Range<Int>, into out: UnsafeMutablePointer<Float>) { blocks.widen(rows: rows, into: out) }
}
