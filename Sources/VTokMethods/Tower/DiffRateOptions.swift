import VTokCore

// What users may say about diffrate: a published schedule, lists of their own, a file of learned counts, or a budget.

extension DiffRate.Amount {
  init(_ options: inout Options) throws(OptionError) {
    let names = DiffRate.Preset.all.map(\.name)
    let preset = options.text(
      "preset", "a name as vit-s-deit-2.9", as: .amount, "a published schedule, by model and GMACs")
    let prune = try options.list(
      "prune", "whole numbers, one per block", as: .amount, "tokens kept by pruning, class token included")
    let merge = try options.list(
      "merge", "whole numbers, one per block", as: .amount, "tokens kept by merging, class token included")
    let file = try options.file(
      "rates", as: .amount, "JSON file of schema \(DiffRate.ratesSchema) with the lists prune and merge")
    let sources = [("preset", preset != nil), ("prune", prune != nil || merge != nil), ("rates", file != nil)]
    let given = sources.filter(\.1).map(\.0)
    guard given.count <= 1 else {
      throw options.invalid(given[1], "\(given[0]) too", "one of preset, prune with merge, rates, keep")
    }
    if given.count == 1, options.has("keep") {
      throw options.invalid("keep", "\(given[0]) too", "one of preset, prune with merge, rates, keep")
    }
    if let preset {
      guard let known = DiffRate.Preset.named(preset) else {
        let near = closest(to: preset, in: names).map { "'\($0)', or another name" } ?? "the name"
        throw options.invalid("preset", preset, "\(near) of a published schedule")
      }
      self = .preset(known)
    } else if prune != nil || merge != nil {
      guard let prune else { throw options.invalid("prune", "", "a list as long as merge") }
      guard let merge else { throw options.invalid("merge", "", "a list as long as prune") }
      self = .schedule(try DiffRate.schedule(options, key: "merge", prune: prune, merge: merge))
    } else if let file {
      guard file.schema == DiffRate.ratesSchema else {
        throw options.invalid(
          "rates", file.schema.map { "schema \($0)" } ?? "a file without schema",
          "a file of schema \(DiffRate.ratesSchema)")
      }
      guard let prune = file.lists["prune"], let merge = file.lists["merge"] else {
        let missing = file.lists["prune"] == nil ? "prune" : "merge"
        throw options.invalid("rates", "a file without a list of numbers '\(missing)'", "the lists prune and merge")
      }
      self = .schedule(try DiffRate.schedule(options, key: "rates", prune: prune, merge: merge))
    } else {
      self = .budget(try options.budget("tokens left after the last block") ?? .ratio(0.5))
    }
  }

  /// Refuses a schedule made for another model.
  func check(_ tower: Shape.Tower, share: (Budget) -> Budget) throws(CompressionError) {
    let schedule: DiffRate.Schedule
    switch self {
    case .schedule(let own): schedule = own
    case .preset(let preset):
      schedule = preset.schedule
      guard schedule.prune[0] == tower.patches + 1 else {
        throw .unsupported(
          method: DiffRate.name, found: "\(tower.patches + 1) tokens",
          expected: "\(schedule.prune[0]) for \(preset.name)",
          fix: "Give a budget instead of the preset.")
      }
    case .budget:
      _ = try self.schedule(tokens: tower.patches + 1, blocks: tower.depth, share: share)
      return
    }
    guard schedule.prune.count == tower.depth else {
      throw .unsupported(
        method: DiffRate.name, found: "\(tower.depth) blocks",
        expected: "\(schedule.prune.count), one per listed count",
        fix: "Give a schedule for this depth, or a budget.")
    }
  }

  /// The counts of every block for a sequence of `tokens` rows, class token included.
  /// - Parameter share: what of a budget a tile has.
  func schedule(tokens: Int, blocks: Int, share: (Budget) -> Budget) throws(CompressionError) -> DiffRate.Schedule {
    switch self {
    case .schedule(let own): return own
    case .preset(let preset): return preset.schedule
    case .budget(let budget): return try .uniform(keeping: share(budget), tokens: tokens, blocks: blocks)
    }
  }
}

extension DiffRate.Schedule {
  /// The same number of tokens goes in every block but the first, which has seen too little (the official code leaves
  /// it alone too): half of them pruned, the other half merged.
  static func uniform(keeping budget: Budget, tokens: Int, blocks: Int) throws(CompressionError) -> DiffRate.Schedule {
    let removed = try Schedule.even(
      keeping: budget, of: tokens - 1, blocks: blocks > 1 ? Array(1..<blocks) : [0], depth: blocks,
      method: DiffRate.name
    ) { $0 - 1 }
    var left = tokens
    var (prune, merge) = ([Int](), [Int]())
    for count in removed {
      prune.append(left - count / 2)
      left -= count
      merge.append(left)
    }
    return DiffRate.Schedule(prune: prune, merge: merge)
  }
}

extension DiffRate {
  /// What a file of learned counts calls itself.
  public static let ratesSchema = "vtok-rates/1"

  fileprivate static func schedule(_ options: Options, key: String, prune: [Double], merge: [Double])
    throws(OptionError) -> Schedule
  {
    guard prune.count == merge.count, !prune.isEmpty else {
      throw options.invalid(
        key, "\(prune.count) pruning and \(merge.count) merging counts", "as many of one as of the other")
    }
    guard let wrong = (prune + merge).first(where: { $0 < 2 || $0 != $0.rounded() || $0 > 1e6 }) else {
      return Schedule(prune: prune.map { Int($0) }, merge: merge.map { Int($0) })
    }
    throw options.invalid(key, "\(wrong)", "whole numbers of tokens, 2 (class token and one patch) or above")
  }
}
