import VTokCore
import VTokMethods
import VTokWeights

/// What was asked for: nothing (dense), the method's own amount, a budget, a share of the dense multiply-adds, or a mean share
/// of the visual tokens with amounts that differ between pictures.
public enum Asked: Sendable, Equatable {
  case nothing
  case own
  case budget(Budget)
  case macShare(Double)
  case mean(Double)

  /// As tables say it.
  public var label: String {
    switch self {
    case .nothing: "-"
    case .own: "own"
    case .budget(.ratio(let ratio)): "\(fixed(100 * ratio, 100 * ratio == (100 * ratio).rounded() ? 0 : 2))% tokens"
    case .budget(.tokens(let tokens)): "\(tokens) tokens"
    case .macShare(let share): "\(fixed(100 * share, 0))% MACs"
    case .mean(let share): "\(fixed(100 * share, 100 * share == (100 * share).rounded() ? 0 : 2))% on average"
    }
  }

  /// What rows say of it: kind, asked and reached in its own unit, tokens (or cache entries) of the dense model, asked for
  /// and left, and why these two differ.
  /// - Parameter macShare: of the dense multiply-adds, where a share of them was asked for.
  public func json(_ outcome: BudgetOutcome, macShare: Double? = nil) -> JSON {
    var members: [(String, JSON)]
    switch self {
    case .nothing: return ["kind": "dense"]
    case .own: members = [("kind", "method"), ("asked", .null), ("reached", number(outcome.share))]
    case .budget(.ratio(let ratio)):
      members = [("kind", "keep-ratio"), ("asked", JSON(ratio)), ("reached", number(outcome.share))]
    case .budget(.tokens(let tokens)):
      members = [("kind", "keep-tokens"), ("asked", JSON(tokens)), ("reached", count(outcome.reached))]
    case .mean(let asked):
      members = [("kind", "keep-mean"), ("asked", JSON(asked)), ("reached", number(outcome.share))]
    case .macShare(let asked):
      members = [("kind", "mac-ratio"), ("asked", JSON(asked)), ("reached", number(macShare ?? .nan))]
    }
    guard countsTokens, let asked = outcome.asked else { return .object(JSONObject(members)) }
    members += [
      ("counted", JSON(outcome.counted.rawValue)), ("dense_count", count(outcome.dense)), ("asked_count", count(asked)),
      ("reached_count", count(outcome.reached)), ("reason", outcome.reason.map { JSON($0) } ?? .null),
    ]
    return .object(JSONObject(members))
  }

  private var countsTokens: Bool {
    switch self {
    case .budget, .mean: true
    case .nothing, .own, .macShare: false
    }
  }

  /// Whole where it is.
  private func count(_ value: Double) -> JSON { Int(exactly: value).map { JSON($0) } ?? number(value) }

  /// What was reached, as tables say it.
  public func reached(_ outcome: BudgetOutcome) -> String {
    switch self {
    case .nothing: "-"
    case .budget(.tokens): fixed(outcome.reached, outcome.reached == outcome.reached.rounded() ? 0 : 1)
    case .own, .budget, .macShare, .mean: fixed(100 * outcome.share, 1) + "%"
    }
  }
}
