import GoldenRunner
import Testing
import VTok

@Suite struct TokenCorrTests {
  @Test(arguments: Goldens.of(TokenCorr.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: TokenCorr.self, "similarity=0.8 repeats=0.05 spread=1.5 sample=top low deep")
  }

  @Test(arguments: [
    "token-corr:keep=3"
  ]) func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  @Test(arguments: TileStage.seeds) func tokenCorrKeepsPatchesOnly(seed: UInt64) throws {
    for sample in ["top", "seeded"] {
      let run = try TileStage(seed: seed).run("token-corr:sample=\(sample),similarity=0.3")
      #expect(run.tiles.allSatisfy { !$0.kind.contains(.classifier) && $0.count > 0 })
      #expect(run.tiles.allSatisfy { $0.id == $0.id.sorted() })
    }
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(of: TokenCorr.self, ("no class token", { $0.tower?.hasClassifier == false }))
  }

  @Test func misfitsAreRefusedBeforeWeightsLoad() throws {
    for (spec, shape) in [
      ("token-corr", SmallShapes.tiles(prefix: 0, classifier: false)),
      ("token-corr:low=4", SmallShapes.tiles()),
    ] { try expectRefusal(spec, for: shape) }
  }
}
