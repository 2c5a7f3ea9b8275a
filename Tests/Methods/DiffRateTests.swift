import GoldenRunner
import Testing
import VTok

@Suite struct DiffRateTests {
  @Test(arguments: Goldens.of(DiffRate.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: DiffRate.self, "preset prune merge rates keep")
  }

  @Test(arguments: [
    "diffrate:preset=vit-s-deit-9", "diffrate:prune=197/100", "diffrate:prune=197/1,merge=197/1",
    "diffrate:preset=vit-s-deit-2.9,keep=3",
  ]) func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  @Test func countsMatchTheSchedule() throws {
    #expect(
      try TowerStage().run("diffrate:preset=vit-s-deit-2.9").patches
        == [196, 193, 175, 155, 140, 132, 120, 106, 87, 63, 55, 2])
  }

  /// Every method that takes a budget reaches it to the token, where its steps allow it.
  @Test(arguments: towerBudgets) func budgetsAreReached(keep: Int) throws { try expectBudget("diffrate", keep) }

  /// DiffRate sorts by importance even where it removes nothing.
  @Test func diffRateOnlySorts() throws {
    let run = try TowerStage().run("diffrate:keep=1.0")
    #expect(run.tokens.id.sorted() == run.input.id)
    #expect(run.tokens.id[0] == 0)
  }

  @Test func ratesComeFromAFile() throws {
    let counts = [197, 190, 180, 170, 160, 150, 140, 130, 120, 110, 100, 50].map(Double.init)
    func made(_ file: OptionFile) throws -> TowerStage.Result {
      let methods = try MethodSpec("diffrate:rates=counts.json").make(budget: nil) { _ in file }
      return try TowerStage().run(methods)
    }
    let file = OptionFile(lists: ["prune": counts, "merge": counts], schema: "vtok-rates/1")
    #expect(try made(file).patches == counts.map { Int($0) - 1 })
    #expect(throws: MethodError.self) { try made(OptionFile(lists: file.lists)) }
    #expect(throws: MethodError.self) { try made(OptionFile(lists: ["prune": counts], schema: "vtok-rates/1")) }
    #expect(throws: MethodError.self) {
      try made(OptionFile(lists: ["prune": counts, "merge": [1]], schema: "vtok-rates/1"))
    }
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(of: DiffRate.self, ("0 prefix tokens", { $0.tower?.prefix == 0 }))
  }

  @Test func diffRateRefusesWhatItCannotServe() {
    #expect(throws: CompressionError.self) { try TowerStage(prefix: 2).run("diffrate") }
    #expect(throws: CompressionError.self) { try TowerStage(prefix: 0).run("diffrate") }
    #expect(throws: CompressionError.self) { try TowerStage(side: 16).run("diffrate:preset=vit-s-deit-2.9") }
    #expect(throws: CompressionError.self) { try TowerStage().run("diffrate:prune=197/100,merge=197/50") }
  }
}
