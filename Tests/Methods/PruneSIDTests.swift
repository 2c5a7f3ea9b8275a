import GoldenRunner
import Testing
import VTok

@Suite struct PruneSIDTests {
  @Test(arguments: Goldens.of(PruneSID.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws { try expectOptions(of: PruneSID.self, "per-tile keep") }

  @Test func eitherAmount() { expectMistake("prunesid:per-tile=9,keep=3") }

  @Test func drawsLots() throws { #expect(try MethodSpec("prunesid").make(budget: nil)[0].isStochastic) }

  // MARK: What it keeps

  @Test(arguments: TileStage.seeds) func theClassTokenCounts(seed: UInt64) throws {
    let stage = TileStage(seed: seed)
    let run = try stage.run("prunesid:per-tile=9")
    #expect(run.packed.rows(.classifier).count == stage.tiles.count)
    #expect(run.tiles.allSatisfy { $0.count == 9 && $0.kind[0] == .classifier })
    #expect(run.tiles.allSatisfy { Set($0.id).count == $0.count })
  }

  /// Two directions that differ in length: every token belongs to its own. Long ones are more alike than the limit.
  @Test func tokensGroupByDirection() {
    var values: [Float] = []
    for token in 0..<24 {
      for channel in 0..<16 {
        let long: Float = channel % 2 == 0 ? 3 : -3
        let short: Float = channel < 8 ? 1 : -1
        values.append((token % 2 == 0 ? long : short) + 0.01 * Float((token * 7 + channel * 3) % 5))
      }
    }
    let x = Tensor(values, shape: [24, 16])
    var notes = Notes()
    let omega = noiseRows(16, 2, seed: 4)
    let attention = (0..<24).map { Float(24 - $0) }
    let found = PruneSID.select(x, attention: attention, keep: 8, omega: omega, notes: &notes)
    for token in 0..<24 { #expect(found.component[token] == found.component[token % 2]) }
    #expect(found.component[0] != found.component[1])
    #expect(found.kept.contains(0) && found.kept.contains(1), "the best attended of a group stays")
  }

  @Test func otherSeedsDrawOtherNumbers() throws {
    let stage = TileStage(seed: 5, side: 7)
    #expect(try stage.run("prunesid:per-tile=20").packed.id == stage.run("prunesid:per-tile=20").packed.id)
  }

  @Test func tooFewAreAnError() throws {
    #expect(throws: CompressionError.self) { try TileStage(seed: 1).run("prunesid:per-tile=1") }
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(of: PruneSID.self, ("no class token", { $0.tower?.hasClassifier == false }))
  }

  @Test func misfitsAreRefusedBeforeWeightsLoad() throws {
    for (spec, shape) in [
      ("prunesid", SmallShapes.tiles(prefix: 2)), ("prunesid:per-tile=18", SmallShapes.tiles()),
      ("prunesid", SmallShapes.tiles(layout: Shape.Layout(tiling: .native))),
    ] { try expectRefusal(spec, for: shape) }
  }
}
