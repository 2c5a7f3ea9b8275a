import VTokLibC
import VTokTensor

/// The learnable choice of one count: a distribution over candidates, whose mean is how many tokens stay.
///
/// Chen et al., "DiffRate: Differentiable Compression Rate for Efficient Vision Transformers", ICCV 2023
/// (arXiv 2305.17997); OpenGVLab/DiffRate, `DiffRate/ddp.py`.
package struct RateLogits: Sendable, Equatable {
  /// Numbers of patch tokens to choose from, falling: all, all - granularity, ... down to the last above 0.
  package let candidates: [Int]
  /// One logit per candidate; 0 at first, which makes all equally likely.
  package var theta: [Double]

  /// - Parameter granularity: distance of two candidates; nil leaves one, so that the count is fixed at all patches.
  package init(patches: Int, granularity: Int?) {
    candidates = granularity.map { Array(stride(from: patches, to: 0, by: -$0)) } ?? [patches]
    theta = [Double](repeating: 0, count: candidates.count)
  }

  package init(candidates: [Int], theta: [Double]) {
    precondition(candidates.count == theta.count && !candidates.isEmpty)
    self.candidates = candidates
    self.theta = theta
  }

  /// Whether there is anything to learn.
  package var isFree: Bool { candidates.count > 1 }

  /// softmax(theta): how likely each candidate is.
  package var policy: [Double] {
    let top = theta.max()!
    let weights = theta.map { exp($0 - top) }
    let sum = weights.reduce(0, +)
    return weights.map { $0 / sum }
  }

  /// Tokens that stay, the class token included: the mean candidate, rounded up, and one.
  ///
  /// Rounded to float32 before it is rounded up, as the official code computes in float32: a mean of exactly 100 must not
  /// become 101 by the last bit of a double.
  package var count: Int {
    let mean = zip(candidates, policy).reduce(0) { $0 + Double($1.0) * $1.1 }
    return Int(Float(mean).rounded(.up)) + 1
  }

  /// dL/dtheta.
  /// - Parameters:
  ///   - mask: `[tokens]` dL/dM summed over the images, by position after sorting (0 is the class token); nil where the mask
  ///     was not applied. M_i has the gradient of `sum of policy[k] over candidates[k] + 1 > i`, the chance that i stays.
  ///   - count: dL/dcount. Rounding up passes it on unchanged.
  package func gradient(mask: [Double]?, count: Double) -> [Double] {
    let policy = policy
    var below = [0.0]  // below[i] = sum of mask[..<i]
    if let mask { for value in mask { below.append(below[below.count - 1] + value) } }
    let slopes = candidates.map { Double($0) * count + (mask == nil ? 0 : below[min($0 + 1, below.count - 1)]) }
    let mean = zip(policy, slopes).reduce(0) { $0 + $1.0 * $1.1 }
    return zip(policy, slopes).map { $0 * ($1 - mean) }
  }
}
