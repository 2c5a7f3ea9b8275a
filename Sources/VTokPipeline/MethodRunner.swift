import VTokCore
import VTokEval
import VTokMethods
import VTokTensor

/// A model with the methods that reduce its tokens: what benches compare.
public protocol MethodRunner: Sendable {
  var methods: ComposedMethods { get }
  /// Of the model's products.
  var precision: Precision { get }
}

extension MethodRunner {
  public var composition: Composition { methods.composition }
  /// As typed (`tome:r=13`), or the title of methods that are values; `dense` without any.
  public var method: String { methods.title }
  /// Of the job, as given.
  public var budget: Budget? { methods.budget }

  /// What was asked for: a budget that rules the methods, an amount of their own, or nothing.
  public var asked: Asked {
    if let budget = methods.accounting.budget { return .budget(budget) }
    return composition.methods.isEmpty ? .nothing : .own
  }
}
