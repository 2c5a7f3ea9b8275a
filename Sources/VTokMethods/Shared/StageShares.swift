import VTokCore

/// What a method that cuts in stages keeps of the visual tokens alive at each of them.
public enum StageShares: Sendable, Equatable {
  /// One share per stage, of those alive then.
  case ratios([Double])
  /// One number per stage.
  case counts([Int])
  /// Left by the last stage; the others keep equal shares in between.
  case budget(Budget)
}

/// Counts what stages keep.
struct StageCount: Sendable {
  let shares: StageShares
  /// How shares become numbers.
  let rule: FloatingPointRoundingRule
  /// The fewest that a stage leaves.
  let least: Int
  /// With a budget: of every stage.
  private var counts: [Int]?

  init(_ shares: StageShares, _ rule: FloatingPointRoundingRule, least: Int = 0) {
    self.shares = shares
    self.rule = rule
    self.least = least
  }

  /// What stage `stage` of `stages` keeps of the prompt as it is there.
  mutating func callAsFunction(_ stage: Int, of stages: Int, _ view: borrowing View) -> Int {
    let alive = view.visual(view.sequences[0]).count
    let wanted: Int
    switch shares {
    case .ratios(let ratios): wanted = Int((Double(alive) * ratios[stage]).rounded(rule))
    case .counts(let counts): wanted = counts[stage]
    case .budget:
      if counts == nil { counts = budgeted(stages, view) }
      wanted = counts![stage]
    }
    return min(alive, max(least, wanted))
  }

  private func budgeted(_ stages: Int, _ view: borrowing View) -> [Int] {
    guard case .budget(let budget) = shares else { return [] }
    return StageAmount.budget(budget).counts(after: stages, view)
  }
}

extension Options {
  /// `ratios`, or a budget for the last stage; else the published shares if there are as many stages, or halves.
  mutating func shares(ofStages count: Int, published: [Double]) throws(OptionError) -> StageShares {
    let expected = "one share in 0...1 per stage"
    if let ratios = try list("ratios", expected, as: .amount, "share of the visual tokens alive that every stage keeps")
    {
      if ratios.count != count || ratios.contains(where: { !(0...1).contains($0) }) {
        throw invalid("ratios", "\(ratios)", expected)
      }
      return .ratios(ratios)
    }
    if let budget = try budget("visual tokens kept by the last stage; the others in equal steps", published: true) {
      return .budget(budget)
    }
    return .ratios(count == published.count ? published : [Double](repeating: 0.5, count: count))
  }
}
