import GoldenRunner
import Testing
import VTok

/// There is no official code: the goldens are a reference of our own.
@Suite struct DeepRandomTests {
  @Test(arguments: Goldens.of(DeepRandom.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws { try expectOptions(of: DeepRandom.self, "layers ratios keep") }

  @Test(arguments: ["deep-random:layers=0", "deep-random:layers=1/2,ratios=0.5"])
  func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  @Test(arguments: LanguageStage.seeds) func halfIsLeftFromTwoThirdsOn(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    let n = stage.visual
    let half = Budget.ratio(0.5).tokens(of: n)
    let run = try stage.run("deep-random")
    #expect(run.visual == [n, n, n, n, half, half])
    #expect(run.entering[4].id == run.entering[4].id.sorted())
    #expect(try stage.run("deep-random:layers=2/3,ratios=0.5/0").visual.last == 0, "none may be left")
    #expect(try stage.run("deep-random:layers=3,keep=7").visual.last == 7)
  }

  /// Stages draw anew, and every token is drawn about equally often.
  @Test func chanceIsEven() throws {
    var counts = [Int](repeating: 0, count: 8)
    let noise = (0..<8).map { Float($0) }
    for seed in 0..<400 {
      var method = DeepRandom(layers: [1], keep: .ratios([0.5]))
      let tokens = TokenSequence(
        x: Tensor(noise, shape: [8, 1]), kind: [TokenKind](repeating: .patch, count: 8),
        origin: Origin((0..<8).map { $0 }))
      let image = ImageLayout(
        tileRows: 1, tileColumns: 1, side: 1, thumbnail: nil, width: 1, height: 1, spans: [0..<8])
      let view = View(sequences: [tokens], images: [image], shape: SmallShapes.language(), seed: UInt64(seed))
      var notes = Notes()
      for row in try method.reduce(view, at: .layer(1), notes: &notes)![0].members { counts[Int(row)] += 1 }
    }
    #expect(counts.reduce(0, +) == 1600 && counts.allSatisfy { (150...250).contains($0) }, "\(counts)")
  }

  // MARK: Refusals

  @Test func servesEveryFamily() throws { try expectRefusals(of: DeepRandom.self) }
}
