import VTokCore
import VTokImage
import VTokTensor

/// The thumbnail first, then the tiles of the grid, each row of cells ended by a newline; LLaVA-1.5 has one tile.
struct LLaVAGeometry: VisualGeometry {
  package let tower: Shape.Tower
  /// Whether images are cut into tiles.
  private let isTiled: Bool
  /// Whether the class token goes on to the language model ("full").
  private let keepsClassifier: Bool
  /// A grid of more cells than so many tiles have is taken to fewer; nil: none is.
  private let limit: Int?
  private let compressor: QueCC.Settings?

  init(
    _ shape: Shape, _ config: Config, _ compressor: QueCC.Settings?, _ variant: LLaVA.Variant
  ) throws(ModelError) {
    tower = shape.tower!
    isTiled = shape.layout!.hasNewline
    self.compressor = compressor
    let key = "vision_feature_select_strategy"
    let strategy = try config.string(key) ?? variant.strategy
    // What "default" drops is the class token, which SigLIP has not.
    let expected = !tower.hasClassifier ? ["full"] : isTiled ? ["default"] : ["default", "full"]
    guard expected.contains(strategy) else {
      throw config.unfit(key, expected.joined(separator: " or "), found: "'\(strategy)'")
    }
    keepsClassifier = strategy == "full" && tower.hasClassifier
    limit = try variant.gridLimit.map { key, absent throws(ModelError) in try Self.limit(config, key, absent) }
  }

  /// `anyres_max_9`: so many tiles' worth of cells.
  private static func limit(_ config: Config, _ key: String, _ absent: String?) throws(ModelError) -> Int {
    let text = try config.string(key) ?? absent ?? ""
    let start = "anyres_max_"
    guard text.hasPrefix(start), let limit = Int(text.dropFirst(start.count)), (1...1024).contains(limit) else {
      throw config.unfit(key, "anyres_max_ and a number in 1...1024")
    }
    return limit
  }

  /// LLaVA-OneVision's.
  package var takesVideos: Bool { limit != nil }

  package func check(_ image: PreparedImage) throws(ModelError) {
    try checkTiles(image)
    if image.isVideo { return }
    let tiles = image.rows * image.columns
    guard image.tiles.count == (isTiled ? 1 + tiles : 1) else {
      throw .input(
        what: "image", found: "\(image.tiles.count) tiles",
        expected: isTiled ? "\(1 + tiles), thumbnail included" : "1",
        fix: "Prepare the image with the processor of this model.")
    }
  }

  package func layout(_ image: PreparedImage) -> ImageLayout {
    if image.isVideo {  // frames beside each other
      return ImageLayout(
        tileRows: 1, tileColumns: image.tiles.count, side: tower.rows, thumbnail: nil, width: image.original.width,
        height: image.original.height, spans: [])
    }
    return ImageLayout(
      tileRows: isTiled ? image.rows : 1, tileColumns: isTiled ? image.columns : 1, side: tower.rows,
      thumbnail: isTiled ? 0 : nil, width: image.original.width, height: image.original.height,
      isSquared: image.isSquared, spans: [])
  }

  package var seesQuestion: Bool { compressor != nil }

  package func groups(of image: PreparedImage) -> [[Int32]]? { compressor?.groups }

  package func spans(of image: PreparedImage) -> [Int] {
    if let compressor { return [compressor.groups.count] }
    let patches = tower.patches
    if image.isVideo { return [image.tiles.count * pooled.rows * pooled.columns + 1] }
    if !isTiled { return [patches + (keepsClassifier ? 1 : 0)] }
    guard let grid = anyresGrid(of: image) else { return [patches + 1] }
    let packed = grid.packed(limit: limit)
    return [patches + packed.rows * (packed.columns + 1)]
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
    guard isTiled else { return [.keep(Array(0..<count), of: count)] }
    let patches = tower.patches
    let isComplete = tiles.allSatisfy { tile in
      tile.count == patches && tile.id.enumerated().allSatisfy { Int($1) == $0 + tower.prefix }
    }
    if image.isVideo { return [frames(tiles.count, count, isComplete: isComplete)] }
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
    let packed = grid.packed(limit: limit)
    let size = (rows: grid.visible.rows.count, columns: grid.visible.columns.count)
    guard packed == size else {
      let cells = BilinearCells(from: size, to: packed)
      return [lined(thumbnail, cells, sources: placed.map(\.source), newline: count)]
    }
    let lines = (0..<size.rows).flatMap { line in
      placed[line * size.columns..<(line + 1) * size.columns].map(\.source) + [count]
    }
    return [.keep(thumbnail + lines, of: count + 1)]
  }

  /// Half the cells each way, rounded up.
  private var pooled: (rows: Int, columns: Int) { ((tower.rows + 1) / 2, (tower.columns + 1) / 2) }

  /// Every frame with fewer cells, one newline behind the last. Thinned frames have no grid: their rows stay as they are.
  private func frames(_ frames: Int, _ count: Int, isComplete: Bool) -> Reduction {
    guard isComplete else { return .keep(Array(0..<count), of: count + 1) }
    let cells = BilinearCells(from: (tower.rows, tower.columns), to: pooled)
    var (rows, weights): ([[Int32]], [Float]) = ([], [])
    for frame in 0..<frames {
      for cell in 0..<cells.rows * cells.columns {
        let parts = cells.parts(cell / cells.columns, cell % cells.columns)
        rows.append(parts.map { Int32(frame * tower.patches + $0.cell) })
        weights += parts.map(\.weight)
      }
    }
    rows.append([Int32(count)])
    weights.append(1)
    return Reduction(
      rows: rows, of: count + 1, blend: .weighted(weights), mass: [Float](repeating: 1, count: rows.count))
  }

  /// The thumbnail, then cells made of those of the visible grid, a newline behind every row. A row of weight 1 is what it was.
  private func lined(_ thumbnail: [Int], _ cells: BilinearCells, sources: [Int], newline: Int) -> Reduction {
    var rows = thumbnail.map { [Int32($0)] }
    var weights = thumbnail.map { _ in Float(1) }
    for row in 0..<cells.rows {
      for column in 0..<cells.columns {
        let parts = cells.parts(row, column)
        rows.append(parts.map { Int32(sources[$0.cell]) })
        weights += parts.map(\.weight)
      }
      rows.append([Int32(newline)])
      weights.append(1)
    }
    // A cell may lie in several rows, each of which stands for one token of the image.
    return Reduction(
      rows: rows, of: newline + 1, blend: .weighted(weights), mass: [Float](repeating: 1, count: rows.count))
  }

  private func anyresGrid(of image: PreparedImage) -> AnyresGrid? {
    image.tiles.count == 1 || image.isVideo
      ? nil
      : AnyresGrid(
        rows: image.rows, columns: image.columns, side: tower.rows, width: image.original.width,
        height: image.original.height)
  }
}
