import CVTokKernels
import Testing
import VTokTensor

/// Rows of a cache in few bits: each number is what the definition says, and moving rows rounds nothing again.
@Suite struct CacheRowsTests {
  static let groups = [1, 2, 3, 4, 8, 15, 16, 17, 31, 64, 80, 128, 256]
  static let kinds = [CachePrecision.bf16, .int8]

  static func noise(_ rows: Int, _ width: Int, seed: UInt64 = 1) -> Tensor {
    var generator = SeededGenerator(seed: seed)
    return Tensor(shape: [rows, width]) { out in
      for index in 0..<rows * width { out[index] = generator.normal() * (index % 7 == 0 ? 30 : 1) }
    }
  }

  /// What a group stands for, one number at a time.
  static func expected(_ group: ArraySlice<Float>, _ kind: CachePrecision) -> [Float] {
    if kind == .bf16 {
      return group.map { value in
        let (bits, rest) = (value.bitPattern, value.bitPattern & 0xffff)
        let isUp = rest > 0x8000 || (rest == 0x8000 && bits >> 16 & 1 == 1)
        return Float(bitPattern: (bits >> 16 + (isUp ? 1 : 0)) << 16)
      }
    }
    let largest = group.map(abs).max()!
    let scale = largest > 0 ? largest / 127 : 1
    return group.map { ($0 / scale).rounded(.toNearestOrEven) * scale }
  }

  @Test(arguments: groups, kinds) func numbersAreTheDefinition(_ group: Int, _ kind: CachePrecision) {
    let x = Self.noise(9, 4 * group)
    let wanted = (0..<36).flatMap { Self.expected(x.values[$0 * group..<($0 + 1) * group], kind) }
    for threads in [1, 3] {
      let rows = CacheRows(x, kind, group: group, threads: threads)
      #expect(rows.widened().values == wanted)
      #expect(rows.widened(group..<3 * group) == rows.widened().columns(group..<3 * group))
      #expect(rows.byteCount == 36 * (kind == .bf16 ? 2 * group : group + 4))
    }
  }

  @Test func halvesGoToEvenAndZerosStay() {
    let halves = Tensor([127, 0.5, 1.5, -0.5, -2.5, 63.5, 0, -127], shape: [1, 8])
    #expect(CacheRows(halves, .int8, group: 8).widened().values == [127, 0, 2, 0, -2, 64, 0, -127])
    for kind in Self.kinds {
      #expect(CacheRows(Tensor(zeros: [2, 8]), kind, group: 4).widened() == Tensor(zeros: [2, 8]))
    }
    let even = Tensor([Float(bitPattern: 0x3f80_8000), Float(bitPattern: 0x3f81_8000)], shape: [1, 2])
    #expect(CacheRows(even, .bf16, group: 2).widened().values.map(\.bitPattern) == [0x3f80_0000, 0x3f82_0000])
  }

  /// What is no number stays none, and does not spread beyond its group.
  @Test(arguments: kinds, [Float.nan, .infinity]) func whatIsNoNumberStaysNone(_ kind: CachePrecision, _ bad: Float) {
    var x = Self.noise(2, 8)
    x.values[5] = bad
    let found = CacheRows(x, kind, group: 4).widened().values
    #expect(!found[5].isFinite && found[..<4].allSatisfy(\.isFinite) && found[8...].allSatisfy(\.isFinite))
  }

  /// Rows and columns that move keep their bits; what is written is rounded.
  @Test(arguments: kinds) func movingRoundsNothing(_ kind: CachePrecision) {
    let x = Self.noise(11, 24)
    let rows = CacheRows(x, kind, group: 4)
    let order = [10, 3, 3, 0]
    #expect(rows.gathered(order) == CacheRows(x.gathered(order), kind, group: 4))
    #expect(rows.gathered(order).widened() == rows.widened().gathered(order))
    #expect(rows.columns(8..<16) == CacheRows(x.columns(8..<16), kind, group: 4))
    var longer = rows.gathered(Array(0..<7))
    longer.append(rows.gathered([7, 8, 9, 10]))
    #expect(longer == rows)
    longer.replace([1, 5], with: rows.gathered([2, 3]))
    #expect(longer == rows.gathered([0, 2, 2, 3, 4, 3, 6, 7, 8, 9, 10]))
    // One key turned round: its neighbours keep their bits.
    var written = rows
    written.rewrite(6, column: 12) { for index in 0..<4 { $0[index] *= -1 } }
    var wanted = rows.widened()
    for index in 0..<4 { wanted.values[6 * 24 + 12 + index] *= -1 }
    #expect(written.widened() == wanted)
    #expect(written.gathered([0, 1, 5, 7]) == rows.gathered([0, 1, 5, 7]))
  }
}
