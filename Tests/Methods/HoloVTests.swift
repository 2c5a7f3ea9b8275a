import GoldenRunner
import Testing
import VTok

@Suite struct HoloVTests {
  @Test(arguments: Goldens.of(HoloV.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: HoloV.self, "crops alpha=0.09 overflow=zeros ratio keep")
  }

  @Test func eitherAmount() { expectMistake("holov:ratio=0.5,keep=3") }

  // MARK: What it keeps

  /// Every run gets its share by attention, and keeps what is attended to most.
  @Test(arguments: 0..<8) func runsShareTheBudget(seed: UInt64) {
    let x = noiseRows(48, 6, seed: seed)
    let attention = noiseRows(1, 48, seed: seed ^ 5).values.map(abs)
    var notes = Notes()
    let found = HoloV.select(x, attention: attention, keep: 20, crops: 6, alpha: 0, notes: &notes)
    let parts = (0..<6).map { run in Array(attention[8 * run..<8 * run + 8]) }
    let sums: [Float] = parts.map { $0.reduce(0, +) }
    for (run, count) in found.allocated.enumerated() {
      // Without variety shares are those of attention, but for what is over.
      let share = 20 * sums[run] / sums.reduce(0, +)
      #expect(Float(count) > share - 1 && Float(count) < share + 2)
      let rows = 8 * run..<8 * run + 8
      let kept = found.kept.filter(rows.contains)
      #expect(kept.count == min(count, 8))
      let best = topK(parts[run], min(count, 8)).map { 8 * run + $0 }
      if count < 8 { #expect(kept == best) }
    }
    #expect(found.kept.count == 20)
  }

  /// A run that gets more than it has leaves rows of zeros, or nothing.
  @Test func whatRunsLackIsZerosOrNothing() {
    let x = noiseRows(12, 4, seed: 1)
    let attention = (0..<12).map { $0 < 3 ? Float(1) : 0.001 }
    var notes = Notes()
    let found = HoloV.select(x, attention: attention, keep: 8, crops: 4, alpha: 0.09, notes: &notes)
    #expect(found.kept.filter { $0 < 0 }.count == 8 - Set(found.kept.filter { $0 >= 0 }).count)
    #expect(found.kept.prefix(3) == [0, 1, 2] && found.kept.last == -1)
  }

  @Test(arguments: TileStage.seeds) func theBudgetIsOfTheImage(seed: UInt64) throws {
    let run = try TileStage(seed: seed).run("holov:keep=13")
    #expect(run.packed.count == 13 && Set(run.packed.kind) == [.patch])
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(
      of: HoloV.self, ("joins patches", { $0.layout?.hasSpanPerTile == true }),
      ("no class token", { $0.tower?.hasClassifier == false && $0.layout?.tiling != .native }),
      ("no connector", { $0.layout == nil }))
  }

  @Test func aTowerAloneIsRefused() throws { try expectRefusal("holov", for: SmallShapes.vit) }
}
