import GoldenRunner
import Testing
import VTok

@Suite struct SCOPETests {
  @Test(arguments: Goldens.of(SCOPE.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws { try expectOptions(of: SCOPE.self, "alpha=1 combine=multi total keep") }

  @Test func eitherAmount() { expectMistake("scope:total=9,keep=3") }

  // MARK: What it keeps

  /// Whoever was taken covered, within float noise, the most at that moment.
  @Test(arguments: 0..<8) func theBestCoverEachTime(seed: UInt64) {
    let x = noiseRows(24, 5, seed: seed)
    let saliency = noiseRows(1, 24, seed: seed ^ 9).values.map(abs)
    var notes = Notes()
    let chosen = SCOPE(.perTile(9)).select(x, saliency: saliency, keep: 9, notes: &notes)
    #expect(Set(chosen).count == 9)
    var covered = [Double](repeating: 0, count: 24)
    for step in chosen.indices {
      let scores = (0..<24).map { token -> Double in
        var gain = 0.0
        for other in 0..<24 { gain += max(0, cosine(x, other, token) - covered[other]) }
        return gain * Double(saliency[token])
      }
      let best = scores.indices.filter { !chosen[..<step].contains($0) }.map { scores[$0] }.max()!
      #expect(scores[chosen[step]] >= best - 1e-4)
      for token in 0..<24 { covered[token] = max(covered[token], cosine(x, chosen[step], token)) }
    }
  }

  @Test(arguments: TileStage.seeds) func everyTileKeepsTheSame(seed: UInt64) throws {
    let stage = TileStage(seed: seed)
    let share = 23 / stage.tiles.count
    let run = try stage.run("scope:total=23")
    #expect(run.tiles.allSatisfy { $0.count == share } && run.packed.count == share * stage.tiles.count)
  }

  /// Where all tokens are equal, the first ones stay.
  @Test func theSmallerIndexWinsTies() throws {
    let run = try TileStage(seed: 3, side: 6, isConstant: true).run("scope:keep=0.25")
    #expect(run.tiles[0].id == (1...Int32(run.tiles[0].count)).map { $0 })
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(of: SCOPE.self, ("no class token", { $0.tower?.hasClassifier == false }))
  }
}
