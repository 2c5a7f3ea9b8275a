import CVTokKernels
import VTokCore
import VTokTensor

/// The tiles of one image as `.pack` shows them.
struct Tiles: Sendable {
  /// The grid; nil for an image of one tile.
  let grid: TileGrid?
  /// Index in the view's sequences of the thumbnail (or only tile), if there is one, and of the tiles of the grid.
  let thumbnail: Int?, tiles: [Int]
  /// Original size in pixels.
  let width: Int, height: Int
  /// How many sources a reduction at `.pack` counts: rows of all tiles, then special rows.
  let count: Int
  private let starts: [Int], prefix: Int

  init(_ view: borrowing View) {
    let layout = view.images[view.image ?? 0]
    let isGrid = view.sequences.count > 1
    grid = isGrid ? TileGrid(rows: layout.tileRows, columns: layout.tileColumns, side: layout.side) : nil
    thumbnail = isGrid ? layout.thumbnail : 0
    tiles = isGrid ? view.sequences.indices.filter { $0 != layout.thumbnail } : []
    width = layout.width
    height = layout.height
    starts = view.sequences.indices.map { view.sequences[..<$0].reduce(0) { $0 + $1.count } }
    count = view.standard![0].inputCount
    prefix = view.shape.tower?.prefix ?? 0
  }

  /// Thumbnail first, then the grid's tiles: the order of official code.
  var order: [Int] { (thumbnail.map { [$0] } ?? []) + tiles }

  /// Source index of a row of a sequence.
  func source(_ sequence: Int, _ row: Int) -> Int { starts[sequence] + row }

  /// Patch cell of a row, by its number at birth.
  func cell(_ row: Int, of tokens: TokenSequence) -> Int { Int(tokens.id[row]) - prefix }

  /// Sources of rows of the grid's tiles in raster order of the whole grid.
  /// - Parameters:
  ///   - rows: of every sequence of the view.
  ///   - cutsPadding: whether cells that show no part of the image are left out.
  func raster(_ rows: [[Int]], of view: borrowing View, cutsPadding: Bool = false) -> [Int] {
    guard let grid else { return [] }
    let valid = cutsPadding ? grid.valid(width: width, height: height) : nil
    var cells: [(rank: Int, source: Int)] = []
    for (place, tile) in tiles.enumerated() {
      for row in rows[tile] {
        let cell = cell(row, of: view.sequences[tile])
        let (line, column) = grid.place(tile: place, cell: cell)
        if let valid, !valid.rows.contains(line) || !valid.columns.contains(column) { continue }
        cells.append((grid.rank(tile: place, cell: cell), source(tile, row)))
      }
    }
    return cells.sorted { $0.rank < $1.rank }.map(\.source)
  }

  /// Sources of the thumbnail's rows (or the only tile's) as they come, then of the grid's in raster order.
  func inOrder(_ rows: [[Int]], of view: borrowing View, cutsPadding: Bool = false) -> [Int] {
    (thumbnail.map { tile in rows[tile].map { source(tile, $0) } } ?? [])
      + raster(rows, of: view, cutsPadding: cutsPadding)
  }
}
