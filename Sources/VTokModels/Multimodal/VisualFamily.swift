import VTokCore
import VTokImage
import VTokTensor

/// What differs between families of vision-language models before the language model: how pictures become rows of the
/// tower, and its rows a prompt.
protocol VisualFamily: Sendable {
  var tower: VisionTower { get }
  var connector: Connector { get }
  /// A row that the model places into its packing. `[1, width]`
  var newline: Tensor? { get }
  /// Whether patches alone go on to the connector.
  var dropsPrefix: Bool { get }

  /// Refuses what the tower cannot take.
  func check(_ image: PreparedImage) throws(ModelError)
  /// How the image lies in tiles; spans are not known yet.
  func layout(_ image: PreparedImage) -> ImageLayout
  /// Patches of an image, all tiles together.
  func patches(of image: PreparedImage) -> Int
  /// Tokens of every visual span when nothing is reduced.
  func spans(of image: PreparedImage) -> [Int]
  /// Every tile as it enters the tower.
  /// - Parameter first: number of the image's first patch, counted through the prompt.
  func embed(_ image: PreparedImage, first: Int) -> [(tokens: TokenSequence, surroundings: VisionTower.Surroundings)]
  /// Rows of the features that the connector joins, in the order in which their tokens go on; nil: every row alone.
  func groups(of image: PreparedImage) -> [[Int32]]?
  /// The model's own packing, one reduction per span, over the rows of all tiles and the newline behind them.
  func packing(_ tiles: [TokenSequence], of image: PreparedImage, first: Int) -> [Reduction]
  /// The cells that give tokens their rotary positions; nil: positions count on through the image.
  func cells(of image: PreparedImage) -> PositionCells?
}

/// A grid whose rows and columns are rotary positions (M-RoPE).
struct PositionCells: Sendable {
  let rows: Int, columns: Int
  /// Patches along one edge of a cell.
  let edge: Int

  /// Position of a patch of the image in an image that begins at `start`.
  func position(ofPatch patch: Int, from start: Int) -> Position {
    let (row, column) = (patch / (columns * edge) / edge, patch % (columns * edge) / edge)
    return Position(t: Int32(start), h: Int32(start + row), w: Int32(start + column))
  }
}

extension VisualFamily {
  var newline: Tensor? { nil }
  var dropsPrefix: Bool { false }
  func groups(of image: PreparedImage) -> [[Int32]]? { nil }
  func cells(of image: PreparedImage) -> PositionCells? { nil }

  func patches(of image: PreparedImage) -> Int { image.tiles.count * tower.shape.patches }

  /// Refuses tiles of another size than the tower was trained on.
  func checkTiles(_ image: PreparedImage) throws(ModelError) {
    let (rows, columns) = (tower.shape.rows * tower.shape.patch, tower.shape.columns * tower.shape.patch)
    for tile in image.tiles where tile.shape != [3, rows, columns] {
      throw .input(
        what: "tile of an image", found: "shape \(tile.shape)", expected: "\([3, rows, columns])",
        fix: "Prepare the image with the processor of this model.")
    }
  }
}
