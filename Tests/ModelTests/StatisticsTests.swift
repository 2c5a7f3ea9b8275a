import Testing
import VTok

@Suite struct StatisticsTests {
  @Test func mcNemarIsTheExactBinomialTest() {
    func p(_ onlyA: Int, _ onlyB: Int) -> Double {
      let a = Array(repeating: true, count: onlyA) + Array(repeating: false, count: onlyB) + [true, false]
      let b = Array(repeating: false, count: onlyA) + Array(repeating: true, count: onlyB) + [true, false]
      return Statistics.mcNemar(a, b)
    }
    #expect(p(0, 0) == 1)
    #expect(abs(p(5, 0) - 2.0 / 32) < 1e-12)
    #expect(abs(p(1, 9) - 2 * 11.0 / 1024) < 1e-12)
    #expect(p(4, 4) == 1)
    #expect(p(3, 9) == p(9, 3))
    #expect(p(1000, 1100) > 0.02 && p(1000, 1100) < 0.05, "2.18 deviations")
  }

  @Test func theBootstrapIntervalIsThatOfTheRatio() {
    // 400 images: dense right on 320, the method on 280 of these and 20 others.
    let dense = (0..<400).map { $0 < 320 ? 1.0 : 0 }
    let method = (0..<400).map { $0 < 280 || $0 >= 380 ? 1.0 : 0 }
    let (low, high) = Statistics.ratioInterval(method, dense)
    // Delta method: the ratio is 0.9375, the deviation of its paired differences 0.0227.
    var variance = 0.0
    for (m, d) in zip(method, dense) { variance += (m - 0.9375 * d) * (m - 0.9375 * d) }
    let deviation = variance.squareRoot() / 320
    #expect(abs(low - (0.9375 - 1.96 * deviation)) < 0.006)
    #expect(abs(high - (0.9375 + 1.96 * deviation)) < 0.006)
    #expect(Statistics.ratioInterval(dense, dense) == (1, 1))
    #expect(Statistics.ratioInterval(method, dense) == (low, high), "seeded")
  }

  @Test func divergenceAndCosine() {
    #expect(Statistics.divergence(of: [1, 2, 3], from: [2, 3, 4]) < 1e-12, "a constant does not count")
    // Reference (3/4, 1/4) against (1/2, 1/2): 3/4 ln(3/2) + 1/4 ln(1/2).
    let log3 = Float(1.0986122886681098)
    #expect(abs(Statistics.divergence(of: [0, 0], from: [log3, 0]) - 0.13081203594113694) < 1e-7)
    #expect(abs(Statistics.cosine([1, 0], [1, 1]) - 0.7071067811865475) < 1e-12)
    #expect(Statistics.cosine([0, 0], [1, 1]) == 0)
  }
}
