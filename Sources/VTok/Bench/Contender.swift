import VTokCore
import VTokEval
import VTokMethods
import VTokWeights

/// One row of a table: a method with a budget, run by a subject that has both. `random` comes with several seeds,
/// everything else with one.
public struct Contender<Subject: Sendable>: Sendable {
  public let method: String
  public let asked: Asked
  public let subject: Subject
  public let seeds: [UInt64]

  public init(method: String, asked: Asked, subject: Subject, seeds: [UInt64] = [0]) {
    (self.method, self.asked, self.subject, self.seeds) = (method, asked, subject, seeds)
  }

  /// With its number of seeds, as tables name it.
  var label: String { method + (seeds.count > 1 ? " x\(seeds.count)" : "") }
}

/// What was asked for: nothing (dense), the method's own amount, a budget, or a share of the dense multiply-adds.
public enum Asked: Sendable, Equatable {
  case nothing
  case own
  case budget(Budget)
  case macShare(Double)

  /// As tables say it.
  public var label: String {
    switch self {
    case .nothing: "-"
    case .own: "own"
    case .budget(.ratio(let ratio)): "\(fixed(100 * ratio, 100 * ratio == (100 * ratio).rounded() ? 0 : 2))% tokens"
    case .budget(.tokens(let tokens)): "\(tokens) tokens"
    case .macShare(let share): "\(fixed(100 * share, 0))% MACs"
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
    case .macShare(let asked):
      members = [("kind", "mac-ratio"), ("asked", JSON(asked)), ("reached", number(macShare ?? .nan))]
    }
    guard case .budget = self, let asked = outcome.asked else { return .object(JSONObject(members)) }
    members += [
      ("counted", JSON(outcome.counted.rawValue)), ("dense_count", count(outcome.dense)), ("asked_count", count(asked)),
      ("reached_count", count(outcome.reached)), ("reason", outcome.reason.map { JSON($0) } ?? .null),
    ]
    return .object(JSONObject(members))
  }

  /// Whole where it is.
  private func count(_ value: Double) -> JSON { Int(exactly: value).map { JSON($0) } ?? number(value) }

  /// What was reached, as tables say it.
  public func reached(_ outcome: BudgetOutcome) -> String {
    switch self {
    case .nothing: "-"
    case .budget(.tokens): fixed(outcome.reached, outcome.reached == outcome.reached.rounded() ? 0 : 1)
    case .own, .budget, .macShare: fixed(100 * outcome.share, 1) + "%"
    }
  }
}

/// A number, or its range over seeds.
public struct Ranged: Sendable {
  public let values: [Double]
  public let mean: Double

  /// - Parameter mean: where it is not that of the values.
  init(values: [Double], mean: Double? = nil) {
    self.values = values
    self.mean = mean ?? (values.isEmpty ? .nan : values.reduce(0, +) / Double(values.count))
  }

  var json: JSON {
    values.count <= 1
      ? number(mean)
      : [
        "mean": number(mean), "min": number(values.min() ?? .nan), "max": number(values.max() ?? .nan),
        "n": JSON(values.count),
      ]
  }

  /// In percent, with the range behind it.
  var percent: String {
    let range = values.count <= 1 ? "" : " (\(fixed(100 * values.min()!, 1))-\(fixed(100 * values.max()!, 1)))"
    return fixed(100 * mean, 2) + "%" + range
  }
}

/// Six decimals; null for what is no number.
func number(_ value: Double) -> JSON { value.isFinite ? rounded(value, 6) : .null }
