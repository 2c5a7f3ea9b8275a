import GoldenRunner
import Testing
import VTok

@Suite struct V2DropTests {
  @Test(arguments: Goldens.of(V2Drop.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws { try expectOptions(of: V2Drop.self, "layers ratios keep") }

  @Test(arguments: ["v2drop:layers=0/3", "v2drop:layers=1/2,ratios=0.5", "v2drop:ratios=0.5/0.5/2"])
  func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  /// Shares of what is alive, cut off; one token is always left.
  @Test(arguments: LanguageStage.seeds) func sharesAreOfTheTokensAlive(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    let n = stage.visual
    let visual = try stage.run("v2drop:layers=2/3/5,ratios=0.5/0.35/0").visual
    let (first, second) = (n / 2, Int(Double(n / 2) * 0.35))
    #expect(visual == [n, n, first, second, second, 1])
    #expect(try stage.run("v2drop:layers=2/4,keep=7").visual.last == 7)
  }

  /// Noise passes all layers as it is: no token changes more than another.
  @Test func theSmallerIndexWinsTies() throws { try expectTheFirstOfEqualTokens("v2drop:layers=2,keep=5") }

  // MARK: Refusals

  @Test func servesEveryFamily() throws { try expectRefusals(of: V2Drop.self) }

  @Test func layersMustExist() throws { try expectRefusal("v2drop", for: SmallShapes.language()) }
}
