import GoldenRunner
import TestSupport
import Testing
import VTok

@Suite struct StreamingLLMTests {
  @Test(arguments: Goldens.of(StreamingLLM.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: StreamingLLM.self, "mode=rolling start=4 rerotate=off recent keep")
  }

  @Test(arguments: ["streaming-llm:rerotate=on", "streaming-llm:recent=9,keep=0.5", "streaming-llm:recent=0"])
  func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  @Test(arguments: LanguageStage.seeds) func keepsTheFirstAndTheLatest(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    let n = stage.tokens.count
    for (step, caches) in try stage.run("streaming-llm:start=2,recent=7", steps: 3).caches.enumerated() {
      let latest = (n + step - 7..<n + step).map { Int32($0) }
      #expect(caches.allSatisfy { $0.count == 1 && $0[0].id == [0, 1] + latest })
    }
    for (step, caches) in try stage.run("streaming-llm:mode=prefill,start=2,keep=0.5").caches.enumerated() {
      #expect(caches.allSatisfy { $0[0].count == n / 2 + step && Array($0[0].id.prefix(2)) == [0, 1] })
    }
  }

  /// Rows stand at their places after every step, and a new token behind them.
  @Test func positionsArePlaces() throws {
    let test = DecoderCase(seed: 2, isWide: false, isGrouped: true)
    let model = try test.reference.model()
    for spec in ["streaming-llm:start=2,recent=5", "streaming-llm:mode=prefill,rerotate=on,start=2,keep=0.5"] {
      var run = try decoderRun(MethodSpec(spec).make(budget: nil), on: model, image: test.image)
      var decoding = try model.prefill(test.prompt, run: &run)
      for token in test.fed {
        for cache in decoding.caches { #expect(cache[0].position == (0..<cache[0].count).map { Position($0) }) }
        try model.step(token, &decoding, run: &run)
      }
    }
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(of: StreamingLLM.self, ("three axes", { !$0.decoder!.sections.isEmpty }))
  }

  @Test func placesNeedOneAxis() throws {
    let axes = SmallShapes.language(sections: [1, 1, 0])
    try expectRefusal("streaming-llm:mode=prefill,rerotate=on", for: axes)
    _ = try Composition(MethodSpec("streaming-llm:mode=prefill").make(budget: .ratio(0.5)), for: axes)
    try expectRefusal("streaming-llm:keep=4", for: SmallShapes.language())
  }
}
