import VTokCore

/// What a method keeps of every tile that regards each by itself.
public enum TileAmount: Sendable, Equatable {
  /// Of every tile.
  case perTile(Int)
  /// Of all tiles of an image, each getting the same whole number; what does not divide is lost, as in official code.
  case total(Int)
  /// Left of an image.
  case budget(Budget)

  /// Tokens kept of every tile; nil: all stay.
  /// - Parameter extra: tokens of a tile beside its patches that may be kept too.
  func counts(_ view: borrowing View, extra: Int = 0, for method: String) throws(CompressionError) -> [Int]? {
    let patches = view.sequences.map { $0.rows(.patch).count }
    let counts: [Int]
    switch self {
    case .perTile(let count): counts = patches.map { _ in count }
    case .total(let count): counts = patches.map { _ in count / patches.count }
    case .budget(let budget):
      let wanted = view.wanted(budget)
      if wanted == view.whole { return nil }
      counts = zip(evenly(wanted, to: patches.count), patches).map { min($0, $1 + extra) }
    }
    for (count, patches) in zip(counts, patches) where !(1...patches + extra).contains(count) {
      throw Self.unreachable(count, of: patches + extra, method)
    }
    return counts
  }

  /// Refuses before weights load what no tile has.
  func check(_ tower: Shape.Tower, extra: Int = 0, for method: String) throws(CompressionError) {
    guard case .perTile(let count) = self, count > tower.patches + extra else { return }
    throw Self.unreachable(count, of: tower.patches + extra, method)
  }

  private static func unreachable(_ count: Int, of limit: Int, _ method: String) -> CompressionError {
    .unreachable(
      method: method, asked: "\(count) tokens of a tile", reachable: "1 to \(limit)", fix: "Ask for another number.")
  }
}

extension Options {
  /// An amount of every tile or of all tiles, in the authors' way, or a budget.
  /// - Parameter official: the authors' name of the option `key`.
  mutating func tileAmount(
    _ key: String, official: String, _ make: (Int) -> TileAmount, default budget: Budget = .ratio(0.5)
  ) throws(OptionError) -> TileAmount {
    let of = make(1) == .perTile(1) ? "of every tile" : "of all tiles of an image, shared in whole numbers"
    let count = try take(
      key, default: nil, in: 1...1_000_000, as: .amount, "visual tokens kept \(of) (official: \(official))")
    let given = try self.budget("visual tokens kept, of all tiles of an image")
    return count.map(make) ?? .budget(given ?? budget)
  }
}

/// A cut behind the tower that takes every tile by itself and lets patches alone go on, in the packing that several
/// repositories share: the thumbnail, then the tiles in raster order of the whole grid, padding included and no newline.
struct TileCut: Sendable {
  let amount: TileAmount
  /// Whether the model's newline ends an image of a single tile.
  var endsSingleTile = false
  /// Whether the image that is being packed stays as it is.
  private var isWhole = false

  init(_ amount: TileAmount, endsSingleTile: Bool = false) {
    self.amount = amount
    self.endsSingleTile = endsSingleTile
  }

  /// Where it acts; a tower alone has nothing to pack.
  func sites(for model: Shape, _ method: String) throws(CompressionError) -> Set<Site> {
    if let tower = model.tower { try amount.check(tower, for: method) }
    guard model.layout != nil else { return [.features] }
    try model.packs(for: method)
    return [.features, .pack]
  }

  /// The cut of a method that goes by the class token's attention in the block that the features come from.
  func plan(for model: Shape, byClassToken method: String) throws(CompressionError) -> Plan {
    let tower = try model.classifierTower(for: method)
    return Plan(
      record: [.block(tower.featureBlock, .end): Request(attention: .classifier)], act: try sites(for: model, method))
  }

  /// - Parameter select: of a tile and its patch rows, so many of them, in the order chosen; indices into these rows. The notes
  ///   keep them as `selected`.
  mutating func reduce(
    _ view: borrowing View, at site: Site, for method: String, notes: inout Notes,
    select: (_ tile: Int, _ patches: [Int], _ count: Int, inout Notes) throws(CompressionError) -> [Int]
  ) throws(CompressionError) -> [Reduction]? {
    var chosen: [Float] = []
    let reductions = try reduce(view, at: site, for: method) { tile, patches, count throws(CompressionError) in
      let order = try select(tile, patches, count, &notes)
      chosen += order.map { Float($0) }
      return order
    }
    notes.keep("selected", chosen)
    return reductions
  }

  /// - Parameter select: of a tile and its patch rows, so many of them; indices into these rows.
  mutating func reduce(
    _ view: borrowing View, at site: Site, for method: String,
    select: (_ tile: Int, _ patches: [Int], _ count: Int) throws(CompressionError) -> [Int]
  ) throws(CompressionError) -> [Reduction]? {
    if site == .pack {
      let tiles = Tiles(view)
      let all = view.sequences.map { Array(0..<$0.count) }
      let newline = endsSingleTile && tiles.grid == nil ? view.newline.map { [Int($0)] } ?? [] : []
      return isWhole ? nil : [.keep(tiles.inOrder(all, of: view) + newline, of: tiles.count)]
    }
    let counts = try amount.counts(view, for: method)
    isWhole = counts == nil
    guard let counts else { return nil }
    var reductions: [Reduction] = []
    for (tile, tokens) in view.sequences.enumerated() {
      let patches = tokens.rows(.patch)
      let kept = try select(tile, patches, counts[tile]).sorted().map { patches[$0] }
      // A language model gets patches only; a plain ViT needs its class token.
      let prefix = view.shape.layout == nil ? tokens.id.indices.filter { tokens.kind[$0] != .patch } : []
      reductions.append(.keep(prefix + kept, of: tokens.count))
    }
    return reductions
  }
}
