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
    "Tokens chosen inside the padding are lost, so fewer may be left than asked; no newline tokens are placed.",
    "What truncation leaves of the budget is not given away.",
    "An image of one tile is not reduced in LLaVA-NeXT; in LLaVA-1.5 the budget is filled without sharing.",
  ]

  public enum Mode: String, Sendable, CaseIterable { case official, paper }

  let budget: Budget
  let alpha: Double
  let mode: Mode

  /// - Parameter alpha: share of the budget that the thumbnail gets.
  public init(keep: Budget, alpha: Double = 0.5, mode: Mode = .official) {
    (budget, self.alpha, self.mode) = (keep, alpha, mode)
  }

  public init(_ options: inout Options) throws(OptionError) {
    alpha = try options.take("alpha", default: 0.5, in: 0...1, "share of the budget that the thumbnail gets")
    mode = try options.take("mode", default: Mode.official, "the released code, or the paper's rules where they differ")
    budget = try options.budget("visual tokens kept, of all tiles of an image") ?? .ratio(0.5)
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    let tower = try model.classifierTower(for: Self.name)
    try model.packs(for: Self.name)
    let request = Request(attention: .classifier)
    var plan = Plan(record: [.block(tower.featureBlock, .end): request], act: [.pack], completeTiles: true)
    if model.layout == .anyres { plan.record[.block(0, .end)] = request }
    return plan
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let tiles = Tiles(view)
    let order = tiles.order
    if tiles.grid == nil, view.shape.layout == .anyres { return nil }
    let last = Site.block(view.shape.tower!.featureBlock, .end)
    let patches = view.sequences[order[0]].rows(.patch)  // alike in all tiles
    let size = patches.count
    var strength: [[Float]] = []  // [partition][token], late attention
    for tile in order {
      let recording = view.recording(last, tile)
      strength.append(try recording.summed(recording.attention!, at: patches, of: view.sequences[tile]))
    }
    let total = budget.tokens(of: order.count * size, .towardZero)
    if total >= order.count * size { return nil }  // a rate of 1 switches the method off
    var budgets = [total]
    if let grid = tiles.grid {
      let (recording, thumbnail) = (view.recording(.block(0, .end), order[0]), view.sequences[order[0]])
      let early = try recording.summed(recording.attention!, at: patches, of: thumbnail)
      let full = min(Int(Double(total) * alpha), size)
      let rest = min(total - full, tiles.tiles.count * size)
      budgets = [full] + (try shares(of: rest, early, grid, notes: &notes))
    }
    let chosen = zip(strength, budgets).map { notes.top($0, $1).sorted() }
    notes.keep("mask", chosen.flatMap { rows in Self.mask(rows, of: size) })
    notes.keep("per_partition_kept", chosen.map { Float($0.count) })
    let other = view.sequences[order[0]].id.indices.filter { !patches.contains($0) }
    let first = (other + chosen[0].map { patches[$0] }).sorted().map { tiles.source(order[0], $0) }
    let kept = first + pack(chosen.dropFirst(), tiles)
    guard !kept.isEmpty else {
      throw .unreachable(
        method: Self.name, asked: "\(total) of \(order.count * size) tokens", reachable: "one token of the image",
        fix: "Ask for a larger --keep-ratio or --keep-tokens.")
    }
    return [.keep(kept, of: tiles.count)]
  }

  /// Phase 1: the tokens that every tile may keep, of `rest`.
  private func shares(of rest: Int, _ early: [Float], _ grid: TileGrid, notes: inout Notes) throws(CompressionError)
    -> [Int]
  {
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
    let sum = weights.reduce(0, +)
    if sum == 0 { return weights.map { _ in 0 } }
    return weights.map { min(Int($0 / sum * Float(rest)), early.count) }
  }

  /// Phase 3: tile tokens in raster order without padding. Source indices.
  private func pack(_ chosen: ArraySlice<[Int]>, _ tiles: Tiles) -> [Int] {
    guard let grid = tiles.grid else { return [] }
    let laid = mode == .official ? TileGrid(rows: grid.columns, columns: grid.rows, side: grid.side) : grid
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
