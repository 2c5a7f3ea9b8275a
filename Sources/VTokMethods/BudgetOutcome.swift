import VTokCore

/// Visual tokens (or cache entries, see `Counted`): of the dense model, asked for, and left.
public struct BudgetOutcome: Sendable, Equatable, CustomStringConvertible {
  public let counted: Counted
  public let dense: Double
  /// nil where the method has an amount of its own.
  public let asked: Double?
  public let reached: Double
  /// Why another number was reached than asked for.
  public let reason: String?

  public init(_ counted: Counted, dense: Double, asked: Double? = nil, reached: Double, reason: String? = nil) {
    self.counted = counted
    self.dense = dense
    self.asked = asked
    self.reached = reached
    self.reason = reason
  }

  /// `33 of 132 visual tokens asked, 34 left (why)`
  public var description: String {
    func text(_ number: Double) -> String {
      let rounded = (number * 10).rounded()
      return rounded.remainder(dividingBy: 10) == 0 ? "\(Int(rounded / 10))" : "\(rounded / 10)"
    }
    let left = "\(text(reached)) left" + (reason.map { " (\($0))" } ?? "")
    return asked.map { "\(text($0)) of \(text(dense)) \(counted.rawValue) asked, \(left)" }
      ?? "\(text(reached)) of \(text(dense)) \(counted.rawValue) left"
  }

  /// Share of the dense model's that is left.
  public var share: Double { reached / dense }

  /// Of several images together; the reason is the first that any has.
  public static func + (a: BudgetOutcome, b: BudgetOutcome) -> BudgetOutcome {
    let asked = a.asked.flatMap { first in b.asked.map { first + $0 } }
    return BudgetOutcome(
      a.counted, dense: a.dense + b.dense, asked: asked, reached: a.reached + b.reached, reason: a.reason ?? b.reason)
  }

  /// An image's part of several.
  public func divided(by count: Double) -> BudgetOutcome {
    BudgetOutcome(
      counted, dense: dense / count, asked: asked.map { $0 / count }, reached: reached / count, reason: reason)
  }
}
