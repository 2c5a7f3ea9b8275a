import Testing
import VTok

@Suite struct RandomPatchesTests {
  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: RandomPatches.self, "at=block block keep")
  }

  // MARK: What it keeps

  @Test func countsMatchTheSchedule() throws {
    #expect(
      try TowerStage().run("random:block=2,keep=49").patches
        == [196, 196] + [Int](repeating: 49, count: 10))
  }

  /// Every method that takes a budget reaches it to the token, where its steps allow it.
  @Test(arguments: towerBudgets) func budgetsAreReached(keep: Int) throws { try expectBudget("random", keep) }

  @Test func chanceIsSeededPerImage() {
    func sample(_ seed: UInt64) -> [Int] {
      var generator = SeededGenerator(seed: seed)
      return generator.sample(10, below: 100)
    }
    #expect(sample(1) == sample(1) && sample(1) != sample(2))
    #expect(mixedSeed(0, "a.jpg") != mixedSeed(0, "b.jpg") && mixedSeed(0, "a.jpg") != mixedSeed(1, "a.jpg"))
    // Every index is drawn about equally often.
    var counts = [Int](repeating: 0, count: 20)
    for seed in 0..<2000 {
      var generator = SeededGenerator(seed: UInt64(seed))
      for index in generator.sample(5, below: 20) { counts[index] += 1 }
    }
    #expect(counts.allSatisfy { (400...600).contains($0) }, "\(counts)")
  }

  // MARK: Refusals

  @Test func servesEveryFamily() throws { try expectRefusals(of: RandomPatches.self) }
}
