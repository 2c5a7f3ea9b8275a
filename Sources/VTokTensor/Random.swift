import VTokLibC

/// A small seeded generator (SplitMix64): the same numbers for a seed on every machine.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
  private var state: UInt64

  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// A well mixed number that depends on both.
  static func mixed(_ seed: UInt64, _ number: UInt64) -> UInt64 {
    var generator = SeededGenerator(seed: seed &* 0xd134_2543_de82_ef95 &+ number)
    return generator.next()
  }

  /// Uniform in 0..<1.
  public mutating func uniform() -> Float { Float(next() >> 40) * 0x1p-24 }

  /// Mean 0, variance 1 (Box and Muller's method would need libm; the sum of twelve uniforms does for test noise).
  public mutating func normal() -> Float { (0..<12).reduce(Float(-6)) { sum, _ in sum + uniform() } }

  /// `k` different numbers below `n`, in drawing order. O(n).
  public mutating func sample(_ k: Int, below n: Int) -> [Int] {
    var all = Array(0..<n)
    for index in 0..<k {
      // Lemire's multiply-shift; the bias is below 2^-40 for any n that fits in memory.
      let other = index + Int((next() >> 32).multipliedFullWidth(by: UInt64(n - index) << 32).high)
      all.swapAt(index, other)
    }
    return Array(all[..<k])
  }
}

/// Mixes a seed with a number or a name, so that every image has its own stream whatever the order of the job.
public func mixedSeed(_ seed: UInt64, _ text: some StringProtocol) -> UInt64 {
  var hash: UInt64 = 0xcbf2_9ce4_8422_2325  // FNV-1a
  for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
  var generator = SeededGenerator(seed: seed ^ hash)
  return generator.next()
}

/// Noise of the Gumbel distribution, `-log(-log(u))`, for the attention of one head in one layer at one step. A number
/// depends on its place alone, so any part of the field can be made at any time, on any thread.
public struct GumbelField: Sendable {
  private let stream: UInt64

  public init(seed: UInt64, step: Int, layer: Int, head: Int) {
    stream = [step, layer, head].reduce(seed) { SeededGenerator.mixed($0, UInt64($1)) }
  }

  /// The number between two tokens, by their ids.
  public subscript(query: Int32, key: Int32) -> Float {
    let bits = SeededGenerator.mixed(stream, UInt64(UInt32(bitPattern: query)) << 32 | UInt64(UInt32(bitPattern: key)))
    let uniform = (Float(bits >> 41) + 0.5) * 0x1p-23  // 23 bits, so that the half is exact and 1 is never reached
    return -logf(-logf(uniform))
  }
}

/// `count` numbers of a standard normal distribution for the noise of generative decoders. Number i depends on the seed
/// and on i alone, and is the same on every machine: a hash of the counter, through the inverse of the distribution.
public func normalNoise(seed: UInt64, count: Int) -> [Float] {
  (0..<count).map { index in
    var generator = SeededGenerator(seed: seed &+ UInt64(index) &* 0x9e37_79b9_7f4a_7c15)
    return Float(normalQuantile((Double(generator.next() >> 12) + 0.5) * 0x1p-52))
  }
}

/// The value below which a standard normal number lies with probability `p`, 0 < p < 1 (Acklam's rational approximation,
/// relative error below 1.2e-9).
func normalQuantile(_ p: Double) -> Double {
  func polynomial(_ x: Double, _ coefficients: [Double]) -> Double { coefficients.reduce(0) { $0 * x + $1 } }
  guard p >= 0.02425, p <= 1 - 0.02425 else {
    let x = (-2 * naturalLogarithm(min(p, 1 - p))).squareRoot()
    let tail =
      polynomial(
        x,
        [
          -7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838, -2.549732539343734, 4.374664141464968,
          2.938163982698783,
        ])
      / polynomial(x, [7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996, 3.754408661907416, 1])
    return p < 0.5 ? tail : -tail
  }
  let x = p - 0.5
  return x
    * polynomial(
      x * x,
      [
        -3.969683028665376e+01, 2.209460984245205e+02, -2.759285104469687e+02, 1.383577518672690e+02,
        -3.066479806614716e+01, 2.506628277459239,
      ])
    / polynomial(
      x * x,
      [
        -5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02, 6.680131188771972e+01,
        -1.328068155288572e+01, 1,
      ])
}

/// ln x for normal x > 0 from additions, multiplications and divisions, which every machine rounds alike: the exponent
/// times ln 2, and 2 artanh((m - 1) / (m + 1)) of the rest m in 1/√2 ..< √2.
private func naturalLogarithm(_ x: Double) -> Double {
  var (m, exponent) = (x.significand, Double(x.exponent))
  if m > 2.0.squareRoot() { (m, exponent) = (m / 2, exponent + 1) }
  let z = (m - 1) / (m + 1)
  let series = stride(from: 23, through: 1, by: -2).reduce(0) { sum, power in sum * z * z + 1 / Double(power) }
  return exponent * 0.693147180559945309417 + 2 * z * series
}
