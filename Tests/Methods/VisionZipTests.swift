import GoldenRunner
import Testing
import VTok

@Suite struct VisionZipTests {
  @Test(arguments: Goldens.of(VisionZip.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: VisionZip.self, "dominant contextual keep")
  }

  @Test(arguments: [
    "visionzip:dominant=3", "visionzip:contextual=3", "visionzip:dominant=3,contextual=1,keep=5",
  ]) func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  @Test(arguments: TileStage.seeds) func visionZipLeavesEveryTileTheSame(seed: UInt64) throws {
    let stage = TileStage(seed: seed)
    let run = try stage.run("visionzip:dominant=5,contextual=3")
    #expect(run.packed.count == 8 * stage.tiles.count)
    #expect(run.packed.rows(.classifier).count == stage.tiles.count)
    // Dominant rows are unchanged; a contextual row is its target plus the mean of its followers.
    for row in 0..<run.packed.count {
      let weights = run.packed.origin.weights[run.packed.origin.range(row)]
      let sum = weights.reduce(0, +)
      let isClass = run.packed.kind[row] == .classifier
      #expect(weights.isEmpty == isClass && (isClass || abs(sum - 1) < 1e-4 || abs(sum - 2) < 1e-4))
    }
    let patches = Set(run.packed.origin.patches.map(Int.init))
    #expect(patches == Set(0..<stage.patches), "every patch is dominant or merged")
    let budgeted = try stage.run("visionzip:keep=0.5").packed
    #expect(budgeted.count == Budget.ratio(0.5).tokens(of: stage.patches))
  }

  /// Where all tokens are equal, the first ones stay.
  @Test func theSmallerIndexWinsTies() throws {
    let zipped = try TileStage(seed: 3, side: 6, isConstant: true).run("visionzip:dominant=5,contextual=2")
    #expect(Array(zipped.tiles[0].id[..<5]) == [0, 1, 2, 3, 4])
  }

  @Test func whatCannotBeReachedIsAnError() throws {
    #expect(throws: CompressionError.self) { try TileStage(seed: 1).run("visionzip:keep=1") }
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(of: VisionZip.self, ("no class token", { $0.tower?.hasClassifier == false }))
  }

  @Test func misfitsAreRefusedBeforeWeightsLoad() throws {
    for (spec, shape) in [
      ("visionzip", SmallShapes.tiles(prefix: 0, classifier: false)),
      ("visionzip", SmallShapes.tiles(prefix: 2)),
      ("visionzip", SmallShapes.tiles(layout: Shape.Layout(tiling: .native))),
      ("visionzip:dominant=15,contextual=3", SmallShapes.tiles()),
    ] { try expectRefusal(spec, for: shape) }
  }
}
