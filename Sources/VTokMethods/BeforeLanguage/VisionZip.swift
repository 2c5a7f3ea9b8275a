import VTokCore
import VTokTensor

/// VisionZip: the tokens that the class token attends to most stay, the others are merged around evenly spaced ones.
///
/// Yang et al., "VisionZip: Longer is Better but Not Necessary in Vision Language Models", CVPR 2025
/// (arXiv 2412.04467); dvlab-research/VisionZip, the mode without training.
public struct VisionZip: Compressor {
  public static let name = "visionzip"
  public static let summary =
    "keep dominant tokens, merge the rest into a few (VisionZip, CVPR 2025, arXiv 2412.04467)"
  public static let remarks = [
    "The class token counts as one dominant token and reaches the language model.",
    "A contextual token is its target plus the mean of its followers, not the mean of all.",
    "LLaVA-NeXT: padding is not cut and no newline is placed; class tokens and contextual tokens come after the patches.",
    "A budget is split as the published settings are, 54 dominant to 10 contextual tokens, and shared evenly by tiles.",
  ]
  public static let rounding: String? =
    "a tile has no more than its patches and a class token, and no newlines are placed"

  /// Tokens left of one tile.
  enum Amount: Sendable, Equatable {
    case counts(dominant: Int, contextual: Int)
    /// Left of an image.
    case budget(Budget)
  }

  let amount: Amount
  /// Whether the image that is being packed stays as it is.
  private var isWhole = false

  /// Of every tile: `dominant` tokens, the class token among them, and `contextual` merged ones.
  public init(dominant: Int, contextual: Int) { amount = .counts(dominant: dominant, contextual: contextual) }
  public init(keep: Budget) { amount = .budget(keep) }

  public init(_ options: inout Options) throws(OptionError) {
    let dominant = try options.take(
      "dominant", default: nil, in: 1...100_000, as: .amount, "tokens of a tile kept as they are, class token included")
    let contextual = try options.take(
      "contextual", default: nil, in: 0...100_000, as: .amount, "tokens of a tile that the others are merged into")
    let budget = try options.budget("visual tokens left, of all tiles of an image")
    switch (dominant, contextual) {
    case (let dominant?, let contextual?): amount = .counts(dominant: dominant, contextual: contextual)
    case (nil, nil): amount = .budget(budget ?? .ratio(0.5))
    default:
      throw options.invalid(dominant == nil ? "dominant" : "contextual", "", "dominant and contextual together")
    }
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    let tower = try model.loneClassifierTower(for: Self.name)
    if case .counts(let dominant, let contextual) = amount {
      try check(dominant, contextual, patches: tower.patches)
    }
    return Plan(
      record: [.block(tower.featureBlock, .end): Request(attention: .classifier, keys: true)],
      act: model.layout == nil ? [.features] : [.features, .pack])
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    if site == .pack { return isWhole ? nil : pack(view) }
    let counts = try split(view)
    isWhole = counts == nil
    guard let counts else { return nil }
    var reductions: [Reduction] = []
    var indices: [Float] = []
    for (index, tokens) in view.sequences.enumerated() {
      let recording = view.recording(.block(view.shape.tower!.featureBlock, .end), index)
      let (dominant, contextual) = counts[index]
      let columns = try recording.columns(of: tokens)
      let metric = ToMe.headMean(recording.keys!).gathered(columns)
      let attention = try recording.summed(recording.attention!, at: Array(1..<tokens.count), of: tokens)
      let best = [0] + notes.top(attention, dominant - 1).map { $0 + 1 }
      indices += best.map { Float($0) }
      let kept = best.sorted()
      let groups = Self.group(metric, without: kept, into: contextual, notes: &notes)
      let rows = kept.map { [Int32($0)] } + groups.map { $0.map(Int32.init) }
      let weights = rows.flatMap { row in
        row.indices.map { $0 == 0 ? 1 : 1 / Float(row.count - 1) }
      }
      reductions.append(Reduction(rows: rows, of: tokens.count, blend: .weighted(weights)))
    }
    notes.keep("dominant", indices)
    return reductions
  }

  /// Contextual tokens: every `step`-th row not in `kept` is a target; the others follow their most similar target.
  /// Rows of `metric` `[n, c]`, the target first.
  private static func group(_ metric: Tensor, without kept: [Int], into count: Int, notes: inout Notes) -> [[Int]] {
    if count == 0 { return [] }
    let dropped = Set(kept)
    let rest = (0..<metric.rows).filter { !dropped.contains($0) }
    let step = max(1, rest.count / count)
    let isTarget = rest.indices.map { $0 % step == 0 && $0 / step < count }
    var groups = rest.indices.filter { isTarget[$0] }.map { [rest[$0]] }
    let followers = rest.indices.filter { !isTarget[$0] }.map { rest[$0] }
    let similarity = notes.cosines(metric.gathered(followers), metric.gathered(groups.map { $0[0] }))
    for (index, follower) in followers.enumerated() {
      groups[notes.first(Array(similarity.row(index)))].append(follower)
    }
    return groups
  }

  /// The thumbnail's tokens as they are; then the patches of all tiles in raster order of the whole grid, one class
  /// token a tile, and the contextual tokens tile by tile.
  private func pack(_ view: borrowing View) -> [Reduction] {
    let tiles = Tiles(view)
    let first = tiles.thumbnail.map { tile in view.sequences[tile].id.indices.map { tiles.source(tile, $0) } } ?? []
    var patches = view.sequences.map { _ in [Int]() }
    var classes: [Int] = []
    var contextual: [Int] = []
    for tile in tiles.tiles {
      let tokens = view.sequences[tile]
      let dominant = dominant(of: tokens.count)
      classes.append(tiles.source(tile, 0))
      patches[tile] = Array(1..<dominant)
      contextual += (dominant..<tokens.count).map { tiles.source(tile, $0) }
    }
    let sorted = tiles.raster(patches, of: view)
    return [.keep(first + sorted + classes + contextual, of: tiles.count)]
  }

  /// Dominant and contextual tokens of every tile; nil: all tokens stay.
  private func split(_ view: borrowing View) throws(CompressionError) -> [(dominant: Int, contextual: Int)]? {
    let patches = view.sequences.map { $0.rows(.patch).count }
    let counts: [(dominant: Int, contextual: Int)]
    switch amount {
    case .counts(let dominant, let contextual): counts = patches.map { _ in (dominant, contextual) }
    case .budget(let budget):
      let (wanted, isPlain) = (view.wanted(budget), view.shape.layout == nil)
      if wanted == view.whole { return nil }
      counts = zip(evenly(wanted, to: patches.count), patches).map { share, patches in
        // A ViT alone needs its class token anyway; there the budget is for patches.
        let total = min(share + (isPlain ? 1 : 0), patches + 1)
        return (dominant(of: total), total - dominant(of: total))
      }
    }
    for (tile, count) in counts.enumerated() { try check(count.dominant, count.contextual, patches: patches[tile]) }
    return counts
  }

  private func check(_ dominant: Int, _ contextual: Int, patches: Int) throws(CompressionError) {
    guard dominant >= 1, dominant + contextual <= patches + 1 else {
      throw .unreachable(
        method: Self.name, asked: "\(dominant) dominant and \(contextual) contextual tokens a tile",
        reachable: "1 to \(patches + 1) together", fix: "Ask for another keep ratio or number of tokens.")
    }
  }

  /// Of so many tokens left in a tile.
  private func dominant(of total: Int) -> Int {
    if case .counts(let dominant, _) = amount { return dominant }
    return total - total * 10 / 64
  }
}
