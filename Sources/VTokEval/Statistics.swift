import Foundation
import VTokTensor

/// What can be said about two models that saw the same images.
public enum Statistics {
  /// 95% interval of `sum(a) / sum(b)` over images, by paired bootstrap (percentile method).
  /// - Parameters:
  ///   - a: score of every image with the method; b: the same image with the dense model.
  public static func ratioInterval(_ a: [Double], _ b: [Double], resamples: Int = 2000, seed: UInt64 = 0) -> (
    low: Double, high: Double
  ) {
    precondition(a.count == b.count && !a.isEmpty)
    var generator = SeededGenerator(seed: seed)
    var ratios: [Double] = []
    ratios.reserveCapacity(resamples)
    let count = UInt64(a.count)
    for _ in 0..<resamples {
      var (top, bottom) = (0.0, 0.0)
      for _ in a.indices {
        let index = Int(((generator.next() >> 32) &* count) >> 32)
        top += a[index]
        bottom += b[index]
      }
      if bottom > 0 { ratios.append(top / bottom) }
    }
    guard !ratios.isEmpty else { return (.nan, .nan) }
    ratios.sort()
    return (ratios[Int(0.025 * Double(ratios.count - 1))], ratios[Int((0.975 * Double(ratios.count - 1)).rounded(.up))])
  }

  /// Exact two-sided McNemar test: the probability that chance alone splits the images on which two models differ as
  /// unevenly as this. 1 when they never differ.
  public static func mcNemar(_ a: [Bool], _ b: [Bool]) -> Double {
    precondition(a.count == b.count)
    return mcNemar(onlyA: zip(a, b).count { $0 && !$1 }, onlyB: zip(a, b).count { $1 && !$0 })
  }

  /// The same, of the numbers of images that only one of the two has right.
  public static func mcNemar(onlyA: Int, onlyB: Int) -> Double {
    let n = onlyA + onlyB
    if n == 0 { return 1 }
    // Binomial(n, 1/2) up to the smaller count, from its largest term downwards so that nothing under- or overflows.
    var logTerm = -Double(n) * 0.693147180559945309
    var sum = 0.0
    for k in 0...min(onlyA, onlyB) {
      if k > 0 { logTerm += log(Double(n - k + 1)) - log(Double(k)) }
      sum += exp(logTerm)
    }
    return min(1, 2 * sum)
  }

  /// Kullback-Leibler divergence of the distribution of `logits` from that of `reference`, in nats.
  public static func divergence(of logits: [Float], from reference: [Float]) -> Double {
    func logShares(_ values: [Float]) -> [Double] {
      let top = Double(values.max() ?? 0)
      let sum = values.reduce(0) { $0 + exp(Double($1) - top) }
      return values.map { Double($0) - top - log(sum) }
    }
    let (p, q) = (logShares(reference), logShares(logits))
    return max(0, zip(p, q).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) })
  }

  /// Cosine of the angle between two vectors; 0 when one of them is zero.
  public static func cosine(_ a: [Float], _ b: [Float]) -> Double {
    var (dot, aa, bb) = (0.0, 0.0, 0.0)
    for (x, y) in zip(a, b) {
      dot += Double(x) * Double(y)
      aa += Double(x) * Double(x)
      bb += Double(y) * Double(y)
    }
    return aa > 0 && bb > 0 ? dot / (aa * bb).squareRoot() : 0
  }
}
