#if canImport(Glibc)
  import Glibc
#else
  import Foundation
#endif

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
