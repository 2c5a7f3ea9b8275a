import TestSupport
import Testing
import VTok

/// Rows that Qwen3-VL adds to its visual tokens behind the first layers: a column of the sequence.
@Suite struct DeepStackTests {
  private static func noise(_ rows: Int, seed: UInt64) -> Tensor {
    var generator = SeededGenerator(seed: seed)
    return Tensor((0..<rows * 6).map { _ in generator.uniform() - 0.5 }, shape: [rows, 6])
  }

  private static func tokens(_ rows: Int, stages: Int, seed: UInt64 = 1) -> TokenSequence {
    var tokens = TokenSequence(
      x: noise(rows, seed: seed), kind: (0..<rows).map { _ in .patch }, origin: Origin((0..<rows).map { $0 }))
    for stage in 0..<stages { tokens.postpone(noise(rows, seed: seed + 10 + UInt64(stage))) }
    return tokens
  }

  /// Added and then reduced is reduced and then added, whatever the reduction.
  @Test(arguments: [
    Reduction.Blend.byMass, .byCount, .weighted([0.5, 0.25, 0.75, 2, 1, 0.125]),
  ]) func reductionsCommute(_ blend: Reduction.Blend) {
    let reduction = Reduction(rows: [[4, 1], [0], [6, 2, 7]], of: 9, blend: blend)
    var early = Self.tokens(9, stages: 2)
    early.settle()
    early.apply(reduction)
    early.settle()
    var late = Self.tokens(9, stages: 2)
    late.apply(reduction)
    late.settle()
    late.settle()
    #expect(early.pending.isEmpty && late.pending.isEmpty)
    #expect(distance(early.x.values, late.x.values) < 1e-5)
    #expect(distance(early.x.values, Self.tokens(9, stages: 2).reduced(reduction).x.values) > 1e-2)
  }

  @Test func textGetsNothing() {
    var prompt = Self.tokens(2, stages: 0)
    prompt.append(Self.tokens(3, stages: 2, seed: 5))
    prompt.append(Self.tokens(1, stages: 0, seed: 6))
    let before = prompt.x
    #expect(prompt.pending.map(\.shape) == [[6, 6], [6, 6]])
    prompt.settle()
    #expect(prompt.x.gathered([0, 1, 5]) == before.gathered([0, 1, 5]))
    #expect(prompt.x.gathered([2, 3, 4]) != before.gathered([2, 3, 4]))
    #expect(prompt.carrying(Tensor(zeros: [6, 2])).pending.isEmpty)
  }

  /// A prompt that begins with the same rows but other pending ones is another one.
  @Test func sharedPrefixesSeeThem() {
    let tokens = Self.tokens(4, stages: 1)
    var other = Self.tokens(4, stages: 0)
    #expect(tokens.begins(with: tokens.rows(0..<3)) && !tokens.begins(with: other.rows(0..<3)))
    other.postpone(Tensor(zeros: [4, 6]))
    #expect(other.begins(with: Self.tokens(4, stages: 0).rows(0..<3)))
  }

  /// Three mergers beside the main one: the connector costs four times as much.
  @Test(arguments: ["qwen3-vl-2b", "qwen3-vl-4b", "qwen3-vl-8b"]) func mergersAreInTheLedger(_ name: String) throws {
    let outline = try #require(ModelOutline.published(name))
    let (tower, decoder) = (try #require(outline.shape.tower), try #require(outline.shape.decoder))
    #expect(outline.shape.connectorMACs == 4 * (16 * tower.width * tower.width + 4 * tower.width * decoder.width))
    #expect(decoder.headDim == 128 && decoder.isInterleaved)
    let trace = try Rehearsal.trace([], of: outline, prompt: .init(picture: Size(width: 640, height: 480)))
    #expect(trace.connected == 300)
  }
}
