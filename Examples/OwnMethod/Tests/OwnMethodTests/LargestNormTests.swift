import OwnMethod
import Testing
import VTok

@Suite struct LargestNormTests {
  /// A class token and four patches of one channel, as a run would show them; no model is there.
  @Test func keepsTheLargest() throws {
    let tokens = TokenSequence(
      x: Tensor([7, -9, 1, 8, 2], shape: [5, 1]), kind: [.classifier, .patch, .patch, .patch, .patch],
      origin: Origin([nil, 0, 1, 2, 3]))
    let view = View(sequences: [tokens], shape: Shape.published("deit-s")!)
    var (method, notes) = (LargestNorm(keep: .tokens(2)), Notes())
    let reductions = try method.reduce(view, at: .features, notes: &notes)
    #expect(reductions == [.keep([0, 1, 3], of: 5)])
    #expect(notes.margin == 60, "64 was kept and 4 was not")
  }

  /// On noise of a model's shapes, without its weights.
  @Test func reachesItsBudget() throws {
    let trace = try Rehearsal.trace([LargestNorm(keep: .ratio(0.25))], on: Shape.published("deit-s")!)
    #expect(trace.towerOutput == [1 + 49])
  }
}
