import VTokCore
import VTokEval
import VTokMethods
import VTokPipeline

/// One way to reduce a model's tokens at a cost: methods, where they cut, what they keep, and the model's precision.
public struct Candidate<Subject: MethodRunner>: Sendable {
  public let spec: MethodSpec
  /// Share of the cost asked for that it was solved for.
  public let level: Double
  public let budget: Budget
  /// What that costs by the solver, in the target's unit.
  public let reached: Double
  public let subject: Subject
  /// Whether it is one method as it is: with its own stages, alone.
  public let isSingle: Bool

  public init(
    _ spec: MethodSpec, level: Double, budget: Budget, reached: Double, subject: Subject, isSingle: Bool
  ) {
    self.spec = spec
    self.level = level
    self.budget = budget
    self.reached = reached
    self.subject = subject
    self.isSingle = isSingle
  }
}

/// What a search looks at: methods, each also with its cut at other places, and pairs of those that did best.
public struct SearchSpace: Sendable {
  public struct Entry: Sendable, Equatable {
    public let spec: MethodSpec, isSingle: Bool
  }
  private let methods: [MethodSpec]
  private let shape: Shape

  /// - Parameter methods: none: all of this library that take a budget.
  /// - Throws: `MethodError` for a method with an amount of its own.
  public init(_ methods: [MethodSpec], for shape: Shape) throws {
    for spec in methods { _ = try spec.make(budget: .ratio(0.5), read: OptionFile.read) }
    self.methods =
      methods.isEmpty ? Methods.names.map { MethodSpec(named: $0) }.filter(\.usesJobBudget) : methods
    self.shape = shape
  }

  /// Methods as they are, then with their only cut at a sixth, a third and half of the depth.
  public var first: [Entry] {
    methods.flatMap { spec in
      [Entry(spec: spec, isSingle: spec.parts.count == 1)]
        + places.compactMap { place in
          (shape.decoder == nil ? spec.cutting(atBlock: place) : spec.cutting(atLayer: place))
            .map { Entry(spec: $0, isSingle: false) }
        }
    }
  }

  private var places: [Int] {
    let depth = shape.decoder?.layers ?? shape.tower?.blocks ?? 0
    let least = shape.decoder == nil ? 0 : 1
    return Set([6, 3, 2].map { max(least, depth / $0 - (shape.decoder == nil ? 1 : 0)) }).filter { $0 < depth }.sorted()
  }

  /// Two in a row: the first of them, or a smaller picture, keeps three quarters or half, the second is solved for the cost.
  /// - Parameter best: those that did best so far, the best one first.
  public func pairs(of best: [MethodSpec]) -> [Entry] {
    let alone = best.filter { $0.parts.count == 1 && $0.usesJobBudget }
    let smaller = methods.first { $0.names == Downsample.name }
    let leading =
      alone + (smaller.map { [$0] } ?? []).filter { smaller in !alone.contains { $0.names == smaller.names } }
    return leading.flatMap { leader in
      alone.filter { $0.names != leader.names && $0.names != Downsample.name }.flatMap { second in
        [0.75, 0.5].compactMap { share in
          let keep = "\(leader.description)\(leader.parts[0].options.isEmpty ? ":" : ",")keep=\(share)"
          return (try? MethodSpec("\(keep)+\(second.description)")).map { Entry(spec: $0, isSingle: false) }
        }
      }
    }
  }
}
