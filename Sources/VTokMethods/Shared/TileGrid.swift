import CVTokKernels
import VTokCore
import VTokTensor

/// The grid that an image's tiles make, for methods that pack them themselves. Tiles and the cells of a tile count
/// row-major.
struct TileGrid: Sendable, Equatable {
  let rows: Int, columns: Int
  /// Cells along one edge of a tile.
  let side: Int

  /// Cells of the whole grid that show the image and not its padding, for an image of `width` x `height` pixels.
  ///
  /// The scaled size is truncated, as research code does; transformers rounds to seven decimals before.
  func valid(width: Int, height: Int) -> (rows: Range<Int>, columns: Range<Int>) {
    let (high, wide) = (rows * side, columns * side)
    if Double(width) / Double(height) > Double(wide) / Double(high) {
      let scaled = Int(Double(height) * (Double(wide) / Double(width)))
      let padding = (high - scaled) / 2
      return (padding..<high - padding, 0..<wide)
    }
    let scaled = Int(Double(width) * (Double(high) / Double(height)))
    let padding = (wide - scaled) / 2
    return (0..<high, padding..<wide - padding)
  }

  /// Where a cell of a tile lies in the whole grid.
  func place(tile: Int, cell: Int) -> (row: Int, column: Int) {
    (tile / columns * side + cell / side, tile % columns * side + cell % side)
  }

  /// Rank of a cell in raster order of the whole grid.
  func rank(tile: Int, cell: Int) -> Int {
    let place = place(tile: tile, cell: cell)
    return place.row * columns * side + place.column
  }
}
