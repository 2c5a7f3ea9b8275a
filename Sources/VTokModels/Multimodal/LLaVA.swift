import VTokCore
import VTokImage
import VTokTensor
import VTokWeights

/// LLaVA-1.5 and LLaVA-NeXT: a CLIP tower stopped before its last block, a projector of two layers, Llama or Mistral.
/// (transformers: `models/llava`, `models/llava_next`; Liu et al. 2023, arXiv 2310.03744, and LLaVA-NeXT, January 2024.)
struct LLaVA: VisualFamily {
  let tower: VisionTower
  let connector: Connector
  /// Before the connector, in checkpoints trained with it.
  let compressor: QueCC?
  /// Behind every row of the grid in LLaVA-NeXT; nil in LLaVA-1.5. `[1, width]`
  let newline: Tensor?
  let geometry: any VisualGeometry

  /// - Parameter checkpoint: with names as `visionLanguage` gives them.
  init(_ checkpoint: Checkpoint, shape: Shape) throws {
    let config = Config(json: checkpoint.config)
    let vision = try config.llavaVision()
    if let separate = try config.string("mm_vision_tower"), !checkpoint.has("vision.pre_layrnorm.weight") {
      throw ModelError.configuration(
        file: "config.json", key: "mm_vision_tower", found: "'\(separate)', whose weights are not in this folder",
        expected: "a checkpoint that holds its tower (llava-hf)")
    }
    let states = try vision.featureStates(config)
    var tower = try CLIP.tower(checkpoint["vision"], vision, shape: shape.tower!)
    let settings = try QueCC.Settings(config, grid: shape.tower!.rows)
    tower.featureStates = (settings?.states ?? []) + states
    self.tower = tower
    compressor = try settings.map {
      try QueCC(
        checkpoint["projector.compressor"], $0, width: tower.shape.width, states: tower.shape.width * $0.states.count)
    }
    let (width, inner) = (shape.decoder!.width, tower.shape.width * (settings == nil ? states.count : 1))
    let hasBiases = try config.bool("multimodal_projector_bias", true)
    connector = Connector(
      first: try checkpoint["projector"].linear("linear_1", [width, inner], bias: hasBiases),
      activation: try config.activation(.gelu, key: "projector_hidden_act"),
      second: try checkpoint["projector"].linear("linear_2", [width, width], bias: hasBiases))
    let isNext = shape.layout == .anyres
    newline = isNext ? Tensor(try checkpoint.vector("image_newline", [width]), shape: [1, width]) : nil
    let strategy = try config.string("vision_feature_select_strategy") ?? "default"
    let expected = isNext ? ["default"] : ["default", "full"]
    guard expected.contains(strategy) else {
      throw config.unfit("vision_feature_select_strategy", expected.joined(separator: " or "))
    }
    geometry = try LLaVAGeometry(shape, config: config)
  }

  func connect(_ tile: TokenSequence, joining groups: [[Int32]]?, question: Tensor?, threads: Int) -> TokenSequence {
    guard let compressor else { return connector(tile, joining: groups, threads: threads) }
    guard let groups, let question else { preconditionFailure("QueCC joins squares and sees the question") }
    // All states beside each other, the features last.
    var tile = tile
    let width = tower.shape.width
    let squares = compressor(
      tile.x.columns(tile.x.width - width..<tile.x.width), states: tile.x.columns(0..<tile.x.width - width),
      question: question, threads: threads)
    tile.apply(Reduction(rows: groups, of: tile.count, blend: .byCount), features: squares.tokens)
    return connector(tile, threads: threads)
  }

  func embed(_ image: PreparedImage, first: Int) -> [(tokens: TokenSequence, surroundings: VisionTower.Surroundings)] {
    image.tiles.enumerated().map { index, tile in
      (tower.embed(tile, first: first + index * tower.shape.patches), VisionTower.Surroundings())
    }
  }
}

/// The thumbnail first, then the tiles of the grid, each row of cells ended by a newline; LLaVA-1.5 has one tile.
struct LLaVAGeometry: VisualGeometry {
  package let tower: Shape.Tower, hasNewline: Bool
  /// Whether the class token goes on to the language model ("full").
  let keepsClassifier: Bool
  private let compressor: QueCC.Settings?

  init(_ shape: Shape, config: Config) throws {
    (tower, hasNewline) = (shape.tower!, shape.layout == .anyres)
    compressor = try QueCC.Settings(config, grid: tower.rows)
    keepsClassifier = try config.string("vision_feature_select_strategy") == "full"
  }

  package func check(_ image: PreparedImage) throws(ModelError) {
    try checkTiles(image)
    let tiles = image.rows * image.columns
    guard image.tiles.count == (hasNewline ? 1 + tiles : 1) else {
      throw .input(
        what: "image", found: "\(image.tiles.count) tiles",
        expected: hasNewline ? "\(1 + tiles), thumbnail included" : "1",
        fix: "Prepare the image with the processor of this model.")
    }
  }

  package func layout(_ image: PreparedImage) -> ImageLayout {
    ImageLayout(
      tileRows: hasNewline ? image.rows : 1, tileColumns: hasNewline ? image.columns : 1, side: tower.rows,
      thumbnail: hasNewline ? 0 : nil, width: image.original.width, height: image.original.height, spans: [])
  }

  package var seesQuestion: Bool { compressor != nil }

  package func groups(of image: PreparedImage) -> [[Int32]]? { compressor?.groups }

  package func spans(of image: PreparedImage) -> [Int] {
    if let compressor { return [compressor.groups.count] }
    let patches = tower.patches
    if !hasNewline { return [patches + (keepsClassifier ? 1 : 0)] }
    guard let grid = anyresGrid(of: image) else { return [patches + 1] }
    return [patches + grid.visible.rows.count * (grid.visible.columns.count + 1)]
  }

  package func visiblePatches(of image: PreparedImage) -> Int {
    guard let visible = anyresGrid(of: image)?.visible else { return patches(of: image) }
    return tower.patches + visible.rows.count * visible.columns.count
  }

  package func features(of tile: TokenSequence) -> Reduction? {
    keepsClassifier ? nil : .keep(tile.rows(.patch), of: tile.count)
  }

  package func packing(_ tiles: [TokenSequence], of image: PreparedImage, first: Int) -> [Reduction] {
    let rows = tiles.map(\.count)
    let starts = rows.indices.map { rows[..<$0].reduce(0, +) }
    let count = rows.reduce(0, +)
    guard hasNewline else { return [.keep(Array(0..<count), of: count)] }
    let patches = tower.patches
    let isComplete = tiles.allSatisfy { tile in
      tile.count == patches && tile.id.enumerated().allSatisfy { Int($1) == $0 + tower.prefix }
    }
    let thumbnail = Array(0..<rows[0])
    guard let grid = anyresGrid(of: image) else {
      return [.keep(isComplete ? thumbnail + [count] : thumbnail, of: count + 1)]
    }
    var placed: [(place: Int, source: Int)] = []  // places count through the visible grid
    var unplaced: [Int] = []
    for (index, tile) in tiles.enumerated().dropFirst() {
      for row in 0..<tile.count {
        let range = tile.origin.range(row)
        if range.isEmpty {
          unplaced.append(starts[index] + row)
        } else if let place = grid.place(
          tile: index - 1, cell: Int(tile.origin.patches[range.lowerBound]) - first - index * patches)
        {
          placed.append((place, starts[index] + row))
        }
      }
    }
    placed.sort { $0 < $1 }
    // A thinned grid has no rows that a newline could end.
    guard isComplete else { return [.keep(thumbnail + placed.map(\.source) + unplaced, of: count + 1)] }
    let lines = grid.visible.rows.indices.flatMap { line in
      let width = grid.visible.columns.count
      let start = line - grid.visible.rows.lowerBound
      return placed[start * width..<(start + 1) * width].map(\.source) + [count]
    }
    return [.keep(thumbnail + lines, of: count + 1)]
  }

  private func anyresGrid(of image: PreparedImage) -> AnyresGrid? {
    image.tiles.count == 1
      ? nil
      : AnyresGrid(
        rows: image.rows, columns: image.columns, side: tower.rows, width: image.original.width,
        height: image.original.height)
  }
}

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
    (self.columns, self.side) = (columns, side)
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
}
