import GoldenRunner
import Testing
import VTok

@Suite struct FastVTests {
  @Test(arguments: Goldens.of(FastV.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: FastV.self, "layer=2 mode=kv keep")
  }

  // MARK: What it keeps

  @Test(arguments: LanguageStage.seeds) func keepsItsShare(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    #expect(try stage.run("fastv:keep=0.3").visual.last == Budget.ratio(0.3).tokens(of: stage.visual))
  }

  @Test func theSmallerIndexWinsTies() throws { try expectTheFirstOfEqualTokens("fastv:keep=5") }

  // MARK: Refusals

  @Test func servesEveryFamily() throws { try expectRefusals(of: FastV.self) }
}
