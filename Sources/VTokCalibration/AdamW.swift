import VTokLibC

/// AdamW (Loshchilov & Hutter, arXiv 1711.05101) on one list of numbers, in the order of operations of PyTorch: decay,
/// moments, bias correction, step.
package struct AdamW: Sendable, Equatable {
  package var beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0.0
  package private(set) var step: Int
  /// Running means of the gradient and of its square.
  package private(set) var mean: [Double], square: [Double]

  package init(count: Int) {
    self.init(step: 0, mean: [Double](repeating: 0, count: count), square: [Double](repeating: 0, count: count))
  }

  package init(step: Int, mean: [Double], square: [Double]) {
    precondition(mean.count == square.count)
    self.step = step
    self.mean = mean
    self.square = square
  }

  package mutating func update(_ values: inout [Double], gradient: [Double], rate: Double) {
    precondition(values.count == mean.count && gradient.count == mean.count)
    step += 1
    let correction1 = 1 - power(beta1, step)
    let correction2 = 1 - power(beta2, step)
    for index in values.indices {
      let g = gradient[index]
      values[index] *= 1 - rate * weightDecay
      mean[index] = beta1 * mean[index] + (1 - beta1) * g
      square[index] = beta2 * square[index] + (1 - beta2) * g * g
      let divisor = (square[index] / correction2).squareRoot() + epsilon
      values[index] -= rate * mean[index] / correction1 / divisor
    }
  }

  private func power(_ base: Double, _ exponent: Int) -> Double {
    var result = 1.0
    for _ in 0..<exponent { result *= base }
    return result
  }
}

/// Learning rate that falls along half a cosine from `first` to `last`. (The official code steps once per epoch; here once per
/// step, since a calibration may be shorter than an epoch of ImageNet.)
package struct CosineRate: Sendable, Equatable {
  package let first: Double, last: Double, steps: Int
  package init(first: Double, last: Double, steps: Int) {
    self.first = first
    self.last = last
    self.steps = steps
  }

  package func callAsFunction(_ step: Int) -> Double {
    last + (first - last) * 0.5 * (1 + cos(.pi * Double(step) / Double(max(steps, 1))))
  }
}
