import VTokTensor

/// A class with what a classifier gives it.
public struct ClassShare: Sendable, Equatable {
  public let index: Int
  /// nil: the model has no names.
  public let label: String?
  /// 0 to 1; those of all classes sum to 1.
  public let probability: Float
  /// The label, or the number.
  public var name: String { label ?? "\(index)" }
}

extension PrunedImage {
  /// The likeliest classes, best first; none without a classifier.
  /// - Parameters:
  ///   - most: so many at most.
  ///   - labels: names of the model's classes.
  public func classes(_ most: Int, labels: [String]?) -> [ClassShare] {
    guard let logits else { return [] }
    let shares = softmax(logits)
    return topK(shares, min(most, shares.count)).map { index in
      ClassShare(
        index: index, label: labels.flatMap { index < $0.count ? $0[index] : nil }, probability: shares[index])
    }
  }
}
