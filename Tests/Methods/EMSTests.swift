import GoldenRunner
import Testing
import VTok

/// There is no official code: the goldens are a reference of our own.
@Suite struct EMSTests {
  @Test(arguments: Goldens.of(EMS.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: EMS.self, "window=32 mass=0.95 tau=0.6 combine=max keys=renormalised keep")
  }

  @Test(arguments: ["ems:tau=2", "ems:mass=1.5", "ems:keys=short"]) func optionsAreChecked(_ spec: String) {
    expectMistake(spec)
  }

  // MARK: What it keeps

  @Test(arguments: LanguageStage.seeds) func everyHeadKeepsItsBudget(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed, kvHeads: 2)
    let n = stage.tokens.count
    for spec in ["ems:window=4,keep=0.5", "ems:window=4,keep=0.5,tau=-1,mass=1", "ems:window=4,keep=0.5,keys=linear"] {
      for cache in try stage.run(spec).caches[0] {
        #expect(cache.count == 2 && cache.allSatisfy { $0.count == n / 2 && $0.id == $0.id.sorted() })
        #expect(cache.allSatisfy { Array($0.id.suffix(4)) == (n - 4..<n).map { Int32($0) } })
      }
    }
    // Where every likeness does, all that is not a centre is merged and nothing is lost.
    let all = try stage.run("ems:window=4,keep=0.5,tau=-1,mass=1").caches[0]
    #expect(all.allSatisfy { $0.allSatisfy { Set($0.origin.patches) == Set(stage.tokens.origin.patches) } })
  }

  /// Of keys alone and values alone, each with weights of its own; the anchor gives the rest.
  @Test func keysAndValuesAreWeightedApart() {
    var cache = TokenSequence(
      x: Tensor([1, 2, 10, 20, 3, 4, 30, 40], shape: [2, 4]), kind: [.text, .text], origin: Origin([nil, nil]))
    cache.apply(Reduction(rows: [[1, 0]], of: 2, blend: .entries(keys: [1, 0.5], values: [0.25, 0.75])))
    #expect(cache.x.values == [3.5, 5, 15, 25] && cache.id == [1] && cache.mass == [2])
  }

  // MARK: Refusals

  @Test func servesEveryFamily() throws { try expectRefusals(of: EMS.self) }

  @Test func theWindowMustFit() throws { try expectRefusal("ems:keep=32", for: SmallShapes.language()) }
}
