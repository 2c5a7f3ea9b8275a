import Foundation
import Synchronization
import TestSupport
import Testing
import VTok

/// Rows and cache entries that a method takes out of the decoder, against `DoubleLlama` with a mask in their place.
@Suite struct LanguageCutTests {
  /// Answers with reductions at some sites, and counts what it is shown.
  struct Cutter: Compressor {
    static let name = "cutter"
    static let summary = "for tests"
    var rule: PositionRule
    var kept: [Site: [[Int]]]
    var record: [Site: Request] = [:]
    let box = Box()
    final class Box: Sendable {
      let views = Mutex<[(site: Site, step: Int, received: Int, view: View)]>([])
    }
    init(_ kept: [Site: [[Int]]], _ rule: PositionRule, record: [Site: Request] = [:]) {
      (self.kept, self.rule, self.record) = (kept, rule, record)
    }
    init(_ options: inout Options) throws(OptionError) {
      self.init([:], PositionRule(cut: .original, decode: .next))
    }
    func plan(for model: Shape) -> Plan {
      Plan(record: record, act: Set(kept.keys).union(record.keys), positions: rule)
    }
    mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) -> [Reduction]? {
      let copy = copy view
      box.views.withLock { $0.append((site, copy.step, copy.received, copy)) }
      guard view.step == 0, let kept = kept[site] else { return nil }
      return kept.map { .keep($0, of: view.sequences[0].count) }
    }
  }

  static let image = 2..<12, count = 20
  static let survivors = [0, 1, 3, 4, 8, 11] + Array(12..<20)

  /// Prefill and three tokens under a method.
  static func decode(_ reference: DoubleLlama, _ method: Cutter) throws -> (
    logits: [[Float]], decoding: Decoding, run: Run
  ) {
    let model = try reference.model()
    var run = try decoderRun([method], on: model, image: image)
    var decoding = try model.prefill(reference.prompt(count, image: image), run: &run)
    var logits = [decoding.logits]
    for id in [7, 1, 30] {
      try model.step(id, &decoding, run: &run)
      logits.append(decoding.logits)
    }
    return (logits, decoding, run)
  }

  /// Rows after the prompt see what is left of it; what was left out has been seen by the prompt.
  @Test(arguments: [PositionRule.Decode.next, .cacheLength]) func aCutCache(_ decode: PositionRule.Decode) throws {
    let reference = DoubleLlama()
    let kept = [0, 2, 3, 9, 15, 19]
    let method = Cutter([.cache(1): [kept]], PositionRule(cut: .original, decode: decode))
    let (logits, decoding, run) = try Self.decode(reference, method)
    let n = Self.count
    let expected = reference(
      reference.whole(reference.prompt(n), [7, 1, 30]),
      position: { layer, row in
        Position(row >= n && layer == 1 && decode == .cacheLength ? kept.count + row - n : row)
      }, sees: { layer, _, row, key in layer != 1 || row < n || key >= n || kept.contains(key) })
    for step in 0...3 { #expect(near(logits[step], expected.logits[n - 1 + step])) }
    #expect(decoding.caches.map { $0[0].count } == [23, 9, 23] && decoding.received == [23, 23, 23])
    #expect(decoding.caches[1][0].id == kept.map { Int32($0) } + [20, 21, 22])
    #expect(run.trace.language.map(\.cached) == [20, 6, 20, 21, 7, 21, 22, 8, 22, 23, 9, 23])
    #expect(run.trace.language.map(\.rows) == [[20], [20], [20]] + [[Int]](repeating: [1], count: 9))
    #expect(run.trace.language[4].keys == [7])
    #expect(run.trace.language[0].visual == 10 && run.trace.language[3].visual == 0)
    #expect(method.box.views.withLock { $0.map(\.step) } == [0, 1, 2, 3])
    #expect(method.box.views.withLock { $0.map(\.received) } == [20, 21, 22, 23])
  }

  @Test func aCacheThatSplitsByHead() throws {
    let reference = DoubleLlama(.init(heads: 6, kvHeads: 3))
    let kept = [[0, 2, 3, 9], [5, 6, 18, 19], [1, 4, 7]]
    let record: [Site: Request] = [.cache(2): Request(attention: .all, summed: true, keys: true)]
    let method = Cutter([.cache(2): kept], PositionRule(cut: .original, decode: .next), record: record)
    let (logits, decoding, run) = try Self.decode(reference, method)
    let n = Self.count
    let expected = reference(
      reference.whole(reference.prompt(n), [7, 1, 30]),
      sees: { layer, head, row, key in layer != 2 || row < n || key >= n || kept[head / 2].contains(key) })
    for step in 0...3 { #expect(near(logits[step], expected.logits[n - 1 + step])) }
    #expect(decoding.caches[2].map(\.count) == [7, 7, 6] && decoding.caches[0].count == 1)
    #expect(decoding.caches[2][1].id == [5, 6, 18, 19, 20, 21, 22])
    #expect(run.trace.language.last!.cached == 7)
    // What the method is shown at the last step: one sequence and one recording per head.
    let view = method.box.views.withLock { $0.last!.view }
    #expect(view.sequences.map(\.count) == [7, 7, 6])
    for head in 0..<3 {
      let recording = view.recording(.cache(2), head)
      #expect(recording.ids == decoding.caches[2][head].id && recording.rowIDs == [22])
      let columns = recording.ids.map(Int.init)
      for query in 0..<2 {
        let row = expected.attention[2][head * 2 + query][n + 2]
        #expect(near(recording.attention!.row(query), columns.map { row[$0] }))
      }
      #expect(near(recording.keys!.values, columns.flatMap { expected.keys[2][head][$0] }))
    }
  }

  @Test(arguments: [false, true]) func aCutInsideTheModel(_ renumbered: Bool) throws {
    let reference = DoubleLlama()
    let rule = PositionRule(cut: renumbered ? .renumbered : .original, decode: renumbered ? .cacheLength : .next)
    let method = Cutter([.layer(1): [Self.survivors]], rule)
    let (logits, decoding, run) = try Self.decode(reference, method)
    let n = Self.count
    let expected = reference(
      reference.whole(reference.prompt(n), [7, 1, 30]),
      position: { layer, row in
        guard layer > 0, renumbered else { return Position(row) }
        return Position(row < n ? Self.survivors.firstIndex(of: row) ?? 0 : Self.survivors.count + row - n)
      }, sees: { layer, _, _, key in layer == 0 || key >= n || Self.survivors.contains(key) })
    for step in 0...3 { #expect(near(logits[step], expected.logits[n - 1 + step])) }
    #expect(decoding.caches.map { $0[0].count } == [23, 17, 17])
    #expect(run.trace.language.prefix(3).map(\.rows) == [[20], [14], [14]])
    #expect(run.trace.language.prefix(3).map(\.visual) == [10, 4, 4])
    #expect(run.trace.acts.map(\.output) == [14])
  }

  @Test func withoutACacheEveryTokenIsAPrefill() throws {
    let reference = DoubleLlama()
    let model = try reference.model()
    let method = Cutter([.layer(1): [Self.survivors]], PositionRule(cut: .original, decode: .afresh))
    var run = try decoderRun([method], on: model, image: Self.image)
    var decoding = try model.prefill(reference.prompt(Self.count), run: &run)
    try model.step(7, &decoding, run: &run)
    // The second pass is not cut (the method cuts at step 0): it is the dense one.
    let expected = reference(reference.whole(reference.prompt(Self.count), [7]))
    #expect(near(decoding.logits, expected.logits.last!))
    #expect(decoding.caches.isEmpty && run.trace.language.allSatisfy { $0.cached == 0 })
    #expect(run.trace.language.map(\.rows) == [[20], [14], [14], [21], [21], [21]])
    #expect(method.box.views.withLock { $0.map(\.step) } == [0, 1])
  }

  @Test func threeAxesAreNeverRenumbered() throws {
    let reference = DoubleLlama(.init(hasBiases: true, sections: [1, 2, 1]))
    let renumbering = Cutter([.layer(1): [Self.survivors]], PositionRule(cut: .renumbered, decode: .cacheLength))
    let keeping = Cutter([.layer(1): [Self.survivors]], PositionRule(cut: .original, decode: .next))
    let (found, _, run) = try Self.decode(reference, renumbering)
    let (wanted, _, other) = try Self.decode(reference, keeping)
    #expect(found == wanted && run.composition.keepsPositions && !other.composition.keepsPositions)
  }

  @Test func textIsNotDropped() throws {
    let model = try DoubleLlama().model()
    for site in [Site.layer(0), .layer(2), .layer(3)] {
      let method = Cutter([site: [Array(0..<19)]], PositionRule(cut: .original, decode: .next))
      var run = try decoderRun([method], on: model, image: Self.image)
      let prompt = DoubleLlama().prompt(Self.count, image: Self.image)
      #expect(throws: CompressionError.self) { try model.prefill(prompt, run: &run) }
    }
  }
}
