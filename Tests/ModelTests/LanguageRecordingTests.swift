import Foundation
import Synchronization
import TestSupport
import Testing
import VTok

/// What methods are shown of the decoder's layers, against `DoubleLlama`.
@Suite struct LanguageRecordingTests {
  private typealias Cutter = LanguageCutTests.Cutter

  @Test func recordingsAreWhatTheLayersFormed() throws {
    let reference = DoubleLlama()
    let model = try reference.model()
    let n = 150  // two blocks of queries
    let image = 5..<120
    let record: [Site: Request] = [
      .layer(0): Request(probe: .text), .layer(1): Request(attention: .text, probe: .last, keys: true, branches: true),
      .layer(2): Request(attention: .all, probe: .all, summed: true, finalNorm: true),
      .layer(3): Request(attention: .last, values: .logits), .cache(0): Request(attention: .text, values: .logits),
    ]
    let method = Cutter([:], PositionRule(cut: .original, decode: .next), record: record)
    var run = try decoderRun([method], on: model, image: image)
    _ = try model.prefill(reference.prompt(n, image: image), run: &run, threads: 2)
    let expected = reference(reference.prompt(n).x)
    let views = Dictionary(uniqueKeysWithValues: method.box.views.withLock { $0.map { ($0.site, $0.view) } })
    func rows(_ attention: [[[Double]]], _ rows: Range<Int>) -> [Double] { attention.flatMap { $0[rows].joined() } }
    func sums(_ attention: [[[Double]]]) -> [Double] {
      attention.flatMap { rows in (0..<n).map { key in rows.reduce(0) { $0 + $1[key] } } }
    }
    let first = views[.layer(0)]!.recording(.layer(0))
    #expect(first.ids == (0..<150).map { $0 } && first.rowIDs == (120..<150).map { $0 } && first.attention == nil)
    #expect(near(first.probe!.values, rows(expected.attention[0], 120..<n)))
    let second = views[.layer(1)]!.recording(.layer(1))
    #expect(second.attention!.shape == [4, 30, 150] && second.probe!.shape == [4, 1, 150])
    #expect(near(second.attention!.values, rows(expected.attention[0], 120..<n)))
    #expect(near(second.probe!.values, rows(expected.attention[1], n - 1..<n)))
    #expect(second.keys!.shape == [2, 150, 8])
    #expect(near(second.keys!.values, Array(expected.keys[0].joined().joined())))
    for (found, wanted) in zip(second.branches, expected.branches[0]) {
      #expect(near(found.input, wanted.input.map { $0.reduce(0) { $0 + $1 * $1 }.squareRoot() }))
      #expect(near(found.output, wanted.output.map { $0.reduce(0) { $0 + $1 * $1 }.squareRoot() }))
      #expect(
        near(
          found.dot, zip(wanted.input, wanted.output).map { zip($0, $1).reduce(0) { $0 + $1.0 * $1.1 } }))
    }
    #expect(second.branches.count == 2)
    let third = views[.layer(2)]!.recording(.layer(2))
    #expect(
      third.attention!.shape == [4, 150] && near(third.attention!.values, sums(expected.attention[1])))
    #expect(near(third.probe!.values, sums(expected.attention[2])))
    let tokens = views[.layer(2)]!.sequences[0]
    #expect(third.finalNorm == model.normed(tokens.x))
    let last = views[.layer(3)]!.recording(.layer(3))
    #expect(near(last.attention!.values, rows(expected.scores[2], n - 1..<n)))
    let cached = views[.cache(0)]!.recording(.cache(0)).attention!
    for (found, wanted) in zip(cached.values, rows(expected.scores[0], 120..<n)) {
      #expect(found == Float(wanted) || abs(found - Float(wanted)) < decoderTolerance)
    }
    #expect(
      run.trace.language.map(\.probes) == [
        [.init(rows: 30, keys: n), .init(rows: 1, keys: n)], [.init(rows: n, keys: n)], [],
      ])
  }

  /// A method's own form: places are told, and what it makes is recorded.
  struct Noisy: AttentionForm {
    func callAsFunction(_ logits: [Float], of row: AttentionRow) -> [Float] {
      let noise = GumbelField(seed: row.seed, step: row.step, layer: row.layer, head: row.head)
      return softmax(zip(logits, row.keys).map { ($0 + noise[row.query, $1]) / (1.5 + 0.25 * Float(row.step)) })
    }
  }

  @Test func noiseIsAddedBeforeTheSoftmax() throws {
    let reference = DoubleLlama()
    let model = try reference.model()
    let record: [Site: Request] = [.cache(1): Request(attention: .last, values: .own(Noisy()))]
    let method = Cutter([:], PositionRule(cut: .original, decode: .next), record: record)
    var run = try decoderRun([method], on: model)
    var decoding = try model.prefill(reference.prompt(9), run: &run)
    try model.step(7, &decoding, run: &run)
    let expected = reference(reference.whole(reference.prompt(9), [7]))
    for (step, row) in [(0, 8), (1, 9)] {
      let found = method.box.views.withLock { $0[step].view }.recording(.cache(1)).attention!
      for head in 0..<4 {
        let noise = GumbelField(seed: 4, step: step, layer: 1, head: head)
        let logits = (0...row).map { key in
          (Float(expected.scores[1][head][row][key]) + noise[Int32(row), Int32(key)]) / (1.5 + 0.25 * Float(step))
        }
        #expect(distance(found.row(head), softmax(logits)) < decoderTolerance)
      }
    }
    // Mean and variance of the distribution: 0.5772 and π²/6.
    let field = GumbelField(seed: 1, step: 0, layer: 2, head: 3)
    let draws = (0..<40_000).map { field[Int32($0 / 200), Int32($0 % 200)] }
    let mean = draws.reduce(0, +) / 40_000
    #expect(abs(mean - 0.5772) < 0.03)
    #expect(abs(draws.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 40_000 - 1.645) < 0.06)
    #expect(draws.allSatisfy { $0.isFinite })
  }

  /// A plan may not ask for what no layer forms, or for whole matrices.
  static let impossible: [(Site, Request)] = [
    (.layer(0), Request(attention: .last)), (.layer(0), Request(keys: true)), (.layer(0), Request(branches: true)),
    (.layer(3), Request(probe: .last)), (.layer(1), Request(attention: .all)), (.layer(1), Request(probe: .all)),
    (.layer(1), Request(attention: .classifier)), (.layer(1), Request(joint: true)),
    (.cache(1), Request(probe: .last)), (.cache(1), Request(branches: true)), (.cache(1), Request(finalNorm: true)),
    (.cache(1), Request(attention: .all)),
  ]
  @Test func recordingsThatNoLayerMakes() throws {
    let shape = Shape(tower: nil, decoder: try DoubleLlama().model().shape, layout: Shape.Layout(tiling: .one))
    let rule = PositionRule(cut: .original, decode: .next)
    for (site, request) in Self.impossible {
      #expect(throws: CompressionError.self, "\(site) \(request)") {
        try Composition([Cutter([:], rule, record: [site: request])], for: shape)
      }
    }
    let possible: [Site: Request] = [
      .layer(0): Request(probe: .text, finalNorm: true), .layer(3): Request(attention: .all, summed: true),
      .cache(2): Request(attention: .all, values: .logits, summed: true, keys: true),
    ]
    _ = try Composition([Cutter([:], rule, record: possible)], for: shape)
  }
}
