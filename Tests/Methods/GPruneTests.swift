import GoldenRunner
import Testing
import VTok

@Suite struct GPruneTests {
  @Test(arguments: Goldens.of(GPrune.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: GPrune.self, "similarity=0.5 temperature=0.03 iterations=5 ratio keep")
  }

  @Test func eitherAmount() { expectMistake("gprune:ratio=0.5,keep=3") }

  // MARK: What it keeps

  @Test(arguments: TileStage.seeds) func keepsItsShareOfEveryImage(seed: UInt64) throws {
    let stage = PromptStage(seed: seed)
    let run = try stage.run("gprune:keep=0.3")
    for (before, after) in zip(stage.spans, run.visual) {
      #expect(after == Budget.ratio(0.3).tokens(of: before.count))
    }
  }

  /// Without a step of the flow a token's score is its length over its neighbours, itself among them.
  @Test func lengthOverNeighbours() {
    var graph = GPrune.Graph()
    graph.iterations = 0
    // Three tokens in one direction, one alone at right angles.
    let x = Tensor([3, 0, 3.1, 0, 2.9, 0, 0, 2], shape: [4, 2])
    var notes = Notes()
    #expect(GPrune.select(x, keep: 1, graph, notes: &notes) == [3])
    #expect(GPrune.select(x, keep: 2, graph, notes: &notes) == [1, 3])
    #expect(notes.macs == 2 * 4 * 4 * 2)
  }

  /// Where all tokens are equal, the first ones stay.
  @Test func theSmallerIndexWinsTies() throws {
    let prompt = PromptStage(seed: 3, isConstant: true)
    let image = Int32(prompt.spans[0].lowerBound)
    let cut = try prompt.run("gprune:keep=3").tokens
    #expect(cut.rows(.patch).prefix(3).map { cut.id[$0] } == [image, image + 1, image + 2])
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(of: GPrune.self, ("no language model", { $0.decoder == nil }))
  }
}
