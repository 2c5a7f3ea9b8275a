import Testing
import VTokCore
import VTokTensor

/// `Reduction` and `TokenSequence.apply`: one linear map for features, provenance and mass.
@Suite struct ReductionTests {
  /// A sequence of noise, a class token first.
  static func noise(_ patches: Int, width: Int = 5, seed: UInt64 = 1) -> TokenSequence {
    var generator = SeededGenerator(seed: seed)
    let x = Tensor((0..<(patches + 1) * width).map { _ in generator.uniform() - 0.5 }, shape: [patches + 1, width])
    return TokenSequence(
      x: x, kind: [.classifier] + [TokenKind](repeating: .patch, count: patches),
      origin: Origin([nil] + (0..<patches).map { $0 }))
  }

  /// A random partition of some of the rows, anchors in any order.
  static func partition(of count: Int, seed: UInt64) -> [[Int32]] {
    var generator = SeededGenerator(seed: seed)
    let rows = generator.sample(count, below: count)
    var parts: [[Int32]] = []
    for row in rows.prefix(count * 3 / 4) {
      if parts.isEmpty || generator.uniform() < 0.5 {
        parts.append([Int32(row)])
      } else {
        parts[Int(generator.next() % UInt64(parts.count))].append(Int32(row))
      }
    }
    return parts
  }

  @Test(arguments: 0..<20) func provenanceIsTheSameMapAsFeatures(seed: UInt64) {
    // Apply three reductions; every row must be the origin-weighted sum of the first features.
    var tokens = Self.noise(40, seed: seed)
    let first = tokens.x
    var generator = SeededGenerator(seed: seed)
    for step in 0..<3 {
      let rows = Self.partition(of: tokens.count, seed: seed * 7 + UInt64(step))
      let blend: Reduction.Blend =
        switch step {
        case 0: .byMass
        case 1: .byCount
        default: .weighted(rows.flatMap { $0.map { _ in generator.uniform() } })
        }
      tokens.apply(Reduction(rows: rows, of: tokens.count, blend: blend))
    }
    for row in 0..<tokens.count where tokens.kind[row] == .patch {
      var hasPrefix = false
      var sum = [Float](repeating: 0, count: 5)
      for entry in tokens.origin.range(row) {
        let patch = Int(tokens.origin.patches[entry])
        for column in 0..<5 {
          sum[column] += tokens.origin.weights[entry] * first.row(patch + 1)[(patch + 1) * 5 + column]
        }
      }
      // A row that took in the class token has a part that stands for no patch.
      hasPrefix = tokens.origin.range(row).isEmpty || tokens.mass[row] > Float(tokens.origin.range(row).count)
      if hasPrefix { continue }
      for (found, wanted) in zip(tokens.x.row(row), sum) { #expect(abs(found - wanted) < 1e-4) }
    }
  }

  @Test(arguments: 0..<20) func meansByMassConserveMassAndSum(seed: UInt64) {
    var tokens = Self.noise(30, seed: seed)
    let rows = tokens.count
    func total(_ tokens: TokenSequence, _ column: Int) -> Float {
      (0..<tokens.count).reduce(0) { $0 + tokens.mass[$1] * tokens.x.values[$1 * 5 + column] }
    }
    let before = (0..<5).map { total(tokens, $0) }
    for step in 0..<3 {
      var parts = Self.partition(of: tokens.count, seed: seed + UInt64(100 * step))
      let used = Set(parts.joined())
      parts += (0..<Int32(tokens.count)).filter { !used.contains($0) }.map { [$0] }
      tokens.apply(Reduction(rows: parts, of: tokens.count, blend: .byMass))
    }
    #expect(tokens.mass.reduce(0, +) == Float(rows))
    for column in 0..<5 { #expect(abs(total(tokens, column) - before[column]) < 1e-4) }
    #expect(tokens.origin.patches.sorted() == (0..<30).map { Int32($0) })
  }

  @Test func keepingCopiesBitForBit() {
    var tokens = Self.noise(10)
    let before = tokens
    tokens.apply(.keep([0, 7, 3, 3], of: 11))
    #expect(tokens.count == 4)
    #expect(tokens.id == [0, 7, 3, 3])
    #expect(Array(tokens.x.row(1)) == Array(before.x.row(7)))
    #expect(tokens.position.map(\.t) == [0, 7, 3, 3], "positions stay until they are renumbered")
    tokens.renumber()
    #expect(tokens.position.map(\.t) == [0, 1, 2, 3])
    #expect(tokens.origin.patches == [6, 2, 2])
  }

  @Test func theAnchorGivesIdentity() {
    var tokens = Self.noise(6)
    tokens.apply(Reduction(rows: [[0], [5, 1], [2, 6, 3]], of: 7, blend: .byCount, mass: [1, 9, 4]))
    #expect(tokens.id == [0, 5, 2])
    #expect(tokens.mass == [1, 9, 4])
    #expect(tokens.kind == [.classifier, .patch, .patch])
  }

  @Test func aConnectorsRowsCarryTheSameProvenance() {
    var tokens = Self.noise(8)
    let made = Tensor(zeros: [2, 3])
    tokens.apply(Reduction(rows: [[1, 2], [3, 4]], of: 9, blend: .byCount), features: made)
    #expect(tokens.x == made && tokens.origin.patches == [0, 1, 2, 3])
  }

  @Test func appendingGrowsEveryColumn() {
    var tokens = Self.noise(3)
    tokens.append(Self.noise(2, seed: 9))
    #expect(tokens.count == 7 && tokens.mass.count == 7 && tokens.origin.offsets.count == 8)
    #expect(tokens.origin.patches == [0, 1, 2, 0, 1])
  }

  @Test func recordingsAreReadByIdentity() throws {
    var tokens = Self.noise(4)
    let recording = Recording(ids: tokens.id)
    tokens.apply(.keep([0, 3, 1], of: 5))
    #expect(try recording.columns(of: tokens) == [0, 3, 1])
    let late = Recording(ids: tokens.id)
    #expect(throws: CompressionError.missingColumns(found: 3, expected: 5)) { try late.columns(of: Self.noise(4)) }
  }
}
