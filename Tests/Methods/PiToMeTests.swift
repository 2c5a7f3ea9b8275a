import GoldenRunner
import Testing
import VTok

@Suite struct PiToMeTests {
  @Test(arguments: Goldens.of(PiToMe.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws { try expectOptions(of: PiToMe.self, "ratio keep") }

  @Test(arguments: ["pitome:ratio=0.4", "pitome:ratio=0.9,keep=0.5"]) func optionsAreChecked(_ spec: String) {
    expectMistake(spec)
  }

  // MARK: What it keeps

  @Test func everyBlockKeepsItsShare() throws {
    var left = 196
    let expected = (0..<12).map { _ in
      left -= Int((Double(left) - Double(left) * 0.9).rounded(.down))
      return left
    }
    let run = try TowerStage().run("pitome:ratio=0.9")
    #expect(run.patches == expected)
    #expect(abs(run.tokens.mass.reduce(0, +) - Float(run.input.count)) < 1e-2)
    #expect(run.tokens.origin.patches.count == 196)
  }

  @Test(arguments: towerBudgets) func budgetsAreReached(keep: Int) throws { try expectBudget("pitome", keep) }

  /// Four tokens of one direction merge among themselves; those that stand alone are left alone.
  @Test(arguments: [true, false]) func groupsMergeFirst(isBipartite: Bool) {
    var rows = (0..<8).map { index in (0..<8).map { $0 == index ? Float(1) : 0 } }
    for index in [1, 3, 4, 6] { rows[index] = rows[7] }
    var notes = Notes()
    let reduction = PiToMe.merge(
      Tensor(rows.flatMap { $0 }, shape: [8, 8]), removing: 2, margin: 0.5, prefix: 0, isBipartite: isBipartite,
      notes: &notes)
    let merged = (0..<reduction.count).map { Set(reduction.row($0).map(Int.init)) }.filter { $0.count > 1 }
    #expect(reduction.count == 6 && merged.allSatisfy { $0.isSubset(of: [1, 3, 4, 6, 7]) })
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(of: PiToMe.self, ("a connector that fuses 4 patches into one token", { $0.tower!.fuse == 4 }))
  }
}
