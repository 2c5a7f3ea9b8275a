import GoldenRunner
import TestSupport
import Testing
import VTok

@Suite struct MMTokTests {
  @Test(arguments: Goldens.of(MMTok.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: MMTok.self, "alpha=0.5 words features=0.2 keywords=auto ratio per-tile keep")
  }

  @Test func eitherAmount() { expectMistake("mmtok:per-tile=9,keep=3") }

  // MARK: What it reads

  /// LLaVA leaves small words out, Qwen-VL reads the question whole.
  @Test func wordsAreThoseOfTheModel() throws {
    let method = try MethodSpec("mmtok").make(budget: nil)[0]
    let (llava, qwen) = (TinyModels.model("llava15-tiny-d").shape, TinyModels.model("qwen25vl-tiny-a").shape)
    #expect(method.words(of: "Is the cat red?", for: llava) == ["cat", "red"])
    #expect(method.words(of: "Is the cat red?", for: qwen) == ["Question:", "Is", "the", "cat", "red?"])
    let off = try MethodSpec("mmtok:keywords=off").make(budget: nil)[0]
    #expect(off.words(of: "Is the cat red?", for: llava) == ["Is", "the", "cat", "red?"])
    #expect(MMTok.keywords(of: "  ") == "  " && MMTok.keywords(of: "the_cat's 2½") == "the_cat s 2½")
  }

  @Test func withoutAQuestionItIsRefused() throws {
    let model = TinyModels.model("llava15-tiny-d")
    let image = TinyModels.noise(for: model, seed: 1)
    var run = Run(try Composition(MethodSpec("mmtok:keep=9").make(budget: nil), for: model.shape))
    #expect(throws: CompressionError.self) {
      try model.prefill(TinyModels.prompt(model, [image]), [image], run: &run)
    }
  }

  // MARK: What it keeps

  /// A word alone picks what it points at; without words the image covers itself.
  @Test func wordsPick() {
    let x = noiseRows(20, 8, seed: 1)
    var notes = Notes()
    var coverage = MMTok.Coverage()
    coverage.alpha = 0
    for token in [0, 7, 19] {
      let word = x.gathered([token])
      let chosen = MMTok.select(x, x, word, keep: 1, coverage, temperature: 0.02, notes: &notes)
      #expect(chosen == [token])
      let other = MMTok.select(x, x, word, keep: 3, excluded: [token], coverage, temperature: 0.02, notes: &notes)
      #expect(Set(other).count == 3 && !other.contains(token))
    }
    let silent = MMTok.select(
      x, x, Tensor(zeros: [0, 8]), keep: 5, MMTok.Coverage(), temperature: 0.02, notes: &notes)
    #expect(Set(silent).count == 5)
  }

  @Test(arguments: TileStage.seeds) func everyTileKeepsTheSame(seed: UInt64) throws {
    let stage = TileStage(seed: seed)
    #expect(try stage.run("mmtok:per-tile=6").packed.count == 6 * stage.tiles.count)
  }

  /// Only where the picture was padded, and only whole lines of patches.
  @Test func paddingIsNoCandidate() {
    #expect(MMTok.padding(width: 100, height: 100, side: 56, patch: 7) == [])
    #expect(MMTok.padding(width: 100, height: 50, side: 56, patch: 7) == [0..<16, 48..<64])
    #expect(MMTok.padding(width: 50, height: 100, side: 56, patch: 7).allSatisfy { $0.count == 2 || $0.count == 4 })
  }

  /// Where all tokens are equal, the first ones stay.
  @Test func theSmallerIndexWinsTies() {
    let x = Tensor([Float](repeating: 1, count: 40), shape: [10, 4])
    var notes = Notes()
    let chosen = MMTok.select(x, x, x.gathered([0]), keep: 4, MMTok.Coverage(), temperature: 0.02, notes: &notes)
    #expect(chosen == [0, 1, 2, 3])
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(
      of: MMTok.self, ("joins patches", { $0.layout?.hasSpanPerTile == true }), ("no connector", { $0.layout == nil }))
  }
}
