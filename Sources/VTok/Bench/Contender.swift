import VTokCore
import VTokEval
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

  /// With what was reached: tokens in and out, and the share of the dense multiply-adds.
  func json(tokensIn: Double, tokensOut: Double, share: Double) -> JSON {
    switch self {
    case .nothing: ["kind": "dense"]
    case .own: ["kind": "method", "asked": .null, "reached": number(tokensOut / tokensIn)]
    case .budget(.ratio(let ratio)):
      ["kind": "keep-ratio", "asked": JSON(ratio), "reached": number(tokensOut / tokensIn)]
    case .budget(.tokens(let tokens)): ["kind": "keep-tokens", "asked": JSON(tokens), "reached": number(tokensOut)]
    case .macShare(let asked): ["kind": "mac-ratio", "asked": JSON(asked), "reached": number(share)]
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
