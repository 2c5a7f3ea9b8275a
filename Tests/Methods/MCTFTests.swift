import GoldenRunner
import Testing
import VTok

@Suite struct MCTFTests {
  @Test(arguments: Goldens.of(MCTF.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(
      of: MCTF.self,
      "r floor=10 blocks ahead=carried similarity=1 information=20 size=40 both-ways=on pooling=importance prop-attn=on "
        + "keep")
  }

  @Test(arguments: ["mctf:r=16,keep=0.5", "mctf:blocks=3/3", "mctf:similarity=-1"])
  func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  /// As the page of the published evaluation counts DeiT-S: 16 fewer in every block but the first, down to ten tokens.
  @Test func countsMatchTheSchedule() throws {
    let run = try TowerStage().run("mctf:r=16")
    // A fusion before block l is seen behind block l - 1 here.
    let counts = [181, 165, 149, 133, 117, 101, 85, 69, 53, 37, 21, 21].map { $0 - 1 }
    #expect(run.patches == counts)
    #expect(try TowerStage().run("mctf:r=40").patches.last == 9, "ten tokens are left")
    let shares = try TowerStage().run("mctf:r=0.35,blocks=3/6/9").patches
    #expect(shares == [196, 196, 128, 128, 128, 84, 84, 84, 55, 55, 55, 55])
    #expect(run.tokens.origin.patches.count == 196)
  }

  @Test(arguments: towerBudgets) func budgetsAreReached(keep: Int) throws { try expectBudget("mctf", keep) }

  /// Columns of tokens that fuse are added, rows averaged: every row still adds up to 1.
  @Test func carriedAttentionIsStillAttention() {
    let x = noiseRows(12, 4, seed: 3)
    let lines = noiseRows(24, 12, seed: 4)
    let attention = Tensor((0..<24).flatMap { softmax(Array(lines.row($0))) }, shape: [2, 12, 12])
    var notes = Notes()
    let reduction = MCTF.fuse(x, attention: attention, size: nil, removing: 5, prefix: 1, .init(), notes: &notes)
    #expect(reduction.count == 7 && Array(reduction.row(0)) == [0])
    #expect(reduction.members.sorted() == (0..<12).map { Int32($0) })
    let tokens = TokenSequence(
      x: x, kind: [TokenKind](repeating: .patch, count: 12), origin: Origin((0..<12).map { $0 }))
    let carried = tokens.carrying(attention, through: reduction)
    #expect(carried.shape == [2, 7, 7])
    for row in 0..<14 { #expect(abs(carried.row(row).reduce(0, +) - 1) < 1e-5) }
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(of: MCTF.self, ("a probe of a block", { $0.tower!.fuse == 4 }))
  }

  @Test func blocksMustExist() throws {
    try expectRefusal("mctf:blocks=4", for: SmallShapes.vit)
    try expectRefusal("mctf", for: Shape(tower: nil, decoder: SmallShapes.decoder))
  }
}
