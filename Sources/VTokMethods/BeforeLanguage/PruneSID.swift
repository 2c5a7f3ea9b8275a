import VTokCore
import VTokLibC
import VTokTensor

/// PruneSID: tokens fall into groups by the principal component that they lie on most, in every group those that repeat a
/// better attended one are set back, and groups get shares by how much of them is left.
///
/// Fang et al., "Prune Redundancy, Preserve Essence: Vision Token Compression in VLMs via Synergistic Importance-Diversity",
/// ICLR 2026 (arXiv 2603.09480); ZhengyaoFang/PruneSID. Components come of a randomised decomposition (Halko et al. 2011,
/// arXiv 0909.4061).
public struct PruneSID: Compressor {
  public static let name = "prunesid"
  public static let summary =
    "group tokens by principal component, keep what does not repeat (PruneSID, ICLR 2026, arXiv 2603.09480)"
  public static let remarks = [
    "Random: the decomposition starts from normal numbers, here drawn from the run's seed; the official code does not seed "
      + "them.",
    "The class token counts as one token and reaches the language model, except in a tower alone, where it stays anyway.",
    "Fewer than four tokens are one group; the official code fails there.",
    "Tokens enter the prompt group by group, in a group by falling score, not by position.",
    "LLaVA-NeXT: the tiles' tokens lie at the places of kept patches in raster order, but in the order of groups, as in the "
      + "official code; class tokens come last, and a newline ends images of one tile alone.",
    "Groups whose shares are filled up and have left equally many tokens: the first one goes first; the official sort leaves "
      + "that open.",
  ]
  public static let rounding: String? =
    "a tile has no more than its patches and a class token, and no newlines are placed"

  public var isStochastic: Bool { omega == nil }

  let amount: TileAmount
  /// What the decomposition starts from. `[min(width, patches), groups]`
  private let omega: Tensor?
  private var isWhole = false

  /// - Parameters:
  ///   - amount: the class token included.
  ///   - omega: normal numbers that the decomposition starts from, `[min(width, patches), tokens / 4]`; nil: drawn from the
  ///     run's seed.
  public init(_ amount: TileAmount, omega: Tensor? = nil) {
    self.amount = amount
    self.omega = omega
  }

  public init(_ options: inout Options) throws(OptionError) {
    amount = try options.tileAmount("per-tile", official: "visual_token_num") { .perTile($0) }
    omega = nil
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    let tower = try model.loneClassifierTower(for: Self.name)
    try amount.check(tower, extra: 1, for: Self.name)
    return Plan(
      record: [.block(tower.featureBlock, .end): Request(attention: .classifier)],
      act: model.layout == nil ? [.features] : [.features, .pack])
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    if site == .pack { return isWhole ? nil : [pack(view)] }
    let counts = try amount.counts(view, extra: 1, for: Self.name)
    isWhole = counts == nil
    guard let counts else { return nil }
    // A ViT alone needs its class token anyway; there a budget is for patches.
    let own = if case .budget = amount, view.shape.layout == nil { 1 } else { 0 }
    let block = Site.block(view.shape.tower!.featureBlock, .end)
    var (reductions, indices): ([Reduction], [Float]) = ([], [])
    for (tile, tokens) in view.sequences.enumerated() {
      let keep = counts[tile] + own
      guard keep >= 2 else {
        throw .unreachable(
          method: Self.name, asked: "\(keep) tokens of a tile", reachable: "at least 2, a patch and the class token",
          fix: CompressionError.largerBudget)
      }
      let (patches, recording) = (tokens.rows(.patch), view.recording(block, tile))
      let attention = try recording.summed(recording.attention!, at: patches, of: tokens)
      let x = tokens.x.gathered(patches)
      let start = omega ?? Self.normal([min(x.width, x.rows), max(1, keep / 4)], seed: view.seed)
      let found = Self.select(x, attention: attention, keep: keep, omega: start, notes: &notes)
      let classifier = tokens.rows(.classifier)
      reductions.append(.keep(classifier + found.kept.map { patches[$0] }, of: tokens.count))
      indices += [0] + found.kept.map { Float($0 + 1) }
    }
    notes.keep("indices", indices)
    return reductions
  }

  /// Normal numbers (Marsaglia's polar method).
  private static func normal(_ shape: [Int], seed: UInt64) -> Tensor {
    var generator = SeededGenerator(seed: seed)
    return Tensor(
      (0..<shape.reduce(1, *)).map { _ in
        while true {
          let (u, v) = (2 * generator.uniform() - 1, 2 * generator.uniform() - 1)
          let square = u * u + v * v
          if square > 0, square < 1 { return u * (-2 * logf(square) / square).squareRoot() }
        }
      }, shape: shape)
  }

  /// The thumbnail as it is; then the tiles' rows, the j-th of a tile at the j-th of its kept places in raster order; the
  /// tiles' class tokens last.
  private func pack(_ view: borrowing View) -> Reduction {
    let tiles = Tiles(view)
    let first = tiles.thumbnail.map { tile in view.sequences[tile].id.indices.map { tiles.source(tile, $0) } } ?? []
    guard let grid = tiles.grid else {
      return .keep(first + (view.newline.map { [Int($0)] } ?? []), of: tiles.count)
    }
    var (cells, classes): ([(rank: Int, source: Int)], [Int]) = ([], [])
    for (place, tile) in tiles.tiles.enumerated() {
      let tokens = view.sequences[tile]
      let rows = tokens.rows(.patch)
      let places = rows.map { tiles.cell($0, of: tokens) }.sorted()
      cells += zip(rows, places).map { (grid.rank(tile: place, cell: $1), tiles.source(tile, $0)) }
      classes += tokens.rows(.classifier).map { tiles.source(tile, $0) }
    }
    return .keep(first + cells.sorted { $0.rank < $1.rank }.map(\.source) + classes, of: tiles.count)
  }
}
