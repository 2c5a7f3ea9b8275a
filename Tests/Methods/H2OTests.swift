import GoldenRunner
import Testing
import VTok

@Suite struct H2OTests {
  @Test(arguments: Goldens.of(H2O.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: H2O.self, "heavy recent gqa=refused keep")
  }

  @Test(arguments: [
    "h2o:heavy=3", "h2o:recent=3", "h2o:heavy=3,recent=3,keep=9",
  ]) func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  @Test(arguments: LanguageStage.seeds) func h2oKeepsTheLatestOfEveryHead(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    for (step, caches) in try stage.run("h2o:heavy=5,recent=4", steps: 4).caches.enumerated() {
      for cache in caches {
        #expect(cache.count == 4, "one sequence per head")
        let last = Int32(stage.tokens.count + step)
        #expect(cache.allSatisfy { $0.count == 9 && Array($0.id.suffix(4)) == Array(last - 4..<last) })
        #expect(cache.allSatisfy { $0.id == $0.id.sorted() && Set($0.id).count == 9 })
      }
    }
    let half = try stage.run("h2o:keep=0.5").caches.last![0]
    #expect(half.allSatisfy { $0.count == stage.tokens.count / 2 })
  }

  /// Heads of a group keep the same entries, chosen by their mean.
  @Test func groupsShareOneChoice() throws {
    let stage = LanguageStage(seed: 3, kvHeads: 2)
    for caches in try stage.run("h2o:gqa=mean,heavy=5,recent=4", steps: 3).caches {
      #expect(caches.allSatisfy { $0.count == 2 && $0.allSatisfy { $0.count == 9 } })
    }
  }

  /// Where all entries are equal, the first ones stay.
  @Test func theSmallerIndexWinsTies() throws {
    let stage = LanguageStage(seed: 2, isConstant: true)
    let caches = try stage.run("h2o:heavy=3,recent=2", steps: 0).caches[0][0]
    #expect(caches.allSatisfy { Array($0.id.prefix(3)) == [0, 1, 2] })
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(of: H2O.self, ("heads on 2 cached ones", { $0.decoder!.kvHeads < $0.decoder!.heads }))
  }

  @Test func misfitsAreRefusedBeforeWeightsLoad() throws {
    for (spec, shape) in [
      ("h2o", SmallShapes.language(kvHeads: 2)),
      ("h2o", SmallShapes.vit),
    ] { try expectRefusal(spec, for: shape) }
  }
}
