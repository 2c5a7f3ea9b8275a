import GoldenRunner
import Testing
import VTok

@Suite struct DARTTests {
  @Test(arguments: Goldens.of(DART.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(
      of: DART.self,
      "tokens reduction layer=2 visual-pivots=4 text-pivots=4 order=official stage=layer keep")
  }

  @Test(arguments: [
    "dart:tokens=4,reduction=0.5", "dart:tokens=4,keep=9", "dart:reduction=2", "dart:layer=0",
  ]) func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  @Test(arguments: TileStage.seeds) func dartKeepsPivotsAndWhatTheyPick(seed: UInt64) throws {
    let stage = PromptStage(seed: seed)
    let total = stage.spans.reduce(0) { $0 + $1.count }
    let texts = min(4, stage.textAfter)
    for (spec, picked) in [("dart:tokens=17", 17), ("dart:reduction=0.5", total / 2)] {
      let run = try stage.run(spec)
      #expect(run.visual.reduce(0, +) == 4 + min(picked, total - 4) / 8 * (4 + texts))
    }
    let budgeted = try stage.run("dart:keep=0.5").visual.reduce(0, +)
    #expect(abs(budgeted - Budget.ratio(0.5).tokens(of: total)) <= (4 + texts + 1) / 2)
    let perImage = try stage.run("dart:stage=embeddings,keep=0.5").visual
    #expect(
      zip(perImage, stage.spans).allSatisfy { left, span in
        abs(left - Budget.ratio(0.5).tokens(of: span.count)) <= (4 + texts + 1) / 2 && left >= 4
      })
  }

  /// `list(set(values).copy())` of CPython 3.11: small tables, one that the copy shrinks, one that it grows.
  static let sets: [(values: [Int], order: [Int])] = [
    ([657, 281, 387], [657, 387, 281]),
    ([687, 562, 49, 496, 275, 684], [496, 49, 562, 275, 684, 687]),
    ([73, 180, 135, 400, 500, 272, 409, 576], [576, 135, 73, 400, 272, 180, 500, 409]),
    (
      [124, 607, 275, 33, 241, 437, 306, 206, 418, 183, 93, 162, 652, 475, 149, 155],
      [652, 206, 275, 149, 155, 475, 93, 607, 33, 418, 162, 241, 306, 437, 183, 124]
    ),
  ]

  @Test(arguments: sets) func dartVisitsPivotsAsPythonDoes(_ values: [Int], order: [Int]) {
    #expect(DART.setOrder(values) == order)
  }

  /// Where all tokens are equal, the first ones stay.
  @Test func theSmallerIndexWinsTies() throws {
    let prompt = PromptStage(seed: 3, isConstant: true)
    let image = Int32(prompt.spans[0].lowerBound)
    let dart = try prompt.run("dart:keep=0.5").tokens
    #expect(dart.rows(.patch).prefix(4).map { dart.id[$0] } == (0..<4).map { image + $0 })
  }

  @Test func whatCannotBeReachedIsAnError() throws {
    #expect(throws: CompressionError.self) { try PromptStage(seed: 1).run("dart:keep=1") }
  }

  // MARK: Refusals

  @Test func servesEveryFamily() throws { try expectRefusals(of: DART.self) }

  @Test func misfitsAreRefusedBeforeWeightsLoad() throws {
    for (spec, shape) in [
      ("dart", SmallShapes.tiles(layout: nil)),
      ("dart:layer=4", SmallShapes.tiles()),
      ("dart:stage=embeddings", SmallShapes.tiles(layout: nil)),
    ] { try expectRefusal(spec, for: shape) }
  }
}
