import GoldenRunner
import Testing
import VTok

@Suite struct ZeroTPruneTests {
  @Test(arguments: Goldens.of(ZeroTPrune.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(
      of: ZeroTPrune.self,
      "schedule blocks similar tokens rate iterations keep start=classifier partition=sequential-u "
        + "metric=cosine vmin=0.01 vmax=0.7 vhf=on eir=on renormalise=on eps=0")
  }

  @Test(arguments: [
    "zero-tprune:schedule=vtok", "zero-tprune:similar=3", "zero-tprune:schedule=vtok-deit-s-3.08,rate=0.5",
    "zero-tprune:blocks=3/2,similar=4", "zero-tprune:blocks=1/2,similar=4/5/6", "zero-tprune:vmin=2,vmax=1",
    "zero-tprune:blocks=1,rate=0", "zero-tprune:metric=cosin", "zero-tprune:blocks=1,rate=0.5,tokens=9",
  ]) func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  @Test func countsMatchTheSchedule() throws {
    #expect(
      try TowerStage().run("zero-tprune:schedule=vtok-deit-s-3.08").patches
        == [186, 186, 154, 154, 154, 116, 116, 116, 75, 75, 65, 65])
    #expect(
      try TowerStage().run("zero-tprune:blocks=3/6,similar=20/0,tokens=100/50").patches
        == [196, 196, 196, 100, 100, 100] + [Int](repeating: 50, count: 6))
    #expect(
      try TowerStage().run("zero-tprune:blocks=0,similar=5,metric=chebyshev,partition=alternate").patches
        == [Int](repeating: 191, count: 12))
  }

  /// Every method that takes a budget reaches it to the token, where its steps allow it.
  @Test(arguments: towerBudgets) func budgetsAreReached(keep: Int) throws { try expectBudget("zero-tprune", keep) }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(
      of: ZeroTPrune.self, ("a connector that fuses 4 patches into one token", { $0.tower!.fuse == 4 }))
  }

  @Test func zeroTPruneRefusesWhatIsNotThere() {
    #expect(throws: CompressionError.self) { try TowerStage().run("zero-tprune:blocks=0,similar=99") }
    #expect(throws: CompressionError.self) { try TowerStage().run("zero-tprune:blocks=12,similar=9") }
    #expect(throws: CompressionError.self) { try TowerStage(blocks: 6).run("zero-tprune:schedule=vtok-deit-s-3.97") }
  }
}
