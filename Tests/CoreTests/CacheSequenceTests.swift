import Testing
import VTokCore
import VTokTensor

/// A sequence that holds a cache in few bits follows reductions as one in float32 does.
@Suite struct CacheSequenceTests {
  static let kinds = [CachePrecision.bf16, .int8]

  /// Two heads of four numbers: key, value, key, value.
  private func cache(_ kind: CachePrecision, seed: UInt64 = 1) -> TokenSequence {
    ReductionTests.noise(20, width: 16, seed: seed).stored(in: kind, group: 4)
  }

  @Test(arguments: kinds) func rowsThatStayKeepTheirBits(_ kind: CachePrecision) {
    let whole = cache(kind)
    let kept = [0, 4, 5, 19]
    let cut = whole.reduced(.keep(kept, of: 21))
    #expect(cut.packed == whole.packed!.gathered(kept) && cut.id == kept.map(Int32.init) && cut.width == 16)
    #expect(cut.x == whole.x.gathered(kept))
    // By head, and with what comes after.
    let heads = whole.split(into: 2)
    #expect(heads.map(\.x) == [whole.x.columns(0..<8), whole.x.columns(8..<16)])
    #expect(heads[1].packed == whole.packed!.columns(8..<16))
    var longer = cut
    longer.append(whole.rows(6..<9))
    #expect(longer.packed == whole.packed!.gathered(kept + [6, 7, 8]))
    longer.append(ReductionTests.noise(2, width: 16, seed: 5))
    #expect(longer.count == 10 && longer.packed!.count == 10)
    #expect(longer.bytes == (kind == .bf16 ? 10 * 32 : 10 * 4 * 8))
  }

  /// A merged row is made in float32 of what its members stand for, and rounded once; one of a single member is left as it is.
  @Test(arguments: kinds, [0, 1, 2, 3]) func mergedRowsAreRoundedOnce(_ kind: CachePrecision, blend: Int) {
    let whole = cache(kind).split(into: 2)[0]
    let rows: [[Int32]] = [[3], [5, 6], [0, 9, 10], [12]]
    let weights: [Float] = [1, 0.25, 0.75, 0.5, 0.25, 0.25, 0.5]
    let blends: [Reduction.Blend] = [
      .byCount, .byMass, .weighted(weights), .entries(keys: weights, values: weights.map { $0 == 0.5 ? 1 : $0 }),
    ]
    let reduction = Reduction(rows: rows, of: 21, blend: blends[blend])
    let merged = whole.reduced(reduction)
    let exact = whole.carrying(whole.x).reduced(reduction)
    #expect(exact.packed == nil && merged.packed != nil)
    let rounded = exact.stored(in: kind, group: 4)
    let isWhole = blend < 2  // the last row has a weight of its own else
    let single = isWhole ? [0, 3] : [0]
    #expect(merged.packed!.gathered(single) == whole.packed!.gathered(single.map { Int(rows[$0][0]) }))
    let made = isWhole ? [1, 2] : [1, 2, 3]
    #expect(merged.packed!.gathered(made) == rounded.packed!.gathered(made))
    #expect(merged.mass == exact.mass && merged.origin == exact.origin && merged.id == exact.id)
  }

  /// Values that are written into a cache are rounded; in float32 nothing changes.
  @Test(arguments: kinds) func whatIsWrittenIsRounded(_ kind: CachePrecision) {
    var tokens = cache(kind)
    let before = tokens.x
    tokens.x.values[3] = 1.003
    var wanted = before
    wanted.values[3] = 1.003
    #expect(tokens.packed == CacheRows(wanted, kind, group: 4))
    tokens = cache(kind)
    tokens.rewrite(2, column: 8) { $0[1] = 7.001 }
    wanted = before
    wanted.values[2 * 16 + 9] = 7.001
    let changed = CacheRows(wanted.gathered([2]).columns(8..<12), kind, group: 4)
    #expect(tokens.packed!.columns(8..<12).gathered([2]) == changed)
    #expect(tokens.packed!.columns(0..<8) == cache(kind).packed!.columns(0..<8))
    var exact = ReductionTests.noise(20, width: 16)
    #expect(exact.stored(in: .f32, group: 4).packed == nil)
    exact.rewrite(2, column: 8) { $0[1] = 7.001 }
    #expect(exact.x.values[2 * 16 + 9] == 7.001)
  }
}
