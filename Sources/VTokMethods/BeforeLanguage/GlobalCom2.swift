import CVTokKernels
import VTokCore
import VTokLibC
import VTokTensor

/// GlobalCom²: the thumbnail says how much of every tile is kept, and with the tile's own scores which tokens.
///
/// Liu et al., "Global Compression Commander: Plug-and-Play Inference Acceleration for High-Resolution Large
/// Vision-Language Models", AAAI 2026 (arXiv 2501.05179); xuyang-liu16/GlobalCom2.
public struct GlobalCom2: Compressor {
  public static let name = "globalcom2"
  public static let summary =
    "the thumbnail guides how much of every tile stays (GlobalCom2, AAAI 2026, arXiv 2501.05179)"
  public static let remarks = [
    "Scores are the class token's scaled logits in the block after the features; the paper speaks of attention.",
    "Thumbnail tokens come in order of score, not of position.",
    "A tile token is placed as if the tile's first valid cell were its first cell, so in tiles with padding rows shift; "
      + "its origin stays true (mode=clean places it where it belongs).",
    "Every row of the grid ends with a newline token, padding rows too (mode=clean: rows with image only): these come on "
      + "top of the authors' retention. A budget of the job counts them and looks for the retention that leaves what was asked.",
    "The official code rounds tile tokens to float16; this does not.",
    "An image of one tile is not reduced.",
  ]

  public static let rounding: String? =
    "tiles keep whole tokens, a newline ends every row of the grid, and one tile alone stays whole"

  public enum Mode: String, Sendable, CaseIterable { case official, clean }

  enum Amount: Sendable, Equatable {
    /// Official `retention_ratio`: of the thumbnail's patches and of those of every tile that show the image.
    case retention(Double)
    /// Left behind the packing, newlines counted.
    case budget(Budget)
  }

  let amount: Amount
  let temperature: Double
  let mode: Mode

  public init(keep: Budget, temperature: Double = 10, mode: Mode = .official) {
    amount = .budget(keep)
    self.temperature = temperature
    self.mode = mode
  }

  /// - Parameter retention: the official `retention_ratio`.
  public init(retention: Double, temperature: Double = 10, mode: Mode = .official) {
    amount = .retention(retention)
    self.temperature = temperature
    self.mode = mode
  }

  public init(_ options: inout Options) throws(OptionError) {
    temperature = try options.take(
      "temperature", default: 10.0, in: 0.001...1e6, "of the softmax over tiles; small: tiles differ more")
    mode = try options.take("mode", default: Mode.official, "the released code, or the same with its slips mended")
    let retention = try options.amount(
      "retention", in: 0...1, "share of the thumbnail and of every tile without padding, newlines on top (official)")
    let budget = try options.budget("visual tokens kept, newlines counted")
    amount = retention.map { .retention($0) } ?? .budget(budget ?? .ratio(0.5))
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    let feature = try model.probedBlock(for: Self.name)
    try model.packs(for: Self.name, fromCut: true)
    return Plan(
      record: [.block(feature, .end): Request(probe: .classifier, values: .logits)], act: [.pack], completeTiles: true)
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let tiles = Tiles(view)
    guard let grid = tiles.grid, let thumbnail = tiles.thumbnail else { return nil }
    let site = Site.block(view.shape.tower!.featureBlock, .end)
    var scores: [[Float]] = []  // [partition][token]
    for tile in tiles.order {
      let recording = view.recording(site, tile)
      let (probe, tokens) = (recording.probe!, view.sequences[tile])
      let sum = try recording.summed(probe, at: Array(0..<tokens.count), of: tokens)
      scores.append(sum.map { $0 / Float(probe.shape[0]) })
    }
    notes.keep("cls_scores", scores.flatMap { $0 })
    let size = scores[0].count
    let shares = self.shares(scores[0], grid)
    let retention: Double
    switch amount {
    case .retention(let ratio): retention = ratio
    case .budget(let budget):
      let wanted = view.wanted(budget)
      if wanted == view.whole { return nil }
      retention = solved(for: wanted, shares: shares, thumbnail: size, grid, tiles)
    }
    let kept = notes.top(scores[0], Int(Double(size) * retention))
    notes.keep("thumbnail_indices", kept.map { Float($0) })
    let ratios = shares.map { min(retention * $0, 1) }
    notes.keep("crop_scales", ratios.map { Float($0) })
    let rows = pack(try choose(scores, ratios, grid, tiles, notes: &notes), grid, tiles, newline: Int(view.newline!))
    return [.keep(kept.map { tiles.source(thumbnail, $0) } + rows, of: tiles.count)]
  }

  /// The retention that leaves so many tokens behind the packing, or the nearest number.
  private func solved(
    for wanted: Int, shares: [Double], thumbnail size: Int, _ grid: TileGrid, _ tiles: Tiles
  ) -> Double {
    let newlines = endedRows(grid, tiles).count
    let cells = tiles.tiles.indices.map { self.cells(of: $0, grid, tiles).count }
    let steps = 1 << 24
    let found = nearest(to: wanted, in: 0...steps) { step in
      let retention = Double(step) / Double(steps)
      return zip(cells, shares).reduce(Int(Double(size) * retention) + newlines) { sum, tile in
        sum + Int(Double(tile.0) * min(retention * tile.1, 1))
      }
    }
    return Double(found) / Double(steps)
  }

  /// Cells of a tile inside the image.
  private func cells(of tile: Int, _ grid: TileGrid, _ tiles: Tiles) -> [Int] {
    let valid = grid.valid(width: tiles.width, height: tiles.height)
    return (0..<grid.side * grid.side).filter { cell in
      let place = grid.place(tile: tile, cell: cell)
      return valid.rows.contains(place.row) && valid.columns.contains(place.column)
    }
  }

  /// Rows of the grid that end with a newline.
  private func endedRows(_ grid: TileGrid, _ tiles: Tiles) -> Range<Int> {
    mode == .official
      ? 0..<grid.rows * grid.side : grid.valid(width: tiles.width, height: tiles.height).rows
  }

  /// What share of its valid tokens every tile keeps, in retentions: more where the thumbnail scores higher.
  private func shares(_ score: [Float], _ grid: TileGrid) -> [Double] {
    let cell = (rows: max(grid.side / grid.rows, 1), columns: max(grid.side / grid.columns, 1))
    var sums = [Double](repeating: 0, count: grid.rows * grid.columns)
    for (token, value) in score.enumerated() {
      let row = min(token / grid.side / cell.rows, grid.rows - 1)
      sums[row * grid.columns + min(token % grid.side / cell.columns, grid.columns - 1)] += Double(value)
    }
    let exponentials = sums.map { exp(($0 - sums.max()!) / temperature) }
    let total = exponentials.reduce(0, +) + 1e-8
    let shares = exponentials.map { $0 / total }
    let mean = shares.reduce(0, +) / Double(shares.count)
    return shares.map { 1 + $0 - mean }
  }

  /// Cells kept of every tile, each with its slot: where it goes in the tile.
  private func choose(
    _ scores: [[Float]], _ ratios: [Double], _ grid: TileGrid, _ tiles: Tiles, notes: inout Notes
  ) throws(CompressionError) -> [[(cell: Int, slot: Int)]] {
    let valid = grid.valid(width: tiles.width, height: tiles.height)
    let global = Self.resized(scores[0], side: grid.side, rows: valid.rows.count, columns: valid.columns.count)
    return tiles.tiles.indices.map { tile in
      // Cells of this tile inside the image, and the thumbnail's scores at the same places.
      let cells = self.cells(of: tile, grid, tiles)
      if cells.isEmpty { return [] }
      let above = cells.map { cell -> Float in
        let place = grid.place(tile: tile, cell: cell)
        return global[
          (place.row - valid.rows.lowerBound) * valid.columns.count + place.column - valid.columns.lowerBound]
      }
      let mixed = zip(normalised(cells.map { scores[tile + 1][$0] }), normalised(above)).map(+)
      let best = notes.top(mixed, Int(Double(cells.count) * ratios[tile])).sorted()
      return best.map { (cells[$0], mode == .official ? $0 : cells[$0]) }
    }
  }

  /// Tile tokens in raster order of their slots, a newline behind every row of the grid. Source indices.
  private func pack(_ chosen: [[(cell: Int, slot: Int)]], _ grid: TileGrid, _ tiles: Tiles, newline: Int) -> [Int] {
    var rows = [[(column: Int, source: Int)]](repeating: [], count: grid.rows * grid.side)
    for (tile, kept) in chosen.enumerated() {
      for (cell, slot) in kept {
        let place = grid.place(tile: tile, cell: slot)
        rows[place.row].append((place.column, tiles.source(tiles.tiles[tile], cell)))
      }
    }
    return endedRows(grid, tiles).flatMap { row in
      rows[row].sorted { $0.column < $1.column }.map(\.source) + [newline]
    }
  }

  /// Bilinear resize of a square map, edges aligned as areas, no antialiasing (torch `interpolate`).
  static func resized(_ map: [Float], side: Int, rows: Int, columns: Int) -> [Float] {
    func weights(_ count: Int) -> [(low: Int, high: Int, share: Float)] {
      let scale = Float(side) / Float(count)
      return (0..<count).map { index in
        let center = max(0, (Float(index) + 0.5) * scale - 0.5)
        let low = min(Int(center), side - 1)
        return (low, min(low + 1, side - 1), center - Float(low))
      }
    }
    let across = weights(columns)
    return weights(rows).flatMap { down in
      across.map { right in
        let top = (1 - right.share) * map[down.low * side + right.low] + right.share * map[down.low * side + right.high]
        let bottom =
          (1 - right.share) * map[down.high * side + right.low] + right.share * map[down.high * side + right.high]
        return (1 - down.share) * top + down.share * bottom
      }
    }
  }
}
