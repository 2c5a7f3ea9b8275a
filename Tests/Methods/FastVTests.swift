import GoldenRunner
import Testing
import VTok

@Suite struct FastVTests {
  @Test(arguments: Goldens.of(FastV.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: FastV.self, "layer=2 mode=kv caches=whole keep")
  }

  @Test(arguments: ["fastv:caches=some", "fastv:caches=cut,mode=in-place"])
  func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  @Test(arguments: LanguageStage.seeds) func keepsItsShare(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    #expect(try stage.run("fastv:keep=0.3").visual.last == Budget.ratio(0.3).tokens(of: stage.visual))
  }

  /// Caches of the layers before the cut stay whole, or lose what the others lose.
  @Test(arguments: LanguageStage.seeds) func earlierCachesFollowIfAsked(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    let text = stage.tokens.count - stage.visual
    let whole = try stage.run("fastv:layer=2,keep=3")
    let cut = try stage.run("fastv:layer=2,keep=3,caches=cut")
    #expect(cut.visual == whole.visual)
    for caches in [cut.caches[0], cut.caches[2]] { #expect(Set(caches.map { $0[0].id }).count == 1) }
    #expect(cut.caches[0][0][0].count == text + 3 && whole.caches[0][0][0].count == stage.tokens.count)
  }

  @Test func theSmallerIndexWinsTies() throws { try expectTheFirstOfEqualTokens("fastv:keep=5") }

  // MARK: Refusals

  @Test func servesEveryFamily() throws { try expectRefusals(of: FastV.self) }
}
