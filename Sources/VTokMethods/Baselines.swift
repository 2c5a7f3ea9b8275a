import VTokCore
import VTokTensor

// The rows that every table needs beside a published method: class attention, chance, and a smaller picture.

/// Keeps the patches the class token attends to most, cut once at the end of one block.
///
/// The score of EViT (Liang et al., ICLR 2022, arXiv 2202.07800) and of many others, without fusion: attention of the
/// class token averaged over heads.
public struct ClsAttention: Compressor {
  public static let name = "cls-attention"
  public static let summary =
    "keep the patches with the largest class-token attention at one block (as in EViT, no fusion)"

  let cut: BlockCut

  public init(keep: Budget, block: Int? = nil) { cut = BlockCut(budget: keep, block: block) }
  public init(_ options: inout Options) throws(OptionError) { cut = try BlockCut(&options) }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    let site = try cut.site(in: model, for: Self.name)
    guard model.tower?.hasClassifier == true else {
      throw .unsupported(
        method: Self.name, found: "no class token", expected: "a tower with one",
        fix: CompressionError.anotherMethod)
    }
    return Plan(record: [site: Request(attention: .classifier)], act: [site])
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    var reductions: [Reduction] = []
    for (index, tokens) in view.sequences.enumerated() {
      let recording = view.recording(site, index)
      let columns = try recording.columns(of: tokens)
      let patches = tokens.rows(.patch)
      let scores = recording.attention!.headMean(at: patches.map { columns[$0] }).values
      let top = notes.top(scores, min(view.perTile(cut.budget), patches.count))
      reductions.append(cut.reduction(keeping: top.map { patches[$0] }, of: tokens))
    }
    return reductions
  }
}

/// Keeps tokens at random, seeded per image, so that a job's order does not matter: in a tower alone patches, cut once at
/// the end of one block; of a vision-language model the visual tokens of the prompt, before its first layer.
public struct RandomPatches: Compressor {
  public static let name = "random"
  public static let summary = "keep tokens at random, the baseline that a method must beat"
  public static let remarks = [
    "Vision-language models: visual tokens of the prompt before layer 0, numbered anew, unless a block of the tower is named.",
    "at=features draws after the tower, as methods do that save nothing inside it.",
  ]

  public enum Place: String, Sendable, CaseIterable { case block, features }

  let cut: BlockCut
  let place: Place

  public init(keep: Budget, block: Int? = nil, at place: Place = .block) {
    (cut, self.place) = (BlockCut(budget: keep, block: block), place)
  }

  public init(_ options: inout Options) throws(OptionError) {
    place = try options.take("at", default: Place.block, "where it cuts: at the end of a block, or after the tower")
    if place == .features, options.has("block") { throw options.invalid("block", "at=features", "one of them") }
    cut = try BlockCut(&options)
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    if place == .features {
      _ = try cut.site(in: model, for: Self.name)
      return Plan(act: [.features])
    }
    if model.decoder != nil, cut.block == nil {
      return Plan(act: [.layer(0)], positions: PositionRule(cut: .renumbered, decode: .next))
    }
    return Plan(act: [try cut.site(in: model, for: Self.name)])
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    var generator = SeededGenerator(seed: view.seed)
    var reductions: [Reduction] = []
    for tokens in view.sequences {
      let groups =
        site == .layer(0)
        ? view.images.indices.map { view.visual(tokens, image: $0) } : [tokens.rows(.patch)]
      var kept: [Int] = []
      for rows in groups {
        let keep = site == .layer(0) ? cut.budget.tokens(of: rows.count) : view.perTile(cut.budget)
        kept += generator.sample(min(keep, rows.count), below: rows.count).map { rows[$0] }
      }
      // Behind the tower a language model gets no class token, where the model drops it.
      reductions.append(
        site == .features && view.standard != nil
          ? .keep(kept.sorted(), of: tokens.count) : .keep(kept, among: groups.flatMap { $0 }, of: tokens.count))
    }
    return reductions
  }
}

/// Shrinks the image before the tower so that the number of patches matches: the cheapest reduction there is. Where the
/// tower takes one size only (CLIP in LLaVA) its output is averaged over areas of the grid instead.
public struct Downsample: Compressor {
  public static let name = "downsample"
  public static let summary = "shrink the image until its patches fit the budget, the baseline without any selection"
  public static let remarks = [
    "Grids are whole: the number of tokens is the largest grid of the same shape that fits.",
    "LLaVA: the tower takes one size only, so the features of every tile are averaged over areas (`downsample:pool`).",
  ]

  public static let rounding: String? = "grids are whole"

  let budget: Budget

  public init(keep: Budget) { budget = keep }
  public init(_ options: inout Options) throws(OptionError) {
    budget = try options.budget("patches at most") ?? .ratio(0.5)
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    guard let tower = model.tower, tower.anySize || tower.fuse == 1 else {
      throw .unsupported(
        method: Self.name, found: "a tower that takes one image size", expected: "one that can resize its positions",
        fix: CompressionError.anotherMethod)
    }
    let patches = model.perTile(budget).tokens(of: tower.patches)
    guard patches >= 1 else {
      throw .unreachable(
        method: Self.name, asked: "\(patches) of \(tower.patches) patches", reachable: "at least 1",
        fix: "Ask for a larger --keep-ratio or --keep-tokens.")
    }
    return tower.anySize ? Plan(patches: patches) : Plan(act: [.features], completeTiles: true)
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) -> [Reduction]? {
    notes.variant = "pool"
    let tower = view.shape.tower!
    let grid = Shape.Tower.grid(
      rows: tower.rows, columns: tower.columns, patches: max(1, view.perTile(budget)))
    return view.sequences.map { tokens in
      let patches = tokens.rows(.patch)
      // Areas as torch's adaptive average pooling has them: they overlap where the sides do not divide.
      func area(_ index: Int, _ count: Int, _ full: Int) -> Range<Int> {
        index * full / count..<((index + 1) * full + count - 1) / count
      }
      let rows = (0..<grid.rows).flatMap { row in
        (0..<grid.columns).map { column in
          area(row, grid.rows, tower.rows).flatMap { y in
            area(column, grid.columns, tower.columns).map { Int32(patches[y * tower.columns + $0]) }
          }
        }
      }
      return Reduction(rows: rows, of: tokens.count, blend: .byCount)
    }
  }
}

/// A single cut of patch rows at the end of one block; prefix rows stay, order stays.
struct BlockCut: Sendable {
  let budget: Budget
  let block: Int?

  init(budget: Budget, block: Int?) { (self.budget, self.block) = (budget, block) }

  init(_ options: inout Options) throws(OptionError) {
    block = try options.take(
      "block", default: nil, in: 0...1000,
      "cut at the end of this block, counted from 0 (default: a quarter of the depth)")
    budget = try options.budget("patches kept") ?? .ratio(0.5)
  }

  func site(in model: Shape, for method: String) throws(CompressionError) -> Site {
    guard let tower = model.tower else {
      throw .unsupported(method: method, found: "no vision tower", expected: "one", fix: CompressionError.anotherMethod)
    }
    return .block(block ?? max(0, tower.blocks / 4 - 1), .end)
  }

  func reduction(keeping patches: [Int], of tokens: TokenSequence) -> Reduction {
    let prefix = tokens.kind.indices.filter { tokens.kind[$0] != .patch }
    return .keep((prefix + patches).sorted(), of: tokens.count)
  }
}
