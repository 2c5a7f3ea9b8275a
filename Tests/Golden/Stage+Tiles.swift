import VTok

// Stages of images of several tiles.

extension Stage {
  /// Complete tiles, thumbnail first, of a case with `grid_wh`, `image_size_wh` and `side`.
  init(anyres inputs: Inputs, named name: String = "features") throws {
    let config = inputs.config
    let (grid, size) = (config["grid_wh"]!.ints!, config["image_size_wh"]!.ints!)
    let features = try inputs.tensor(name)
    self.init(
      tiles: (0..<features.shape[0]).map { features[plane: $0] },
      layout: Stage.image(
        rows: grid[1], columns: grid[0], side: config["side"]!.int!, thumbnail: 0, width: size[0], height: size[1]
      ).with(tokens: features.rows), kind: Shape.Layout(tiling: .cut, hasNewline: true))
  }

  /// Tiles as `.features` left them: their rows `crop_tokens`, and what these are, `all_indices`, 0 the class token.
  init(packing inputs: Inputs, prefix: Int) throws {
    let (tokens, config) = (try inputs.tensor("crop_tokens"), inputs.config)
    let (grid, keep) = (config["grid_wh"]!.ints!, config["keep"]!.int!)
    let ids = try inputs.integers("all_indices").map { Int32($0) }
    let tiles = (0..<tokens.shape[0]).map { tile in
      let own = ids[tile * keep..<(tile + 1) * keep]
      return Stage.tile(tokens[plane: tile], prefix: prefix, ids: prefix == 0 ? own.sorted() : Array(own))
    }
    self.init(
      tiles: tiles, layout: Stage.image(rows: grid[1], columns: grid[0], side: 24, thumbnail: nil),
      kind: Shape.Layout(tiling: .cut, hasNewline: true))
  }

  /// What a method that cuts tiles one by one keeps, and what is left once they are packed.
  func cut<Method: Compressor>(_ method: inout Method, _ recordings: [Site: [Recording]]) throws
    -> [String: GoldenValue]
  {
    var notes = Notes(keeping: true)
    var tiles = tiles
    for (tile, reduction) in try method.reduce(view(recordings), at: .features, notes: &notes)!.enumerated() {
      tiles[tile].apply(reduction)
    }
    let kept = tiles.map { tile in tile.id.map { Int($0) - 1 } }
    let left = Stage(tiles: tiles, layout: layout, kind: Shape.Layout(tiling: .cut, hasNewline: true))
    let (reduction, _) = try Stage.act(&method, left.view(), .pack)
    return [
      "kept": GoldenValue(kept.flatMap { $0 }, [kept.count, kept[0].count]),
      "packed": GoldenValue(left.sources.gathered(reduction.members.map(Int.init))),
    ]
  }

  /// The same with the recording of the feature block of every tile.
  func cut<Method: Compressor>(_ method: inout Method, _ recording: (Int, [Int32]) -> Recording) throws
    -> [String: GoldenValue]
  {
    try cut(&method, [.block(Stage.feature, .end): tiles.indices.map { recording($0, tiles[$0].id) }])
  }

  /// The model's packing: the thumbnail, then every line of the grid without padding, and a newline; and the patch of every
  /// row.
  func packed(newline: Tensor) throws -> (x: Tensor, patches: [Int?]) {
    let (own, side) = (layout, layout.side)
    let grid = AnyresGrid(
      rows: own.tileRows, columns: own.tileColumns, side: side, width: own.width, height: own.height)
    var patches: [Int?] = Array(0..<side * side)
    for line in grid.visible.rows {
      for column in grid.visible.columns {
        let tile = line / side * own.tileColumns + column / side
        patches.append((tile + 1) * side * side + line % side * side + column % side)
      }
      patches.append(nil)
    }
    var rows: [Float] = []
    for patch in patches {
      if let patch { rows += sources.row(patch) } else { rows += newline.values }
    }
    return (Tensor(rows, shape: [patches.count, sources.width]), patches)
  }
}
