import VTokCore
import VTokMethods
import VTokModels

/// What a run may cost, in place of how many tokens it keeps.
public enum Target: Sendable, Equatable, CustomStringConvertible {
  /// Multiply-adds per image of a tower, or up to the first new token of a vision-language model, in 10⁹, selection
  /// excluded, as tables print them.
  case gmacs(Double)
  /// Mean number of tokens entering a block, prefix rows included; of image tokens entering a language layer.
  case meanTokens(Double)
  /// Tower and selection of one image on one thread.
  case milliseconds(Double)

  public var value: Double {
    switch self {
    case .gmacs(let value), .meanTokens(let value), .milliseconds(let value): value
    }
  }
  public var unit: String {
    switch self {
    case .gmacs: "GMACs"
    case .meanTokens: "tokens per block"
    case .milliseconds: "ms"
    }
  }
  public var description: String { "\(text(value)) \(unit)" }

  /// A number in the target's usual precision.
  public func text(_ value: Double) -> String {
    switch self {
    case .gmacs: fixed(value, 3)
    case .meanTokens: fixed(value, 1)
    case .milliseconds: fixed(value, 2)
    }
  }
}

/// Finds the number of tokens to keep that makes a method cost what was asked.
///
/// A budget is one number whatever the method makes of it (one cut, or a schedule over all blocks), and the cost rises
/// with it: so the largest number that does not exceed the target is found by bisection.
public enum TargetSolver {
  public struct Solution: Sendable, Equatable {
    public let budget: Budget
    /// What that budget costs, in the target's unit; at most the target.
    public let reached: Double
    public init(budget: Budget, reached: Double) {
      self.budget = budget
      self.reached = reached
    }
  }

  /// Solved on the cost ledger of rehearsals, without weights: not for a time.
  /// - Parameter nearest: below what the method can reach, its cheapest budget is the answer, not an error.
  /// - Throws: `MethodError`, `CompressionError`.
  public static func solve(
    _ target: Target, _ spec: MethodSpec, on shape: Shape, nearest: Bool = false,
    read: @escaping @Sendable (String) throws -> OptionFile = OptionFile.read
  ) throws -> Solution {
    try solve(target, title: spec.description, on: shape, nearest: nearest) { try spec.make(budget: $0, read: read) }
  }

  /// The same for methods that are values.
  /// - Parameters:
  ///   - title: of the methods, for messages.
  ///   - make: the methods with a budget.
  public static func solve(
    _ target: Target, title: String, on shape: Shape, nearest: Bool = false,
    make: (Budget) throws -> [any Compressor]
  ) throws -> Solution {
    try refuseTime(target, title)
    return try solve(target, title: title, patches: shape.tower?.patches ?? 0, nearest: nearest) { budget in
      let cost = try Rehearsal.cost(make(budget), on: shape)
      if case .meanTokens = target { return cost.meanTokens }
      return cost.gmacs
    }
  }

  /// The same for a prompt to a vision-language model: what it costs up to the first new token, or the image tokens that
  /// enter a language layer on average.
  public static func solve(
    _ target: Target, _ spec: MethodSpec, of model: ModelOutline, prompt: Rehearsal.Prompt,
    read: @escaping @Sendable (String) throws -> OptionFile = OptionFile.read
  ) throws -> Solution {
    try solve(target, title: spec.description, of: model, prompt: prompt) { try spec.make(budget: $0, read: read) }
  }

  /// The same for methods that are values.
  public static func solve(
    _ target: Target, title: String, of model: ModelOutline, prompt: Rehearsal.Prompt,
    make: (Budget) throws -> [any Compressor]
  ) throws -> Solution {
    try refuseTime(target, title)
    var prefill = prompt
    prefill.newTokens = 1
    let dense = try Rehearsal.trace([], of: model, prompt: prefill)
    let tokens = CostTable(dense, dense: dense, shape: model.shape).tokensIn
    return try solve(target, title: title, patches: tokens) { budget in
      let trace = try Rehearsal.trace(make(budget), of: model, prompt: prefill)
      let table = CostTable(trace, dense: dense, shape: model.shape)
      if case .meanTokens = target { return table.meanTokens }
      return table.cost.gmacs
    }
  }

  /// A ledger knows multiply-adds and tokens; a time is measured.
  private static func refuseTime(_ target: Target, _ title: String) throws(CompressionError) {
    guard case .milliseconds = target else { return }
    throw .unreachable(
      method: title, asked: target.description, reachable: "multiply-adds or tokens, for no time is measured here",
      fix: "Ask for one of these.")
  }

  /// Solved on any measure that rises with the number of tokens kept.
  /// - Parameters:
  ///   - title: of the methods, for messages.
  ///   - patches: tokens of the dense model.
  ///   - cost: of a budget, in the target's unit. A `CompressionError.unreachable` says that a budget is too small.
  public static func solve(
    _ target: Target, title: String, patches: Int, nearest: Bool = false, cost: (Budget) throws -> Double
  ) throws -> Solution {
    func measured(_ tokens: Int) throws -> Double? {
      do { return try cost(.tokens(tokens)) } catch CompressionError.unreachable { return nil }
    }
    var known: [Int: Double] = [:]
    // The smallest number of tokens the method can leave: feasibility rises with the number too.
    var (low, high) = (0, patches)
    while high - low > 1 {
      let middle = (low + high) / 2
      if let value = try measured(middle) {
        (high, known[middle]) = (middle, value)
        if middle == 1 { break }
      } else {
        low = middle
      }
    }
    let smallest = high
    let least = try known[smallest] ?? cost(.tokens(smallest))
    let most = try cost(.tokens(patches))
    if nearest, target.value < least { return Solution(budget: .tokens(smallest), reached: least) }
    guard target.value >= least, target.value <= most else {
      throw CompressionError.unreachable(
        method: title, asked: target.description,
        reachable: "\(target.text(least)) to \(target.text(most)) \(target.unit)",
        fix: least == most
          ? "This method saves nothing of that kind: choose one that acts inside the tower, or earlier."
          : "Ask for a value in that range.")
    }
    if target.value == most { return Solution(budget: .tokens(patches), reached: most) }
    var best = (tokens: smallest, cost: least)
    (low, high) = (smallest, patches)
    while high - low > 1 {
      let middle = (low + high) / 2
      let value = try known[middle] ?? cost(.tokens(middle))
      if value <= target.value {
        (low, best) = (middle, (middle, value))
      } else {
        high = middle
      }
    }
    return Solution(budget: .tokens(best.tokens), reached: best.cost)
  }
}
