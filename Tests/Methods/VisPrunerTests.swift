import GoldenRunner
import Testing
import VTok

@Suite struct VisPrunerTests {
  @Test(arguments: Goldens.of(VisPruner.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: VisPruner.self, "version=vispruner important=0.5 per-tile keep")
  }

  @Test(arguments: ["vispruner:per-tile=3,keep=9", "vispruner:version=fastervlm,important=0.5"])
  func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  @Test(arguments: TileStage.seeds) func everyTileKeepsTheSame(seed: UInt64) throws {
    let stage = TileStage(seed: seed)
    for (spec, count) in [("vispruner:per-tile=7", 7), ("vispruner:per-tile=5,version=fastervlm", 5)] {
      let run = try stage.run(spec)
      #expect(run.tiles.allSatisfy { $0.count == count } && run.packed.count == count * stage.tiles.count)
    }
    let budgeted = try stage.run("vispruner:keep=0.3").packed
    #expect(budgeted.count == Budget.ratio(0.3).tokens(of: stage.patches))
  }

  /// An odd number of tokens is dealt out too, and the rounds end at what was asked.
  @Test(arguments: 1..<21) func roundsEndWhereTheyShould(_ keep: Int) {
    let x = noiseRows(21, 5, seed: 3)
    let attention = (0..<21).map { Float(21 - $0) }
    var notes = Notes()
    let kept = VisPruner.select(x, attention: attention, keep: keep, important: 0.4, notes: &notes)
    #expect(Set(kept).count == keep && kept.count == keep)
    #expect(Array(kept.prefix(Int(Double(keep) * 0.4))) == Array(0..<Int(Double(keep) * 0.4)))
  }

  /// Of tokens that are alike in pairs one each goes first.
  @Test func repetitionsGoFirst() {
    let distinct = noiseRows(8, 16, seed: 5)
    let x = distinct.gathered((0..<8).flatMap { [$0, $0] })
    var notes = Notes()
    let attention = (0..<16).map { Float(16 - $0) }
    let kept = VisPruner.select(x, attention: attention, keep: 8, important: 0, notes: &notes)
    #expect(Set(kept.map { $0 / 2 }) == Set(0..<8))
  }

  /// Where all tokens are equal, attention's order decides, and of equal attention the smaller index.
  @Test func theSmallerIndexWinsTies() throws {
    let run = try TileStage(seed: 3, side: 6, isConstant: true).run("vispruner:per-tile=5,version=fastervlm")
    #expect(run.tiles[0].id == [1, 2, 3, 4, 5])
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(of: VisPruner.self, ("no class token", { $0.tower?.hasClassifier == false }))
  }

  @Test func misfitsAreRefusedBeforeWeightsLoad() throws {
    for (spec, shape) in [
      ("vispruner", SmallShapes.tiles(prefix: 0, classifier: false)), ("vispruner:per-tile=17", SmallShapes.tiles()),
      ("vispruner", SmallShapes.tiles(layout: Shape.Layout(tiling: .native))),
    ] { try expectRefusal(spec, for: shape) }
  }
}
