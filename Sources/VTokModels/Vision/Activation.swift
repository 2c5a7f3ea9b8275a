import CVTokKernels
import VTokTensor

/// Elementwise function of an MLP.
public enum Activation: Sendable, Equatable {
  /// `0.5 x (1 + erf(x / √2))`
  case gelu
  /// `0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))`
  case geluTanh
  /// `x sigmoid(1.702 x)`
  case quickGELU
  case silu

  package var kernel: vtok_activation {
    switch self {
    case .gelu: VTOK_GELU
    case .geluTanh: VTOK_GELU_TANH
    case .quickGELU: VTOK_QUICK_GELU
    case .silu: VTOK_SILU
    }
  }

  /// By the names of `hidden_act` in Hugging Face configs.
  init?(huggingFace name: String) {
    switch name {
    case "gelu": self = .gelu
    case "gelu_pytorch_tanh", "gelu_new": self = .geluTanh
    case "quick_gelu": self = .quickGELU
    case "silu", "swish": self = .silu
    default: return nil
    }
  }
}

extension Tensor {
  /// Applies `activation` in place.
  package mutating func activate(_ activation: Activation) {
    vtok_bias_activation(&values, rows, width, nil, activation.kernel)
  }
}
