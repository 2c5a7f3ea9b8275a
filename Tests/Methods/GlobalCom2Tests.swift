import GoldenRunner
import Testing
import VTok

@Suite struct GlobalCom2Tests {
  @Test(arguments: Goldens.of(GlobalCom2.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: GlobalCom2.self, "temperature=10 mode=official retention keep")
  }

  @Test(arguments: [
    "globalcom2:temperature=0"
  ]) func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  @Test(arguments: TileStage.seeds) func globalCom2CountsItsNewlines(seed: UInt64) throws {
    let stage = TileStage(seed: seed)
    let official = try stage.run("globalcom2:retention=0.25").packed
    let clean = try stage.run("globalcom2:retention=0.25,mode=clean").packed
    #expect(official.rows(.newline).count == stage.layout.tileRows * stage.side)
    #expect(clean.rows(.newline).count <= official.rows(.newline).count)
    #expect(official.rows(.patch).count == clean.rows(.patch).count, "modes differ in places, not in numbers")
    let patches = official.rows(.patch)
    #expect(Set(patches.map { official.id[$0] }).count == patches.count)
  }

  /// Where all tokens are equal, the first ones stay.
  @Test func theSmallerIndexWinsTies() throws {
    let first = try TileStage(seed: 3, side: 6, isConstant: true).run("globalcom2:retention=0.25").packed
    #expect(Array(first.id[..<9]) == (1...9).map { Int32($0) })
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(
      of: GlobalCom2.self, ("no class token", { $0.tower?.hasClassifier == false }),
      ("images of one tile", { $0.layout?.tiling == .one }))
  }

  @Test func misfitsAreRefusedBeforeWeightsLoad() throws {
    for (spec, shape) in [
      ("globalcom2", SmallShapes.tiles(feature: 3)),
      ("globalcom2", SmallShapes.tiles(layout: Shape.Layout(tiling: .one))),
      ("globalcom2", SmallShapes.tiles(prefix: 0, classifier: false)),
    ] { try expectRefusal(spec, for: shape) }
  }
}
