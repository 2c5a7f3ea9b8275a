import VTokCore

// How many visual tokens every stage keeps.
extension SparseVLM {
  /// Published budgets, by the average number of visual tokens they leave of 576.
  public enum Target: String, Sendable, CaseIterable {
    case tokens192 = "192"
    case tokens128 = "128"
    case tokens96 = "96"
    case tokens64 = "64"
    var average: Double { Double(rawValue)! }
    func counts(_ version: Version) -> [Int] {
      switch (self, version) {
      case (.tokens192, .recycling): [300, 200, 110]
      case (.tokens128, .recycling): [303, 110, 36]
      case (.tokens96, .recycling): [238, 48, 26]
      case (.tokens64, .recycling): [66, 30, 17]
      case (.tokens192, .plus): [300, 200, 118]
      case (.tokens128, .plus): [238, 108, 60]
      case (.tokens96, .plus): [246, 54, 28]
      case (.tokens64, .plus): [66, 34, 20]
      }
    }
  }

  enum Amount: Sendable, Equatable {
    /// Kept by every stage.
    case counts([Int])
    /// On average of the layers: the nearest published schedule, scaled.
    case budget(Budget)

    init(_ options: inout Options, _ version: Version, stages: Int) throws(OptionError) {
      let isTargeted = options.has("target")
      let target = try options.take("target", default: Target.tokens192, "published budget, on average of 576 tokens")
      let expected = "one whole number per stage, none above the one before"
      if let counts = try options.list("counts", expected, "visual tokens kept by every stage") {
        let isWrong = counts.contains { $0 < 1 || $0 != $0.rounded() || $0 > 1e6 }
        if isWrong || counts.count != stages || zip(counts, counts.dropFirst()).contains(where: <) {
          throw options.invalid("counts", "\(counts)", expected)
        }
        self = .counts(counts.map { Int($0) })
        return
      }
      guard stages == 3 else { throw options.invalid("counts", "", expected) }
      let about = "visual tokens on average of the layers: the nearest published schedule, scaled"
      if !isTargeted, let budget = try options.budget(about, published: true) {
        self = .budget(budget)
      } else {
        self = .counts(target.counts(version))
      }
    }

    /// Of so many visual tokens received.
    func counts(of received: Int, _ version: Version) -> [Int] {
      switch self {
      case .counts(let counts): return counts
      case .budget(let budget):
        let average = Double(budget.tokens(of: received))
        let share = average / Double(received) * 576
        let nearest = Target.allCases.min { abs($0.average - share) < abs($1.average - share) }!
        return nearest.counts(version).map { max(1, Int((Double($0) * average / nearest.average).rounded())) }
      }
    }
  }
}
