import GoldenRunner
import Testing
import VTok

@Suite struct TransPruneTests {
  @Test(arguments: Goldens.of(TransPrune.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: TransPrune.self, "layers accumulate ratios keep")
  }

  @Test(arguments: [
    "transprune:layers=3/2", "transprune:ratios=0.5", "transprune:ratios=0.5/0.6/0.1", "transprune:accumulate=9",
  ]) func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  @Test(arguments: LanguageStage.seeds) func stagesKeepTheirShares(seed: UInt64) throws {
    try expectStages(of: "transprune", seed: seed)
  }

  @Test func theSmallerIndexWinsTies() throws { try expectTheFirstOfEqualTokens("transprune:layers=2,keep=5") }

  // MARK: Refusals

  @Test func servesEveryFamily() throws { try expectRefusals(of: TransPrune.self) }

  @Test func misfitsAreRefusedBeforeWeightsLoad() throws {
    for (spec, shape) in [
      ("transprune", SmallShapes.language(layers: 12)),
      ("transprune:layers=1/6,ratios=0.5/0.2", SmallShapes.language()),
      ("transprune", SmallShapes.vit),
    ] { try expectRefusal(spec, for: shape) }
  }
}
