import GoldenRunner
import Testing
import VTok

@Suite struct PyramidKVTests {
  @Test(arguments: Goldens.of(PyramidKV.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(
      of: PyramidKV.self, "window=32 kernel=5 pool=average aggregate=mean granularity=kv-head beta=20 capacity keep")
  }

  @Test(arguments: ["pyramidkv:kernel=4", "pyramidkv:beta=0", "pyramidkv:capacity=40,keep=0.5"])
  func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  @Test(arguments: LanguageStage.seeds) func budgetsFallFromLayerToLayer(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    let n = stage.tokens.count
    let counts = try stage.run("pyramidkv:window=2,capacity=12").caches[0].map { $0[0].count }
    // (12 - 2) / 20 = 0, so from 2 + 20 down in steps of 4.
    #expect(counts == [22, 18, 14, 10, 6, 2])
    let even = try stage.run("pyramidkv:window=2,capacity=\(n / 2 + 4)").caches[0].map { $0[0].count }
    #expect(even == [Int](repeating: n / 2 + 4, count: 6), "a prompt shorter than twice the budget")
    let share = try stage.run("pyramidkv:window=2,keep=0.4").caches[0].map { $0[0].count }
    #expect(zip(share, share.dropFirst()).allSatisfy { $0 >= $1 })
    #expect(abs(share.reduce(0, +) - Int(2.4 * Double(n))) <= 6)
  }

  // MARK: Refusals

  @Test func servesEveryFamily() throws { try expectRefusals(of: PyramidKV.self) }

  @Test func theWindowMustFit() throws { try expectRefusal("pyramidkv:capacity=32", for: SmallShapes.language()) }
}
