import VTokCore
import VTokTensor

/// HiRED: a token budget per image, shared by its tiles as the class token's early attention to the thumbnail says, and
/// filled in every tile with what the class token attends to late.
///
/// Arif et al., "HiRED: Attention-Guided Token Dropping for Efficient Inference of High-Resolution Vision-Language
/// Models", AAAI 2025 (arXiv 2408.10945), Algorithm 1; hasanar1f/HiRED.
public struct HiRED: Compressor {
  public static let name = "hired"
  public static let summary =
    "a budget per image, shared by tile and filled by class attention (HiRED, AAAI 2025, arXiv 2408.10945)"
  public static let remarks = [
    "Tiles get budgets by counting strong thumbnail tokens in equal runs of raster order; the paper adds up attention "
      + "over the part of the thumbnail that shows the tile (mode=paper).",
    "A grid that is not square is laid out transposed before padding is cut, so the wrong axis may be cut (mode=paper "
      + "lays it out right).",
    "Tokens chosen inside the padding are lost and no newline tokens are placed: the authors' budget, of all patches of all "
      + "tiles, leaves fewer. A budget of the job looks for the one of theirs that leaves what was asked.",
    "What truncation leaves of the authors' budget is not given away.",
    "An image of one tile is not reduced in LLaVA-NeXT; in LLaVA-1.5 the budget is filled without sharing.",
  ]

  public static let rounding: String? =
    "tiles get whole tokens, as the thumbnail's attention says, and no newlines; one tile alone stays whole"

  public enum Mode: String, Sendable, CaseIterable { case official, paper }

  enum Amount: Sendable, Equatable {
    /// Official `token_budget_rate`: of the patches of all tiles, padding included.
    case rate(Double)
    /// Left behind the packing.
    case budget(Budget)
  }

  let amount: Amount
  let alpha: Double
  let mode: Mode

  /// - Parameter alpha: share of the budget that the thumbnail gets.
  public init(keep: Budget, alpha: Double = 0.5, mode: Mode = .official) {
    amount = .budget(keep)
    self.alpha = alpha
    self.mode = mode
  }

  /// - Parameter rate: the official `token_budget_rate`, of the patches of all tiles.
  public init(rate: Double, alpha: Double = 0.5, mode: Mode = .official) {
    amount = .rate(rate)
    self.alpha = alpha
    self.mode = mode
  }

  public init(_ options: inout Options) throws(OptionError) {
    alpha = try options.take("alpha", default: 0.5, in: 0...1, "share of the budget that the thumbnail gets")
    mode = try options.take("mode", default: Mode.official, "the released code, or the paper's rules where they differ")
    let rate = try options.amount(
      "budget", in: 0...1, "share of the patches of all tiles, padding included (official: token_budget_rate)")
    let budget = try options.budget("visual tokens kept, after the packing")
    amount = rate.map { .rate($0) } ?? .budget(budget ?? .ratio(0.5))
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    let tower = try model.classifierTower(for: Self.name)
    try model.packs(for: Self.name)
    let request = Request(attention: .classifier)
    var plan = Plan(record: [.block(tower.featureBlock, .end): request], act: [.pack], completeTiles: true)
    if model.layout?.tiling == .cut { plan.record[.block(0, .end)] = request }
    return plan
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let tiles = Tiles(view)
    let order = tiles.order
    if tiles.grid == nil, view.shape.layout?.tiling == .cut { return nil }
    let last = Site.block(view.shape.tower!.featureBlock, .end)
    let patches = view.sequences[order[0]].rows(.patch)  // alike in all tiles
    let size = patches.count
    var strength: [[Float]] = []  // [partition][token], late attention
    for tile in order {
      let recording = view.recording(last, tile)
      strength.append(try recording.summed(recording.attention!, at: patches, of: view.sequences[tile]))
    }
    let other = view.sequences[order[0]].id.indices.filter { !patches.contains($0) }
    let weights = try tiles.grid.map { grid throws(CompressionError) in
      let (recording, thumbnail) = (view.recording(.block(0, .end), order[0]), view.sequences[order[0]])
      return try tileWeights(recording.summed(recording.attention!, at: patches, of: thumbnail), grid, notes: &notes)
    }
    let total: Int
    switch amount {
    case .rate(let rate):
      total = Int(Double(order.count * size) * rate)
      if total >= order.count * size { return nil }  // a rate of 1 switches the method off
    case .budget(let budget):
      let wanted = view.wanted(budget)
      if wanted == view.whole { return nil }
      let left = places(strength, tiles)
      total = nearest(to: wanted - other.count, in: 0...order.count * size) { total in
        zip(left, dealt(total, size, weights)).reduce(0) { $0 + $1.0[min($1.1, size)] }
      }
    }
    let budgets = dealt(total, size, weights)
    let chosen = zip(strength, budgets).map { notes.top($0, $1).sorted() }
    notes.keep("mask", chosen.flatMap { rows in Self.mask(rows, of: size) })
    notes.keep("per_partition_kept", chosen.map { Float($0.count) })
    let first = (other + chosen[0].map { patches[$0] }).sorted().map { tiles.source(order[0], $0) }
    let kept = first + pack(chosen.dropFirst(), tiles)
    guard !kept.isEmpty else {
      throw .unreachable(
        method: Self.name, asked: "\(total) of \(order.count * size) tokens", reachable: "one token of the image",
        fix: CompressionError.largerBudget)
    }
    return [.keep(kept, of: tiles.count)]
  }

  /// Phase 1: what the thumbnail's attention gives to every tile of the grid.
  private func tileWeights(_ early: [Float], _ grid: TileGrid, notes: inout Notes) throws(CompressionError) -> [Float] {
    let count = grid.rows * grid.columns
    var weights = [Float](repeating: 0, count: count)
    switch mode {
    case .official:
      guard early.count % count == 0 else {
        throw .unsupported(
          method: Self.name, found: "\(early.count) tokens for \(count) tiles", expected: "a multiple of the tiles",
          fix: "Use mode=paper.")
      }
      let strong = notes.top(early, Int(Double(early.count) * (1 - alpha)))
      for token in strong { weights[token / (early.count / count)] += 1 }
    case .paper:  // Eq. 1
      for (cell, value) in early.enumerated() {
        let row = cell / grid.side * grid.rows / grid.side
        weights[row * grid.columns + cell % grid.side * grid.columns / grid.side] += value
      }
    }
    return weights
  }

  /// The tokens that thumbnail and tiles of `size` patches may keep, of `total`; one tile alone gets all.
  private func dealt(_ total: Int, _ size: Int, _ weights: [Float]?) -> [Int] {
    guard let weights else { return [total] }
    let full = min(Int(Double(total) * alpha), size)
    let rest = min(total - full, weights.count * size)
    let sum = weights.reduce(0, +)
    return [full] + weights.map { sum == 0 ? 0 : min(Int($0 / sum * Float(rest)), size) }
  }

  /// How many of the strongest n tokens of every partition are left behind the packing. `[partition][n]`
  private func places(_ strength: [[Float]], _ tiles: Tiles) -> [[Int]] {
    strength.enumerated().map { partition, values in
      let ranked = topK(values, values.count)
      guard let laid = self.laid(tiles), partition > 0 else { return Array(0...values.count) }
      let valid = laid.valid(width: tiles.width, height: tiles.height)
      return ranked.reduce(into: [0]) { left, cell in
        let place = laid.place(tile: partition - 1, cell: cell)
        let isLeft = valid.rows.contains(place.row) && valid.columns.contains(place.column)
        left.append(left.last! + (isLeft ? 1 : 0))
      }
    }
  }

  /// The grid as this mode lays it out.
  private func laid(_ tiles: Tiles) -> TileGrid? {
    tiles.grid.map {
      mode == .official ? TileGrid(rows: $0.columns, columns: $0.rows, side: $0.side) : $0
    }
  }

  /// Phase 3: tile tokens in raster order without padding. Source indices.
  private func pack(_ chosen: ArraySlice<[Int]>, _ tiles: Tiles) -> [Int] {
    guard let laid = self.laid(tiles) else { return [] }
    let valid = laid.valid(width: tiles.width, height: tiles.height)
    var cells: [(rank: Int, source: Int)] = []
    for (tile, rows) in chosen.enumerated() {
      for cell in rows {
        let place = laid.place(tile: tile, cell: cell)
        guard valid.rows.contains(place.row), valid.columns.contains(place.column) else { continue }
        cells.append((laid.rank(tile: tile, cell: cell), tiles.source(tiles.tiles[tile], cell)))
      }
    }
    return cells.sorted { $0.rank < $1.rank }.map(\.source)
  }

  private static func mask(_ rows: [Int], of count: Int) -> [Float] {
    var mask = [Float](repeating: 0, count: count)
    for row in rows { mask[row] = 1 }
    return mask
  }
}
