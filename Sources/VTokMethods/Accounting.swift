import VTokCore

/// How the budget of a job is counted for a method, and why something else may be left: the one place where what was asked
/// and what was reached meet.
public struct Accounting: Sendable {
  /// nil: the method has an amount of its own, or there is none.
  public let budget: Budget?
  public let counted: Counted
  /// Why what is left may differ.
  private let rules: [String]

  /// - Parameters:
  ///   - spec: nil: dense.
  ///   - budget: of the job.
  public init(_ spec: MethodSpec?, budget: Budget?, _ composition: Composition) {
    self.init(ruling: spec?.ruled ?? [], budget: budget, composition)
  }

  /// - Parameter ruled: the methods that the budget rules.
  init(ruling ruled: [any Compressor.Type], budget: Budget?, _ composition: Composition) {
    self.budget = ruled.isEmpty ? nil : budget
    counted = !ruled.isEmpty && ruled.allSatisfy { $0.counted == .entries } ? .entries : .tokens
    var rules: [String] = []
    if composition.methods.count > 1 {
      rules.append("joined methods keep their shares of what each receives")
    }
    rules += ruled.compactMap { $0.rounding }
    if composition.losesPadding { rules.append("of tiles that the tower has thinned, what lies in the padding is cut") }
    self.rules = rules
  }

  /// Refuses a number of tokens that no image has, where all have the same.
  public func check(of count: Int, method: String) throws(CompressionError) {
    guard counted == .tokens, case .tokens(let asked) = budget, asked > count else { return }
    throw .unreachable(
      method: method, asked: "\(asked) tokens", reachable: "at most the \(count) that the dense model has",
      fix: "Ask for fewer tokens.")
  }

  /// - Parameters:
  ///   - dense: what the dense model has of every image; of entries, of a layer.
  ///   - reached: what is left of all.
  public func outcome(of dense: [Double], reached: Double) -> BudgetOutcome {
    let all = dense.reduce(0, +)
    guard let budget else { return BudgetOutcome(counted, dense: all, reached: reached) }
    let asked = dense.reduce(0) { sum, count in
      guard counted == .entries, case .ratio(let ratio) = budget else {
        return sum + Double(budget.tokens(of: Int(count)))
      }
      return sum + ratio * count
    }
    let isMet = abs(asked - reached) < (counted == .entries ? 1 : 0.5)
    let reason: String? =
      isMet
      ? nil
      : asked > all && reached >= all
        ? "there are no more than \(Int(all.rounded()))"
        : rules.isEmpty ? "unexplained" : rules.joined(separator: "; ")
    return BudgetOutcome(counted, dense: all, asked: asked, reached: reached, reason: reason)
  }
}
