import CVTokKernels

/// `y = x W^T + b` with W `[out, in]`.
public struct Linear: Sendable {
  public let weight: Weight
  public let bias: [Float]?

  public init(weight: Weight, bias: [Float]?) {
    precondition(bias == nil || bias!.count == weight.rows)
    self.weight = weight
    self.bias = bias
  }

  /// The same layer with products of this precision.
  public func at(_ precision: Precision, threads: Int = 1) -> Linear {
    Linear(weight: weight.at(precision, threads: threads), bias: bias)
  }

  /// x `[n, in]`, result `[n, out]`.
  public func callAsFunction(_ x: Tensor, threads: Int = 1) -> Tensor {
    precondition(x.width == weight.columns, "a linear layer of width \(weight.columns) got rows of \(x.width)")
    return Tensor(shape: Array(x.shape.dropLast()) + [weight.rows]) { out in
      weight.multiply(x.values, x.rows, x.width, into: out, weight.rows, threads: threads)
      if let bias { vtok_add_bias(out, x.rows, weight.rows, bias) }
    }
  }
}
