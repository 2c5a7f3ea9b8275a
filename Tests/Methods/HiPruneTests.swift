import GoldenRunner
import Testing
import VTok

@Suite struct HiPruneTests {
  @Test(arguments: Goldens.of(HiPrune.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws { try expectOptions(of: HiPrune.self, "alpha=0.1 object total keep") }

  @Test func eitherAmount() { expectMistake("hiprune:total=9,keep=3") }

  // MARK: What it keeps

  /// An object keeps its four neighbours; at the ends of a line they lie in the next one, beyond the grid at its ends.
  @Test func objectsKeepTheirNeighbours() throws {
    let n = 36
    var notes = Notes()
    for (object, near) in [(14, [8, 13, 14, 15, 20]), (6, [0, 5, 6, 7, 12]), (0, [0, 1, 6]), (35, [29, 34, 35])] {
      let objects = (0..<n).map { $0 == object ? Float(1) : 0 }
      let method = HiPrune(.perTile(near.count), alpha: 5.0 / Double(near.count), object: 0)
      let kept = try method.select(
        objects: objects, deep: [Float](repeating: 0.1, count: n), keep: near.count, columns: 6, notes: &notes)
      #expect(kept == near)
    }
  }

  /// Where attention is a sum, a neighbour of an object may be drawn again, and fewer stay.
  @Test func sumsMayDrawTwice() throws {
    var notes = Notes()
    let method = HiPrune(.perTile(6), alpha: 1, object: 0)
    let deep = (0..<36).map { $0 == 14 ? Float(4) : 0.5 }
    let objects = (0..<36).map { $0 == 14 ? Float(1) : 0 }
    let kept = try method.select(objects: objects, deep: deep, keep: 6, columns: 6, notes: &notes)
    #expect(kept == [8, 13, 14, 15, 20])
  }

  @Test func tooManyNeighboursAreAnError() {
    var notes = Notes()
    let objects = (0..<36).map { $0 == 8 || $0 == 27 ? Float(1) : 0 }  // ten with their neighbours
    #expect(throws: CompressionError.self) {
      try HiPrune(.perTile(9), alpha: 1, object: 0)
        .select(objects: objects, deep: objects, keep: 9, columns: 6, notes: &notes)
    }
  }

  @Test(arguments: TileStage.seeds) func everyTileKeepsTheSame(seed: UInt64) throws {
    let stage = TileStage(seed: seed)
    let share = 31 / stage.tiles.count
    let run = try stage.run("hiprune:total=31")
    #expect(run.tiles.allSatisfy { $0.count == share } && run.packed.count == share * stage.tiles.count)
    let budgeted = try stage.run("hiprune:keep=0.3").packed
    #expect(budgeted.count == Budget.ratio(0.3).tokens(of: stage.patches))
  }

  /// Where all tokens are equal, the first ones stay.
  @Test func theSmallerIndexWinsTies() throws {
    let run = try TileStage(seed: 3, side: 6, isConstant: true).run("hiprune:keep=0.25")
    #expect(run.tiles[0].id == (1...Int32(run.tiles[0].count)).map { $0 })
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(of: HiPrune.self, ("joins patches", { $0.layout?.hasSpanPerTile == true }))
  }

  @Test func misfitsAreRefusedBeforeWeightsLoad() throws {
    for (spec, shape) in [
      ("hiprune:object=9", SmallShapes.tiles()),
      ("hiprune", SmallShapes.tiles(layout: Shape.Layout(tiling: .cut, hasSpanPerTile: true))),
    ] { try expectRefusal(spec, for: shape) }
  }
}
