import Testing
import VTok

@Suite struct ClsAttentionTests {
  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: ClsAttention.self, "block keep")
  }

  // MARK: What it keeps

  @Test func countsMatchTheSchedule() throws {
    #expect(
      try TowerStage().run("cls-attention:block=2,keep=49").patches
        == [196, 196] + [Int](repeating: 49, count: 10))
  }

  /// Every method that takes a budget reaches it to the token, where its steps allow it.
  @Test(arguments: towerBudgets) func budgetsAreReached(keep: Int) throws { try expectBudget("cls-attention", keep) }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(of: ClsAttention.self, ("no class token", { $0.tower?.hasClassifier == false }))
  }
}
