/// The cells of all tiles of a LLaVA-NeXT image as one grid.
package struct AnyresGrid: Sendable {
  let columns: Int, side: Int
  /// Rows and columns that show the image; the rest is padding.
  package let visible: (rows: Range<Int>, columns: Range<Int>)

  /// - Parameters:
  ///   - rows, columns: tiles.
  ///   - side: cells along one edge of a tile.
  ///   - width, height: of the original image, in pixels.
  package init(rows: Int, columns: Int, side: Int, width: Int, height: Int) {
    self.columns = columns
    self.side = side
    let (high, wide) = (rows * side, columns * side)
    /// Margins around `size` cells. transformers rounds to seven decimals before it truncates; research code does not.
    func margins(_ size: Double, of full: Int) -> Range<Int> {
      let margin = (full - Int((size * 1e7).rounded(.toNearestOrEven) / 1e7)) / 2
      return margin..<full - margin
    }
    if Double(width) / Double(height) > Double(wide) / Double(high) {
      visible = (margins(Double(height) * (Double(wide) / Double(width)), of: high), 0..<wide)
    } else {
      visible = (0..<high, margins(Double(width) * (Double(high) / Double(height)), of: wide))
    }
  }

  /// Raster order of a cell among the visible ones; nil in the padding.
  package func place(tile: Int, cell: Int) -> Int? {
    let row = tile / columns * side + cell / side
    let column = tile % columns * side + cell % side
    guard visible.rows.contains(row), visible.columns.contains(column) else { return nil }
    return (row - visible.rows.lowerBound) * visible.columns.count + column - visible.columns.lowerBound
  }

  /// Rows and columns that go on to the language model: the visible ones, fewer where LLaVA-OneVision allows fewer.
  /// - Parameter limit: tiles that may have as many cells; nil: any number may.
  package func packed(limit: Int?) -> (rows: Int, columns: Int) {
    let (rows, columns) = (visible.rows.count, visible.columns.count)
    guard let limit else { return (rows, columns) }
    let ratio = (Double(rows * columns) / Double(limit * side * side)).squareRoot()
    guard ratio > 1.1 else { return (rows, columns) }
    /// Python's floor division, which differs from the floor of the quotient where rounding makes that a whole number.
    func quotient(_ length: Int) -> Int {
      let length = Double(length)
      return Int(((length - length.truncatingRemainder(dividingBy: ratio)) / ratio).rounded())
    }
    return (quotient(rows), quotient(columns))
  }
}
