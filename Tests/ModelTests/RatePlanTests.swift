import Testing
import VTok

@Suite struct RatePlanTests {
  /// The first mean of 196 patches in steps of four is exactly 100, which must not be rounded up.
  @Test(arguments: [(196, 4, 101), (256, 4, 131), (16, 1, 10), (25, 4, 14), (196, 197, 197)])
  func firstCount(_ patches: Int, _ granularity: Int, _ count: Int) {
    #expect(RateLogits(patches: patches, granularity: granularity).count == count)
  }

  @Test func firstBlockIsFixed() {
    let plan = RatePlan(blocks: 3, patches: 16, granularity: 2, fixed: [2])
    #expect(plan.prune.map(\.isFree) == [false, true, false])
    #expect(plan.pruneCounts == [17, 10, 17] && plan.mergeCounts == plan.pruneCounts)
    let steps = plan.steps(tokens: 17)
    #expect(steps.map(\.merged) == [17, 10, 10])
    #expect(steps.map(\.prunes) == [false, true, false] && steps.map(\.merges) == [false, false, false])
  }

  /// Published schedules and the GFLOPs that the official README prints for them.
  @Test func publishedCosts() {
    func gmacs(_ prune: [Int], _ merge: [Int], width: Int) -> Double {
      func logits(_ counts: [Int]) -> [RateLogits] { counts.map { RateLogits(candidates: [$0 - 1], theta: [0]) } }
      let cost = RateCost(tokens: 197, width: width, hidden: 4 * width, patch: 16, headMACs: width * 1000)
      return Double(cost.macs(RatePlan(prune: logits(prune), merge: logits(merge))).total) * 1e-9
    }
    let small = gmacs(
      [197, 196, 190, 168, 150, 139, 129, 117, 99, 78, 58, 3],
      [197, 194, 176, 156, 141, 133, 121, 107, 88, 64, 56, 3], width: 384)
    #expect(abs(small - 2.905) < 5e-4)
    let base = gmacs(
      [197, 197, 197, 188, 170, 154, 139, 123, 107, 72, 43, 3],
      [197, 197, 192, 178, 158, 145, 127, 111, 94, 50, 35, 3], width: 768)
    #expect(abs(base - 11.517) < 5e-4)
  }

  @Test func adamTakesStepsOfTheRate() {
    var optimizer = AdamW(count: 2)
    var values = [1.0, -2.0]
    optimizer.update(&values, gradient: [0.5, -3], rate: 0.1)
    #expect(abs(values[0] - 0.9) < 1e-6 && abs(values[1] + 1.9) < 1e-6)
    let rate = CosineRate(first: 0.1, last: 0.01, steps: 10)
    #expect(rate(0) == 0.1 && abs(rate(5) - 0.055) < 1e-12 && abs(rate(10) - 0.01) < 1e-12)
  }
}
