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

  /// Dropped tokens that are recycled, and the tokens that they become.
  static func recycled(of dropped: Int) -> Int { Int(0.3 * Double(dropped)) + 1 }
  static func clusters(of recycled: Int) -> Int { recycled / 10 + 1 }

  enum Amount: Sendable, Equatable {
    /// Kept by every stage.
    case counts([Int])
    /// Left on average of the layers, as published: the nearest published schedule, scaled.
    case average(Budget)
    /// Left by the last stage, recycled tokens too: the nearest published schedule, scaled.
    case budget(Budget)

    var isBudget: Bool { if case .budget = self { true } else { false } }

    init(_ options: inout Options, _ version: Version, stages: Int) throws(OptionError) {
      let isTargeted = options.has("target")
      let target = try options.take(
        "target", default: Target.tokens192, as: .amount,
        "published budget, on average of 576 tokens")
      let expected = "one whole number per stage, none above the one before"
      let counts = try options.list("counts", expected, as: .amount, "visual tokens kept by every stage")
      let form = "a ratio in 0...1 (with a point) or a number of tokens"
      let average = options.text(
        "average", form, as: .amount,
        "visual tokens on average of the layers, as published budgets count")
      let own = [("target", isTargeted), ("counts", counts != nil), ("average", average != nil)].filter(\.1).map(\.0)
      if own.count > 1 { throw options.invalid(own[1], "\(own[0]) too", "one of target, counts and average") }
      let about = "visual tokens left by the last stage, recycled ones too"
      let budget = try options.budget(about, published: true)
      if let counts {
        let isWrong = counts.contains { $0 < 1 || $0 != $0.rounded() || $0 > 1e6 }
        if isWrong || counts.count != stages || zip(counts, counts.dropFirst()).contains(where: <) {
          throw options.invalid("counts", "\(counts)", expected)
        }
        self = .counts(counts.map { Int($0) })
        return
      }
      guard stages == 3 else { throw options.invalid("counts", "", expected) }
      if let average {
        guard let average = Budget(average) else { throw options.invalid("average", average, form) }
        self = .average(average)
      } else {
        self = budget.map { .budget($0) } ?? .counts(target.counts(version))
      }
    }

    /// - Parameters:
    ///   - received: visual tokens.
    ///   - kept: those that a budget leaves of them.
    func counts(of received: Int, _ version: Version, kept: (Budget) -> Int) -> [Int] {
      switch self {
      case .counts(let counts): return counts
      case .average(let budget):
        let average = Double(budget.tokens(of: received))
        let nearest = Self.nearest(to: average / Double(received)) { $0.average }
        return Self.scaled(nearest.counts(version), by: average / nearest.average)
      case .budget(let budget):
        let wanted = kept(budget)
        if wanted >= received { return [received, received, received] }
        let base = Self.nearest(to: Double(wanted) / Double(received)) {
          Double(Self.left(of: 576, $0.counts(version), version))
        }.counts(version)
        let steps = 4096
        let scale = VTokMethods.nearest(to: wanted, in: 0...steps * received) { step in
          Self.left(of: received, Self.scaled(base, by: Double(step) / Double(steps)), version)
        }
        return Self.scaled(base, by: Double(scale) / Double(steps))
      }
    }

    /// The published schedule that leaves most nearly such a share.
    private static func nearest(to share: Double, _ left: (Target) -> Double) -> Target {
      Target.allCases.min { abs(left($0) - share * 576) < abs(left($1) - share * 576) }!
    }

    private static func scaled(_ counts: [Int], by scale: Double) -> [Int] {
      counts.map { max(1, Int((Double($0) * scale).rounded())) }
    }

    /// What the last stage leaves.
    private static func left(of received: Int, _ counts: [Int], _ version: Version) -> Int {
      counts.reduce(received) { left, keep in
        guard keep < left else { return left }
        return version == .plus ? keep : keep + clusters(of: recycled(of: left - keep))
      }
    }
  }
}
