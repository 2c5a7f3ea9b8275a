import VTokLibC
import VTokTensor

/// Cross-entropy against a distribution over classes.
package struct SoftTargets: Sendable, Equatable {
  /// `[classes]`, sums to 1.
  package let shares: [Float]

  package init(_ shares: [Float]) { self.shares = shares }

  /// A label with smoothing: `1 - smoothing` on it, the rest spread evenly over all classes.
  package init(label: Int, classes: Int, smoothing: Float = 0) {
    var shares = [Float](repeating: smoothing / Float(classes), count: classes)
    shares[label] += 1 - smoothing
    self.shares = shares
  }

  /// What another network says, as probabilities.
  package init(logits: [Float]) { shares = softmax(logits) }

  /// `weight` of this and the rest of `other` (mixup).
  package func mixed(with other: SoftTargets, weight: Float) -> SoftTargets {
    SoftTargets(zip(shares, other.shares).map { weight * $0 + (1 - weight) * $1 })
  }

  /// `-sum of shares * log softmax(logits)`, and its gradient `softmax(logits) - shares`.
  package func crossEntropy(_ logits: [Float]) -> (loss: Double, gradient: [Float]) {
    let top = logits.max()!
    let sum = logits.reduce(0.0) { $0 + exp(Double($1 - top)) }
    let logSum = Double(top) + log(sum)
    let loss = zip(shares, logits).reduce(0.0) { $0 + Double($1.0) * (logSum - Double($1.1)) }
    let gradient = zip(shares, logits).map { Float(exp(Double($1) - logSum)) - $0 }
    return (loss, gradient)
  }
}

/// The price of multiply-adds: `lambda * (macs / unit - target)^2`.
package struct CostTerm: Sendable, Equatable {
  package let lambda: Double
  /// In units.
  package let target: Double
  /// Multiply-adds per unit: 1e9 in the official code.
  package let unit: Double

  package init(lambda: Double, target: Double, unit: Double) {
    self.lambda = lambda
    self.target = target
    self.unit = unit
  }

  package func callAsFunction(_ macs: Int) -> (loss: Double, slope: Double) {
    let excess = Double(macs) / unit - target
    return (lambda * excess * excess, lambda * 2 * excess / unit)
  }
}

/// dL/dM of every block, summed over images one by one, so that the sum is the same for any number of threads.
package struct MaskGradients: Sendable {
  package private(set) var prune: [[Double]?], merge: [[Double]?]
  package private(set) var images = 0

  package init(blocks: Int) {
    prune = [[Double]?](repeating: nil, count: blocks)
    merge = prune
  }

  package mutating func add(prune: [[Float]?], merge: [[Float]?]) {
    func add(_ new: [[Float]?], to sums: inout [[Double]?]) {
      for (index, values) in new.enumerated() {
        guard let values else { continue }
        guard let sum = sums[index] else {
          sums[index] = values.map { Double($0) }
          continue
        }
        sums[index] = zip(sum, values).map { $0 + Double($1) }
      }
    }
    add(prune, to: &self.prune)
    add(merge, to: &self.merge)
    images += 1
  }

  /// The mean over the images.
  var means: (prune: [[Double]?], merge: [[Double]?]) {
    func mean(_ sums: [[Double]?]) -> [[Double]?] { sums.map { $0.map { $0.map { $0 / Double(max(images, 1)) } } } }
    return (mean(prune), mean(merge))
  }
}

extension RatePlan {
  /// dL/dtheta of every block: of the mean loss over images, and of the cost term whose slope is `perMAC`.
  package func gradient(_ masks: MaskGradients?, cost: RateCost, perMAC: Double) -> (
    prune: [[Double]], merge: [[Double]]
  ) {
    let slopes = cost.macs(self).slopes.map { $0 * perMAC }
    let means = masks?.means
    return (
      prune.indices.map { prune[$0].gradient(mask: means?.prune[$0], count: slopes[$0]) },
      merge.indices.map { merge[$0].gradient(mask: means?.merge[$0], count: slopes[$0]) }
    )
  }
}

/// AdamW over all logits of a plan.
package struct RateOptimizer: Sendable, Equatable {
  package var prune: [AdamW], merge: [AdamW]

  package init(_ plan: RatePlan) {
    prune = plan.prune.map { AdamW(count: $0.theta.count) }
    merge = plan.merge.map { AdamW(count: $0.theta.count) }
  }

  package mutating func update(_ plan: inout RatePlan, _ gradient: (prune: [[Double]], merge: [[Double]]), rate: Double)
  {
    for index in prune.indices {
      prune[index].update(&plan.prune[index].theta, gradient: gradient.prune[index], rate: rate)
      merge[index].update(&plan.merge[index].theta, gradient: gradient.merge[index], rate: rate)
    }
  }
}
