import GoldenRunner
import Testing
import VTok

/// The amounts, and the rule against a plain restatement of it.
@Suite struct DivPruneTests {
  @Test(arguments: Goldens.of(DivPrune.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: DivPrune.self, "order=sorted parts=joint keep")
  }

  // MARK: What it keeps

  @Test(arguments: TileStage.seeds) func divpruneKeepsItsShareOfEveryImage(seed: UInt64) throws {
    let stage = PromptStage(seed: seed)
    let run = try stage.run("divprune:keep=0.3")
    for (before, after) in zip(stage.spans, run.visual) {
      #expect(after == Budget.ratio(0.3).tokens(of: before.count))
    }
  }

  @Test(arguments: 0..<12) func divpruneTakesTheFarthestEachTime(seed: UInt64) {
    let x = noiseRows(40, 6, seed: seed)
    var notes = Notes()
    let chosen = DivPrune.select(x, keep: 15, notes: &notes)
    #expect(Set(chosen).count == 15)
    func nearest(_ token: Int, _ set: some Sequence<Int>) -> Double {
      set.map { 1 - cosine(x, token, $0) }.min()!
    }
    // Whoever was taken was, within float noise, the best choice at that moment.
    let isolation = (0..<40).map { token in nearest(token, (0..<40).filter { $0 != token }) }
    #expect(isolation[chosen[0]] >= isolation.max()! - 1e-5)
    for step in 1..<15 {
      let taken = chosen[..<step]
      let best = (0..<40).filter { !taken.contains($0) }.map { nearest($0, taken) }.max()!
      #expect(nearest(chosen[step], taken) >= best - 1e-5)
    }
    #expect(notes.macs == 40 * 40 * 6 && notes.margin.isFinite)
  }

  @Test func divpruneSurvivesDuplicatesAndZeros() {
    var notes = Notes()
    let same = Tensor([Float](repeating: 1, count: 5 * 3), shape: [5, 3])
    #expect(Set(DivPrune.select(same, keep: 5, notes: &notes)) == Set(0..<5))
    let zeros = Tensor(zeros: [4, 3])
    #expect(Set(DivPrune.select(zeros, keep: 3, notes: &notes)).count == 3)
    #expect(DivPrune.select(Tensor([1, 2], shape: [1, 2]), keep: 1, notes: &notes) == [0])
    #expect(DivPrune.select(same, keep: 0, notes: &notes).isEmpty)
  }

  /// Where all tokens are equal, the first ones stay.
  @Test func theSmallerIndexWinsTies() throws {
    let prompt = PromptStage(seed: 3, isConstant: true)
    let image = Int32(prompt.spans[0].lowerBound)
    let cut = try prompt.run("divprune:keep=3").tokens
    #expect(cut.rows(.patch).prefix(3).map { cut.id[$0] } == [image, image + 1, image + 2])
  }

  // MARK: Refusals

  @Test func servesEveryFamily() throws { try expectRefusals(of: DivPrune.self) }
}
