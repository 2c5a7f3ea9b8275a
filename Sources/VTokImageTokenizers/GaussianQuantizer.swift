import VTokLibC

/// TokenBridge's post-training quantiser (arXiv 2503.16430, `YuqingWang1029/TokenBridge`): every number of a continuous
/// latent by itself becomes one of 2^bits levels that are equally likely under a normal distribution. Nothing is learned.
public struct GaussianQuantizer: Sendable {
  public let bits: Int
  /// What the levels span; values outside are clipped.
  public let range: ClosedRange<Float>
  /// The levels, in standard deviations: the mean of the normal distribution within each of 2^bits equally likely cells,
  /// the outer two of which are cut at `deviations`. (With more than 9 bits outer cells lie beyond 3 deviations and are
  /// empty: the official code gives them the level 0.)
  public let levels: [Float]
  private let deviations: Float

  /// - Parameters:
  ///   - bits: 1 to 16; the paper takes 6.
  ///   - deviations: standard deviations at the ends of the range.
  public init(bits: Int = 6, range: ClosedRange<Float> = -5...5, deviations: Double = 3) {
    precondition((1...16).contains(bits) && range.lowerBound < range.upperBound && deviations > 0)
    self.bits = bits
    self.range = range
    self.deviations = Float(deviations)
    let count = 1 << bits
    func below(_ x: Double) -> Double { erfc(-x / 2.0.squareRoot()) / 2 }
    func density(_ x: Double) -> Double { exp(-x * x / 2) / (2 * Double.pi).squareRoot() }
    let edges = (0...count).map { edge in
      // The quantile by bisection; beyond the ends it is clipped to them anyway.
      var (low, high) = (-deviations, deviations)
      for _ in 0..<64 {
        let middle = (low + high) / 2
        if below(middle) < Double(edge) / Double(count) { low = middle } else { high = middle }
      }
      return edge == 0 ? -deviations : edge == count ? deviations : (low + high) / 2
    }
    levels = (0..<count).map { cell in
      let mass = below(edges[cell + 1]) - below(edges[cell])
      return Float((density(edges[cell]) - density(edges[cell + 1])) / (mass == 0 ? 1e-10 : mass))
    }
  }

  /// The level nearest to each value: nearest level, not the cell it lies in. Of two at equal distance the first.
  public func callAsFunction(_ values: [Float]) -> [Int] {
    let span = range.upperBound - range.lowerBound
    return values.map { value in
      let position = (value - range.lowerBound) / span * (2 * deviations) - deviations
      let clipped = min(max(position, -deviations), deviations)
      var best = (index: 0, distance: Float.infinity)
      for (index, level) in levels.enumerated() where abs(clipped - level) < best.distance {
        best = (index, abs(clipped - level))
      }
      return best.index
    }
  }

  /// The value of every level.
  public var table: [Float] {
    levels.map { ($0 + deviations) / (2 * deviations) * (range.upperBound - range.lowerBound) + range.lowerBound }
  }

  /// The values of levels.
  /// - Precondition: indices are in `0..<1 << bits`.
  public func values(_ indices: [Int]) -> [Float] {
    let table = table
    return indices.map { table[$0] }
  }
}
