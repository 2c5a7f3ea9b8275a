import GoldenRunner
import Testing
import VTok

@Suite struct HiREDTests {
  @Test(arguments: Goldens.of(HiRED.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: HiRED.self, "alpha=0.5 mode=official budget keep")
  }

  @Test(arguments: [
    "hired:alpha=2", "hired:mode=fast",
  ]) func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  @Test(arguments: TileStage.seeds) func hiredStaysWithinItsBudget(seed: UInt64) throws {
    for mode in ["official", "paper"] {
      // Divisible by 1, 2, 3, 4, 6 and 9 tiles, as the official mode asks.
      let stage = TileStage(seed: seed, side: 6)
      let run = try stage.run("hired:budget=0.2,mode=\(mode)")
      #expect(run.packed.count <= Int(Double(stage.patches) * 0.2))
      #expect(Set(run.packed.id).count == run.packed.count && run.packed.kind.allSatisfy { $0 == .patch })
    }
  }

  /// Where all tokens are equal, the first ones stay.
  @Test func theSmallerIndexWinsTies() throws {
    let fair = try TileStage(seed: 3, side: 6, isConstant: true).run("hired:keep=0.2").packed
    #expect(fair.id.first == 1)
  }

  @Test func tilesThatDoNotSplitEvenly() throws {
    // 25 tokens do not fall into 4 equal runs.
    #expect(throws: CompressionError.self) { try TileStage(seed: 1, side: 5, grid: (2, 2)).run("hired:keep=0.5") }
    #expect(throws: Never.self) { try TileStage(seed: 1, side: 5, grid: (2, 2)).run("hired:keep=0.5,mode=paper") }
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(of: HiRED.self, ("no class token", { $0.tower?.hasClassifier == false }))
  }

  @Test func misfitsAreRefusedBeforeWeightsLoad() throws {
    for (spec, shape) in [
      ("hired", SmallShapes.tiles(prefix: 0, classifier: false)),
      ("hired", SmallShapes.tiles(layout: nil)),
      ("hired", SmallShapes.tiles(layout: Shape.Layout(tiling: .cut, hasSpanPerTile: true))),
    ] { try expectRefusal(spec, for: shape) }
  }
}
