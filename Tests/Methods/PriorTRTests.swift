import GoldenRunner
import Testing
import VTok

@Suite struct PriorTRTests {
  @Test(arguments: Goldens.of(PriorTR.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: PriorTR.self, "layers rows=question heads=mean tokens ratios keep")
  }

  @Test(arguments: ["priortr:tokens=9,ratios=0.5", "priortr:tokens=9,keep=4", "priortr:layers=0"])
  func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  /// All layers hold what is left at the end.
  @Test(arguments: LanguageStage.seeds) func earlierCachesForgetToo(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    let (n, text) = (stage.visual, stage.tokens.count - stage.visual)
    let run = try stage.run("priortr:layers=2/4,ratios=0.5/0.5")
    #expect(run.visual == [n, n, n / 2, n / 2, n / 2 / 2, n / 2 / 2])
    for caches in [run.caches[0], run.caches[2]] {
      #expect(Set(caches.map { $0[0].id }).count == 1)
    }
    #expect(run.caches[0][0][0].count == text + n / 2 / 2)
    #expect(try stage.run("priortr:layers=2,tokens=0").visual.last == 0)
    #expect(try stage.run("priortr:layers=2").visual.last == min(n, 192), "as published")
  }

  /// What the prior looks at more than the question does comes last.
  @Test func thePriorIsSubtracted() {
    // Two heads; rows behind the image: the prior, one of the question, the last.
    let rows: [Float] = [0.5, 0.1, 0.1, 0.1, 0.5, 0.1, 0.3, 0.3, 0.1]
    let attention = Tensor(rows + rows, shape: [2, 3, 3])
    let last = PriorTR.scores(attention, at: [0, 1, 2], .last, .mean)
    #expect(last[1] > last[0] && abs(last[2]) < 1e-3 + abs(last[1]))
    let asked = PriorTR.scores(attention, at: [0, 1, 2], .butLast, .max)
    #expect(asked[1] > asked[2] && asked[2] > asked[0])
    let one = attention.reshaped([6, 3]).gathered([0, 3]).reshaped([2, 1, 3])
    #expect(PriorTR.scores(one, at: [0, 1, 2], .butLast, .mean).allSatisfy { abs($0) < 1e-6 })
  }

  @Test func theSmallerIndexWinsTies() throws { try expectTheFirstOfEqualTokens("priortr:layers=2,keep=5") }

  // MARK: Refusals

  @Test func servesEveryFamily() throws { try expectRefusals(of: PriorTR.self) }
}
