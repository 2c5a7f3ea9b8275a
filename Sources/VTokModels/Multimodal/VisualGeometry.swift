import VTokCore
import VTokImage
import VTokTensor

/// How images lie in tiles and in the prompt: what differs between families of vision-language models before and after
/// their towers, without any weights.
package protocol VisualGeometry: Sendable {
  var tower: Shape.Tower { get }
  /// Whether the connector is conditioned on the question, which then passes the language model on its own before.
  var seesQuestion: Bool { get }
  /// Whether tiles may be frames of a video.
  var takesVideos: Bool { get }

  /// Refuses what the tower cannot take.
  func check(_ image: PreparedImage) throws(ModelError)
  /// How the image lies in tiles; spans are not known yet.
  func layout(_ image: PreparedImage) -> ImageLayout
  /// The grid of patches of every tile.
  func grid(of image: PreparedImage) -> (rows: Int, columns: Int)
  /// Patches of the image's only tile in the order in which they enter the tower; nil: row by row.
  func order(of image: PreparedImage) -> [Int]?
  /// Text tokens that the model's own prompt puts before every span, and behind the last one.
  func markers(of image: PreparedImage) -> [Int]
  /// Tokens of every visual span when nothing is reduced.
  func spans(of image: PreparedImage) -> [Int]
  /// Patches of an image that its spans stand for when nothing is reduced: those of the padding are cut.
  func visiblePatches(of image: PreparedImage) -> Int
  /// What the model does with the features of a tile when no method does anything: it drops the class token. nil: nothing.
  func features(of tile: TokenSequence) -> Reduction?
  /// Rows of the features that the connector joins, in the order in which their tokens go on; nil: every row alone.
  func groups(of image: PreparedImage) -> [[Int32]]?
  /// The model's own packing, one reduction per span, over the rows of all tiles and the newline behind them.
  /// - Parameter first: number of the image's first patch, counted through the prompt.
  func packing(_ tiles: [TokenSequence], of image: PreparedImage, first: Int) -> [Reduction]
  /// The cells that give tokens their rotary positions; nil: positions count on through the image.
  func cells(of image: PreparedImage) -> PositionCells?
}

/// A grid whose rows and columns are rotary positions (M-RoPE).
package struct PositionCells: Sendable {
  package let rows: Int, columns: Int
  /// Patches along one edge of a cell.
  package let edge: Int
  /// Of the frames of a video, which lie below each other: how far each is behind the first on the axis of time.
  package var times = [0]

  /// Position of a patch of the image in an image that begins at `start`.
  package func position(ofPatch patch: Int, from start: Int) -> Position {
    let frame = rows * columns * edge * edge
    let place = patch % frame
    let (row, column) = (place / (columns * edge) / edge, place % (columns * edge) / edge)
    return Position(t: Int32(start + times[patch / frame]), h: Int32(start + row), w: Int32(start + column))
  }
}

extension VisualGeometry {
  package var seesQuestion: Bool { false }
  package var takesVideos: Bool { false }
  package func grid(of image: PreparedImage) -> (rows: Int, columns: Int) { (tower.rows, tower.columns) }
  package func order(of image: PreparedImage) -> [Int]? { nil }
  package func features(of tile: TokenSequence) -> Reduction? { nil }
  package func groups(of image: PreparedImage) -> [[Int32]]? { nil }
  package func cells(of image: PreparedImage) -> PositionCells? { nil }
  package func markers(of image: PreparedImage) -> [Int] { [Int](repeating: 0, count: spans(of: image).count + 1) }

  package func visiblePatches(of image: PreparedImage) -> Int { patches(of: image) }

  /// Every tile a span of its own.
  func perTile(_ tiles: [TokenSequence]) -> [Reduction] {
    let count = tiles.reduce(0) { $0 + $1.count }
    var start = 0
    return tiles.map { tile in
      defer { start += tile.count }
      return .keep(Array(start..<start + tile.count), of: count)
    }
  }

  /// How the image lies in tiles, with what the dense model reads of it.
  func laidOut(_ image: PreparedImage) -> ImageLayout {
    layout(image).with(tokens: spans(of: image).reduce(0, +), patches: visiblePatches(of: image))
  }

  /// Patches of an image, all tiles together.
  package func patches(of image: PreparedImage) -> Int {
    let grid = grid(of: image)
    return image.tiles.count * grid.rows * grid.columns
  }

  /// Refuses tiles of another grid than the tower was trained on. Edges that do not fill a patch are dropped, as for the
  /// 384 pixels that SmolVLM-2.2B cuts into 27 patches of 14.
  func checkTiles(_ image: PreparedImage) throws(ModelError) {
    for tile in image.tiles {
      let grid = tile.shape.dropFirst().map { $0 / tower.patch }
      guard tile.shape.count == 3, tile.shape[0] == 3, grid == [tower.rows, tower.columns] else {
        throw .input(
          what: "tile of an image", found: "shape \(tile.shape)",
          expected: "\([3, tower.rows * tower.patch, tower.columns * tower.patch])",
          fix: "Prepare the image with the processor of this model.")
      }
    }
  }
}

extension Shape.Tower {
  /// Patches of a grid that the connector fuses: squares row by row, inside a square row by row too.
  func squares(rows: Int, columns: Int) -> [[Int32]] {
    let edge = Int(Double(fuse).squareRoot())
    return (0..<rows / edge).flatMap { row in
      (0..<columns / edge).map { column in
        (0..<edge).flatMap { y in
          (0..<edge).map { x in Int32((row * edge + y) * columns + column * edge + x) }
        }
      }
    }
  }
}
