import CVTokKernels

/// LayerNorm over the last axis: `(x - mean) / sqrt(variance + epsilon) * weight + bias`, population variance.
public struct LayerNorm: Sendable {
  public let weight: [Float], bias: [Float]
  public let epsilon: Float

  public init(weight: [Float], bias: [Float], epsilon: Float) {
    precondition(weight.count == bias.count)
    self.weight = weight
    self.bias = bias
    self.epsilon = epsilon
  }

  public func callAsFunction(_ x: Tensor) -> Tensor {
    Tensor(shape: x.shape) { out in
      vtok_layer_norm(x.values, x.rows, x.width, weight, bias, epsilon, out)
    }
  }
}
