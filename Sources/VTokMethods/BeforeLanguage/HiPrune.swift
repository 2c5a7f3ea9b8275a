import VTokCore
import VTokTensor

/// HiPrune: what a middle block of the tower attends to (objects) with its neighbours, filled up with what the last block
/// attends to (registers of the whole image). It needs neither class token nor text.
///
/// Liu et al., "HiPrune: Training-Free Visual Token Pruning via Hierarchical Attention in Vision-Language Models"
/// (arXiv 2508.00553); Danielement321/HiPrune.
public struct HiPrune: Compressor {
  public static let name = "hiprune"
  public static let summary =
    "keep what a middle block attends to with its neighbours, and what the last does (HiPrune, arXiv 2508.00553)"
  public static let remarks = [
    "Neighbours are counted along the list: those of a row's end lie in the next row, and beyond the first and last patch "
      + "the first and last patch stand for them.",
    "LLaVA-NeXT: every tile keeps equally many tokens, padding is not cut and no newline is placed.",
    "Qwen-VL: attention is that of the blocks as they run, windows included, summed over rows; a neighbour may then be drawn "
      + "a second time and fewer tokens stay, as in the official code.",
    "Blocks count from 0 here (object=8); the authors count from 1 (9, or 16 for Qwen2.5-VL).",
  ]
  public static let rounding: String? =
    "a tile has no more than its patches, no newlines are placed, and in Qwen-VL a token may be drawn twice"

  /// Share of the tokens that objects and their neighbours get.
  let alpha: Double
  /// Block of the objects; nil: as published for the model's depth.
  let object: Int?
  private var cut: TileCut

  public init(_ amount: TileAmount, alpha: Double = 0.1, object: Int? = nil) {
    self.alpha = alpha
    self.object = object
    cut = TileCut(amount)
  }

  public init(_ options: inout Options) throws(OptionError) {
    let alpha = try options.take("alpha", default: 0.1, in: 0...1, "share of the tokens for objects and neighbours")
    let object = try options.take(
      "object", default: nil, in: 0...1000, "block whose attention finds objects (default: 8 of 24 and 15 of 32 blocks)"
    )
    let amount = try options.tileAmount("total", official: "retention") { .total($0) }
    self.init(amount, alpha: alpha, object: object)
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    let (tower, isMerged) = try model.patchesOrMerged(for: Self.name)
    let request = Request(attention: .all, summed: true)
    let sites = sites(in: tower)
    var plan = Plan(record: [sites.object: request, sites.deep: request])
    plan.act = isMerged ? [.pack] : try cut.sites(for: model, Self.name)
    if isMerged { plan.record[.features] = Request(tokens: true) }
    return plan
  }

  /// The published blocks: 8 of CLIP-L's 24, the third with attention to the whole image in Qwen2.5-VL's 32.
  private func sites(in tower: Shape.Tower) -> (object: Site, deep: Site) {
    let global = tower.windows.map { windows in windows.global[max(0, windows.global.count / 2 - 1)...].first }
    let block = object ?? (global ?? nil) ?? (tower.fuse > 1 ? tower.blocks / 2 - 1 : tower.blocks / 3)
    return (.block(block, .end), .block(tower.featureBlock, .end))
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let tower = view.shape.tower!
    if tower.fuse > 1 { return try merged(view, notes: &notes) }
    let (object, deep) = sites(in: tower)
    let rule = self
    // Tiles are squares; a tower alone has its own grid.
    let columns = view.image.map { view.images[$0].side } ?? tower.columns
    return try cut.reduce(view, at: site, for: Self.name, notes: &notes) {
      tile, patches, count, notes throws(CompressionError) in
      let tokens = view.sequences[tile]
      let share = 1 / Float(tower.heads * tokens.count)  // the mean over heads and rows
      return try rule.select(
        objects: view.received(object, tile: tile, at: patches, of: tokens).map { share * $0 },
        deep: view.received(deep, tile: tile, at: patches, of: tokens).map { share * $0 }, keep: count,
        columns: columns, notes: &notes)
    }
  }

  /// Behind a connector that makes one token of several patches.
  private func merged(_ view: borrowing View, notes: inout Notes) throws(CompressionError) -> [Reduction]? {
    guard let count = try cut.amount.counts(view, for: Self.name)?[0] else { return nil }
    let (tower, tokens, layout) = (view.shape.tower!, view.sequences[0], view.images[view.image ?? 0])
    let (object, deep) = sites(in: tower)
    let rows = Array(0..<tokens.count)
    let objects = try view.received(object, tile: 0, at: rows, of: tokens).map { $0 / Float(tower.heads) }
    let last = try view.received(deep, tile: 0, at: rows, of: tokens).map { $0 / Float(tower.heads) }
    let edge = Int(Double(tower.fuse).squareRoot())
    let kept = try select(
      objects: objects, deep: last, keep: count, columns: layout.tileColumns * layout.side / edge, notes: &notes)
    notes.keep("objects", objects)
    notes.keep("deep", last)
    notes.keep("selected", kept.map { Float($0) })
    return [.keep(kept, of: tokens.count)]
  }

  /// About `keep` places of a grid of `columns`, ascending: those that most attention goes to in the block of objects, each
  /// with its four neighbours, then those that most goes to in the last block.
  /// - Parameters:
  ///   - objects: attention that every place receives in the block of objects. `[n]`
  ///   - deep: the same in the last block. Neighbours take part with 1 less: where shares are means, none is drawn again.
  public func select(objects: [Float], deep: [Float], keep: Int, columns: Int, notes: inout Notes)
    throws(CompressionError) -> [Int]
  {
    let count = Int((Double(keep) * alpha / 5).rounded(.toNearestOrEven))
    let anchors = notes.top(objects, min(count, objects.count))
    let last = objects.count - 1
    var near = Set<Int>()
    for anchor in anchors {
      for step in [0, -1, 1, -columns, columns] { near.insert(min(max(anchor + step, 0), last)) }
    }
    guard near.count <= keep else {
      throw .unreachable(
        method: Self.name, asked: "\(keep) tokens with alpha=\(alpha)",
        reachable: "at least the \(near.count) that objects and their neighbours are", fix: "Lower alpha.")
    }
    let rest = deep.indices.map { near.contains($0) ? deep[$0] - 1 : deep[$0] }
    return near.union(notes.top(rest, keep - near.count)).sorted()
  }
}
