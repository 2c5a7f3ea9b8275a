import GoldenRunner
import Testing
import VTok

@Suite struct PyramidDropTests {
  @Test(arguments: Goldens.of(PyramidDrop.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: PyramidDrop.self, "layers ratios keep")
  }

  @Test(arguments: [
    "pyramiddrop:layers=0/3"
  ]) func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  @Test(arguments: LanguageStage.seeds) func stagesKeepTheirShares(seed: UInt64) throws {
    try expectStages(of: "pyramiddrop", seed: seed)
  }

  @Test func theSmallerIndexWinsTies() throws { try expectTheFirstOfEqualTokens("pyramiddrop:layers=2,keep=5") }

  // MARK: Refusals

  @Test func servesEveryFamily() throws { try expectRefusals(of: PyramidDrop.self) }
}
