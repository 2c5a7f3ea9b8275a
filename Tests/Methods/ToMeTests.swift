import GoldenRunner
import Testing
import VTok

/// Merges of noise, and the matching against a plain restatement of it.
@Suite struct ToMeTests {
  @Test(arguments: Goldens.of(ToMe.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: ToMe.self, "r trend=0 prop-attn=on keep")
  }

  // MARK: What it keeps

  @Test func countsMatchTheSchedule() throws {
    #expect(
      try TowerStage().run("tome:r=13").patches
        == (1...12).map { 196 - 13 * $0 })
    #expect(
      try TowerStage().run("tome:r=8/0/8").patches
        == [188, 188] + [Int](repeating: 180, count: 10))
  }

  @Test(arguments: ["tome:r=13", "tome:r=8/0/8"]) func massIsConserved(_ spec: String) throws {
    let run = try TowerStage().run(spec)
    #expect(abs(run.tokens.mass.reduce(0, +) - Float(run.input.count)) < 1e-2)
    #expect(run.tokens.origin.patches.count == 196)
  }

  /// Every method that takes a budget reaches it to the token, where its steps allow it.
  @Test(arguments: towerBudgets) func budgetsAreReached(keep: Int) throws { try expectBudget("tome", keep) }

  @Test(arguments: 0..<12) func mergesTheMostSimilarPairs(seed: UInt64) {
    let x = noiseRows(21, 4, seed: seed)
    var notes = Notes()
    let matching = ToMe.match(x, r: 6, prefix: 1, notes: &notes)
    // Every token of A but the class token, with its best partner in B.
    let best = stride(from: 2, to: 21, by: 2).map { a in
      (a, stride(from: 1, to: 21, by: 2).map { cosine(x, a, $0) }.max()!)
    }
    let wanted = best.sorted { $0.1 > $1.1 }.prefix(6).map(\.0)
    #expect(Set(matching.sources.map { 2 * $0 }) == Set(wanted))
    let reduction = matching.reduction(of: 21)
    #expect(reduction.count == 15)
    #expect(Array(reduction.row(0)) == [0], "the class token stays first and alone")
    #expect(reduction.members.sorted() == (0..<21).map { Int32($0) })
  }

  @Test func clampsToHalf() {
    var notes = Notes()
    let matching = ToMe.match(noiseRows(10, 3, seed: 1), r: 100, prefix: 0, notes: &notes)
    #expect(matching.sources.count == 5 && matching.reduction(of: 10).count == 5)
    #expect(ToMe.match(noiseRows(2, 3, seed: 1), r: 1, prefix: 1, notes: &notes).sources.isEmpty)
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(of: ToMe.self, ("a connector that fuses 4 patches into one token", { $0.tower!.fuse == 4 }))
  }
}
