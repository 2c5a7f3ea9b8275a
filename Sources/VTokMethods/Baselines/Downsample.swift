import VTokCore
import VTokTensor

/// Shrinks the image before the tower so that the number of tokens matches: the cheapest reduction there is. Where the
/// tower takes one size only (CLIP in LLaVA) its output is averaged over areas of the grid instead.
public struct Downsample: Compressor {
  public static let name = "downsample"
  public static let summary = "shrink the image until its patches fit the budget, the baseline without any selection"
  public static let remarks = [
    "Grids are whole: the number of tokens is the largest grid of the same shape that fits.",
    "Qwen-VL and other models that take an image at its own size: their processor makes it smaller, as its `max_pixels` does.",
    "LLaVA: the tower takes one size only, so the features of every tile are averaged over areas (`downsample:pool`).",
  ]

  public static let rounding: String? = "grids are whole"

  let budget: Budget

  public init(keep: Budget) { budget = keep }
  public init(_ options: inout Options) throws(OptionError) {
    budget = try options.budget("patches at most") ?? .ratio(0.5)
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    if model.layout?.tiling == .native { return Plan(shrink: budget) }
    // Tiles of a vision-language model have one size.
    let anySize = model.layout == nil && model.tower?.anySize == true
    guard let tower = model.tower, anySize || tower.fuse == 1 else {
      throw .unsupported(
        method: Self.name, found: "a tower that takes one image size", expected: "one that can resize its positions",
        fix: CompressionError.anotherMethod)
    }
    let patches = model.perTile(budget).tokens(of: tower.patches)
    guard patches >= 1 else {
      throw .unreachable(
        method: Self.name, asked: "\(patches) of \(tower.patches) patches", reachable: "at least 1",
        fix: CompressionError.largerBudget)
    }
    return anySize ? Plan(shrink: budget) : Plan(act: [.features], completeTiles: true)
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
