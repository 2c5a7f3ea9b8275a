import VTokCore
import VTokTensor

/// Keeps tokens at random, seeded per image, so that a job's order does not matter: in a tower alone patches, cut once at
/// the end of one block; of a vision-language model the visual tokens of the prompt, before its first layer.
public struct RandomPatches: Compressor {
  public static let name = "random"
  public static let summary = "keep tokens at random, the baseline that a method must beat"
  public static let remarks = [
    "Vision-language models: visual tokens of the prompt before layer 0, numbered anew, unless a block of the tower is named.",
    "at=features draws after the tower, as methods do that save nothing inside it.",
  ]

  public var isStochastic: Bool { true }

  public enum Place: String, Sendable, CaseIterable { case block, features }

  let cut: BlockCut
  let place: Place

  public init(keep: Budget, block: Int? = nil, at place: Place = .block) {
    cut = BlockCut(budget: keep, block: block)
    self.place = place
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
