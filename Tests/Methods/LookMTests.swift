import GoldenRunner
import Testing
import VTok

@Suite struct LookMTests {
  @Test(arguments: Goldens.of(LookM.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws { try expectOptions(of: LookM.self, "heavy recent keep") }

  @Test(arguments: ["look-m:heavy=2", "look-m:heavy=0.1,keep=0.5"]) func optionsAreChecked(_ spec: String) {
    expectMistake(spec)
  }

  // MARK: What it keeps

  /// All text, the latest entries, and of the picture as many in every head as there is room for.
  @Test(arguments: LanguageStage.seeds) func textStaysAndThePictureIsMerged(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    let (n, text) = (stage.tokens.count, Set(stage.tokens.rows(.text).map { stage.tokens.id[$0] }))
    let (heavy, recent) = (Int(Double(n) * 0.4), Int(Double(n) * 0.2))
    let early = text.count { $0 < Int32(n - recent) }
    for cache in try stage.run("look-m:heavy=0.4,recent=0.2").caches[0] {
      #expect(cache.count == 4 && cache.allSatisfy { $0.count == max(heavy, early) + recent })
      #expect(cache.allSatisfy { Set($0.id).isSuperset(of: text) && $0.id == $0.id.sorted() })
      // Nothing of the picture is gone: it was merged, into text too.
      #expect(cache.allSatisfy { Set($0.origin.patches) == Set(stage.tokens.origin.patches) })
    }
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(of: LookM.self, ("heads on 2 cached ones", { $0.decoder!.kvHeads < $0.decoder!.heads }))
  }
}
