import GoldenRunner
import Testing
import VTok

@Suite struct ElasticCacheTests {
  @Test(arguments: Goldens.of(ElasticCache.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: ElasticCache.self, "policy=elastic mode=official start=1 distance=-25 keep")
  }

  @Test(arguments: [
    "elastic-cache:policy=lru", "elastic-cache:start=-1",
  ]) func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  @Test(arguments: LanguageStage.seeds) func elasticCacheHoldsItsBudget(seed: UInt64) throws {
    for heads in [4, 2] {
      let stage = LanguageStage(seed: seed, kvHeads: heads)
      let n = stage.tokens.count
      for mode in ["official", "paper"] {
        let run = try stage.run("elastic-cache:keep=0.5,mode=\(mode)", steps: 6)
        let excess = Int(Double(n) - Double(n) * 0.5)
        for (step, caches) in run.caches.enumerated() {
          for cache in caches {
            let limit = Double(n + step) * 0.5
            #expect(step > 0 || cache[0].count == n - excess - 1)
            #expect(Double(cache[0].count) < limit + 1)
          }
        }
      }
      let merged = try stage.run("elastic-cache:keep=0.5").caches[0][0][0]
      #expect(merged.id.first == 0 && merged.id.last == stage.tokens.id.last)
    }
  }

  @Test(arguments: LanguageStage.seeds) func localCacheKeepsStartAndEnd(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    for step in try stage.run("elastic-cache:policy=local,start=3,keep=12", steps: 4).caches {
      let ids = step[2][0].id
      #expect(ids.count == 12 && Array(ids.prefix(3)) == [0, 1, 2])
      #expect(Array(ids.dropFirst(3)) == Array(ids.last! - 8...ids.last!))
    }
  }

  @Test(arguments: LanguageStage.seeds) func oneDecisionForAllLayers(seed: UInt64) throws {
    for step in try LanguageStage(seed: seed).run("elastic-cache:policy=h2o-elasticrepo,keep=0.5", steps: 4).caches {
      #expect(step.allSatisfy { $0[0].id == step[0][0].id })
    }
  }

  @Test func lengthsMustAgreeForOneDecision() throws {
    #expect(throws: CompressionError.self) {
      try LanguageStage(seed: 1).run("fastv:keep=0.3+elastic-cache:policy=h2o-elasticrepo,keep=0.5")
    }
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(
      of: ElasticCache.self, ("positions of three axes (M-RoPE)", { $0.decoder?.sections.isEmpty == false }))
  }

  @Test func misfitsAreRefusedBeforeWeightsLoad() throws {
    for (spec, shape) in [
      ("elastic-cache", SmallShapes.language(sections: [1, 1, 0]))
    ] { try expectRefusal(spec, for: shape) }
  }
}
