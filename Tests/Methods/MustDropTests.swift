import GoldenRunner
import Testing
import VTok

@Suite struct MustDropTests {
  @Test(arguments: Goldens.of(MustDrop.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(
      of: MustDrop.self,
      "target=192 global=0.001 individual=0.001 layers vision=on window=3 similarity=0.8 keys=0.08")
  }

  @Test(arguments: [
    "mustdrop:target=100", "mustdrop:global=2", "mustdrop:layers=1.5",
  ]) func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  @Test(arguments: LanguageStage.seeds) func mustDropCutsCachesToTheFinalTokens(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    let run = try stage.run("mustdrop:vision=off,layers=2/4,global=0.03,individual=0.5")
    let final = run.entering[5].id
    #expect(final.count < stage.tokens.count && zip(run.visual, run.visual.dropFirst()).allSatisfy { $0 >= $1 })
    #expect(run.caches[0][0][0].id == stage.tokens.id, "layers before the first stage keep all")
    for layer in 1...5 { #expect(run.caches[0][layer][0].id == final) }
    // Later steps only grow.
    #expect(run.caches[2][3][0].count == final.count + 2)
    let nothing = try stage.run("mustdrop:vision=off,layers=2/4,global=1,individual=0")
    #expect(nothing.visual.allSatisfy { $0 == stage.visual }, "no token lies below an individual threshold of 0")
  }

  @Test func mustDropFitsAWholeModel() throws {
    _ = try Composition(try MethodSpec("mustdrop:layers=2/4").make(budget: nil), for: SmallShapes.window)
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(of: MustDrop.self, ("no class token", { $0.tower?.hasClassifier == false }))
  }

  @Test func misfitsAreRefusedBeforeWeightsLoad() throws {
    for (spec, shape) in [
      ("mustdrop:layers=2/4", SmallShapes.language()),
      ("mustdrop:layers=2/4,window=4", SmallShapes.window),
      ("mustdrop:layers=2/9", SmallShapes.window),
    ] { try expectRefusal(spec, for: shape) }
  }
}
