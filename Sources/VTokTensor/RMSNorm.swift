import CVTokKernels

/// RMSNorm over the last axis: `x / sqrt(mean(x²) + epsilon) * weight`.
public struct RMSNorm: Sendable {
  public let weight: [Float]
  public let epsilon: Float

  public init(weight: [Float], epsilon: Float) {
    self.weight = weight
    self.epsilon = epsilon
  }

  public func callAsFunction(_ x: Tensor) -> Tensor {
    Tensor(shape: x.shape) { vtok_rms_norm(x.values, x.rows, x.width, weight, epsilon, $0) }
  }
}
