import VTokWeights

/// A number, or its range over seeds.
public struct Ranged: Sendable {
  public let values: [Double]
  public let mean: Double

  /// - Parameter mean: where it is not that of the values.
  public init(values: [Double], mean: Double? = nil) {
    self.values = values
    self.mean = mean ?? (values.isEmpty ? .nan : values.reduce(0, +) / Double(values.count))
  }

  public var json: JSON {
    values.count <= 1
      ? number(mean)
      : [
        "mean": number(mean), "min": number(values.min() ?? .nan), "max": number(values.max() ?? .nan),
        "n": JSON(values.count),
      ]
  }

  /// In percent, with the range behind it.
  public var percent: String {
    let range = values.count <= 1 ? "" : " (\(fixed(100 * values.min()!, 1))-\(fixed(100 * values.max()!, 1)))"
    return fixed(100 * mean, 2) + "%" + range
  }
}
