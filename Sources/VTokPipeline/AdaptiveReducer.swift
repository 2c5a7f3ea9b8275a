import VTokCore
import VTokEval
import VTokImage

/// A model with a method that keeps more of pictures with more to see, under a mean of all (`MeanBudget`).
public struct AdaptiveReducer: ImageReducer {
  private let budget: MeanBudget
  /// The same with the mean for every picture.
  private let usual: any ImageReducer
  private let make: @Sendable (Budget) throws -> any ImageReducer

  public var name: String { usual.name }
  public var method: String { usual.method }
  public var labels: [String]? { usual.labels }

  /// - Parameter make: the model with the method and a budget; called for every picture.
  public init(_ budget: MeanBudget, make: @escaping @Sendable (Budget) throws -> any ImageReducer) rethrows {
    self.budget = budget
    self.make = make
    usual = try make(.ratio(budget.mean))
  }

  public func reduce(_ image: Image, seed: UInt64) throws -> (result: PrunedImage, preprocess: Double) {
    try make(budget.budget(for: image)).reduce(image, seed: seed)
  }

  public func denseTime(_ image: Image) throws -> Double { try usual.denseTime(image) }
}
