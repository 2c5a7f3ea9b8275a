import GoldenRunner
import TestSupport
import Testing
import VTok

@Suite struct PixelPruneTests {
  @Test(arguments: Goldens.of(PixelPrune.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: PixelPrune.self, "tau=0 metric=max scan=pred_2d anchored=on at=patches")
  }

  @Test(arguments: ["pixelprune:tau=2", "pixelprune:metric=other", "pixelprune:keep=0.5"])
  func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  /// Cells of one number each.
  private func kept(_ values: [Float], columns: Int, _ rule: PixelPrune.Rule = .init()) -> [Int] {
    PixelPrune.select(Tensor(values, shape: [values.count, 1]), columns: columns, rule)
  }

  @Test func cellsThatRepeatANeighbourLeave() {
    #expect(kept([1, 1, 1, 1, 1, 1], columns: 3) == [0], "a plain ground")
    #expect(kept([1, 2, 3, 4, 5, 6], columns: 3) == [0, 1, 2, 3, 4, 5])
    // A vertical edge: what is below it follows from above.
    #expect(kept([1, 2, 2, 1, 2, 2], columns: 3) == [0, 1])
    // A horizontal one: the rest of the second row follows from the left.
    #expect(kept([1, 1, 1, 2, 2, 2], columns: 3) == [0, 3])
    var rule = PixelPrune.Rule()
    rule.scan = .raster
    #expect(kept([1, 1, 2, 2, 2, 1], columns: 3, rule) == [0, 2, 5])
    rule.scan = .serpentine
    #expect(kept([1, 1, 2, 1, 2, 2], columns: 3, rule) == [0, 2, 3])
  }

  /// Small steps add up unless what left is taken for what stands for it.
  @Test func anchorsStopTheDrift() {
    let ramp = (0..<8).map { Float($0) * 0.03 }
    var rule = PixelPrune.Rule()
    rule.tau = 0.05
    #expect(kept(ramp, columns: 8, rule) == [0, 2, 4, 6])
    rule.isAnchored = false
    #expect(kept(ramp, columns: 8, rule) == [0])
    rule.metric = .exact
    #expect(kept(ramp, columns: 8, rule).count == 8)
  }

  /// A picture of squares through a whole model: fewer rows pass the tower, those that stay stand where they stood, and where
  /// nothing repeats nothing changes.
  @Test func towerAndPromptRunOnWhatIsLeft() throws {
    let model = TinyModels.model("qwen2vl-tiny-a")
    let tower = model.shape.tower!
    let (rows, columns) = (8, 12)
    let width = 3 * tower.frames * tower.patch * tower.patch
    func picture(_ shade: (Int) -> Float) -> PreparedImage {
      let values = (0..<rows * columns).flatMap { [Float](repeating: shade($0 / tower.fuse), count: width) }
      return PreparedImage(
        tiles: [Tensor(values, shape: [rows * columns, width])], rows: rows, columns: columns, original: Size(96))
    }
    func prompt(_ image: PreparedImage, _ methods: [any Compressor]) throws -> (tokens: TokenSequence, run: Run) {
      var run = Run(try Composition(methods, for: model.shape))
      let tokens = try model.prompt(TinyModels.prompt(model, [image]), [image], run: &run)
      return (tokens, run)
    }
    let plain = picture { $0 % 6 < 3 ? 0.25 : 0.75 }
    let (dense, few) = (try prompt(plain, []), try prompt(plain, [PixelPrune()]))
    #expect(few.tokens.rows(.patch).count == 2 && few.run.trace.tower.allSatisfy { $0.rows == [2 * tower.fuse] })
    let text = { (tokens: TokenSequence) in tokens.rows(.text).map { tokens.position[$0] } }
    #expect(text(few.tokens) == text(dense.tokens), "text stands where it did")
    for row in few.tokens.rows(.patch) {
      let anchor = few.tokens.origin.patches[few.tokens.origin.range(row).lowerBound]
      let same = dense.tokens.rows(.patch).first {
        dense.tokens.origin.patches[dense.tokens.origin.range($0).lowerBound] == anchor
      }
      #expect(dense.tokens.position[try #require(same)] == few.tokens.position[row])
    }
    let late = try prompt(plain, [PixelPrune(at: .pack)])
    #expect(late.tokens.rows(.patch).count == 2 && late.run.trace.tower[0].rows == [rows * columns])
    let busy = picture { Float($0) / 24 }
    #expect(try prompt(busy, [PixelPrune()]).tokens.x == prompt(busy, []).tokens.x)
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(
      of: PixelPrune.self, ("the tower's own size", { $0.layout?.tiling != .native }),
      ("inside windows", { $0.tower!.windows != nil }))
  }
}
