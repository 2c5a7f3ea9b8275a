import VTokTensor

/// The norm before a half of a block.
package enum Norm: Sendable {
  case layer(LayerNorm)
  case rms(RMSNorm)

  /// `[width]`; `bias` is empty without one.
  package var weight: [Float] {
    switch self {
    case .layer(let norm): norm.weight
    case .rms(let norm): norm.weight
    }
  }
  package var bias: [Float] { if case .layer(let norm) = self { norm.bias } else { [] } }
  package var epsilon: Float {
    switch self {
    case .layer(let norm): norm.epsilon
    case .rms(let norm): norm.epsilon
    }
  }

  func callAsFunction(_ x: Tensor) -> Tensor {
    Tensor(shape: x.shape) { normalise(self, x.values, x.rows, into: $0) }
  }
}
