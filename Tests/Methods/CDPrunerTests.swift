import GoldenRunner
import Testing
import VTok

@Suite struct CDPrunerTests {
  @Test(arguments: Goldens.of(CDPruner.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: CDPruner.self, "kernel=official per-tile weight=0.5 negative=off split=on keep")
  }

  @Test(arguments: [
    "cdpruner:per-tile=4,keep=9", "cdpruner:per-tile=4,kernel=openvino", "cdpruner:weight=2",
  ]) func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  @Test(arguments: TileStage.seeds) func cdprunerKeepsTheSameOfEveryTile(seed: UInt64) throws {
    let stage = TileStage(seed: seed)
    let run = try stage.run("cdpruner:per-tile=4")
    #expect(run.packed.count == 4 * stage.tiles.count && Set(run.packed.id).count == run.packed.count)
    let size = Int32(stage.side * stage.side)
    let tiles = run.packed.origin.patches.map { $0 / size }
    #expect((0..<Int32(stage.tiles.count)).allSatisfy { tile in tiles.count { $0 == tile } == 4 })
  }

  @Test(arguments: TileStage.seeds) func cdprunerFromThePromptRoundsUpToEven(seed: UInt64) throws {
    let stage = PromptStage(seed: seed)
    let run = try stage.run("cdpruner:kernel=openvino,keep=0.3")
    for (before, after) in zip(stage.spans, run.visual) {
      let asked = Budget.ratio(0.3).tokens(of: before.count)
      #expect(after == min(asked + asked % 2, before.count))
    }
  }

  @Test func whatCannotBeReachedIsAnError() throws {
    #expect(throws: CompressionError.self) { try TileStage(seed: 1).run("cdpruner:keep=1") }
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(
      of: CDPruner.self, ("tiles that are spans of their own", { $0.layout?.hasSpanPerTile == true }),
      ("images on grids of their own", { $0.layout?.tiling == .native }))
  }

  @Test func misfitsAreRefusedBeforeWeightsLoad() throws {
    for (spec, shape) in [
      ("cdpruner", SmallShapes.tiles(layout: nil)),
      ("cdpruner:per-tile=17", SmallShapes.tiles()),
      ("cdpruner:kernel=openvino", SmallShapes.tiles(layout: nil)),
    ] { try expectRefusal(spec, for: shape) }
  }
}
