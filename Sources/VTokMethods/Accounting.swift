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
    let ruled = spec?.ruled ?? []
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
      fix: "Ask for fewer --keep-tokens.")
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
    (self.counted, self.dense, self.asked, self.reached, self.reason) = (counted, dense, asked, reached, reason)
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

extension Methods {
  /// A job's methods on a model. A refusal that another method need not meet names one.
  /// - Parameter isServed: what else must hold of the method named instead.
  /// - Throws: `MethodError`, `CompressionError`.
  public static func compose(
    _ spec: MethodSpec?, budget: Budget?, for shape: Shape,
    read: @escaping @Sendable (String) throws -> OptionFile = { _ in OptionFile() },
    where isServed: (Composition) throws(CompressionError) -> Void = { _ in }
  ) throws -> Composition {
    guard let spec else { return .dense(shape) }
    do {
      let composition = try Composition(spec.make(budget: budget, read: read), for: shape)
      try isServed(composition)
      return composition
    } catch CompressionError.unsupported(let method, let found, let expected, CompressionError.anotherMethod) {
      let others = serving(shape, where: isServed).filter { $0 != method }
      let alike = others.first { (try? named($0).counted) == (try? named(method).counted) }
      throw CompressionError.unsupported(
        method: method, found: found, expected: expected,
        fix: (alike ?? others.first).map { "Use \($0) with this model." } ?? "Choose another model.")
    }
  }

  /// Names of the methods that serve a model as they are, without files of their own, in the order of the list.
  static func serving(
    _ shape: Shape, where isServed: (Composition) throws(CompressionError) -> Void = { _ in }
  ) -> [String] {
    names.filter { name in
      guard let made = try? MethodSpec(name).make(budget: .ratio(0.5)),
        let composition = try? Composition(made, for: shape)
      else { return false }
      return (try? isServed(composition)) != nil
    }
  }
}
