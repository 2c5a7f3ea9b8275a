import GoldenRunner
import Testing
import VTok

@Suite struct PruMergeTests {
  @Test(arguments: Goldens.of(PruMerge.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws { try expectOptions(of: PruMerge.self, "version=base neighbours=32 ratio keep") }

  @Test func eitherAmount() { expectMistake("prumerge:ratio=0.5,keep=3") }

  // MARK: What it keeps

  /// One tile of noise behind a tower, with what the next block would attend to and form.
  private func reduced(_ spec: String, patches: Int = 64, peaks: Int = 6) throws -> (Reduction, TokenSequence) {
    let shape = SmallShapes.tiles(layout: Shape.Layout(tiling: .one))
    var method = try MethodSpec(spec).make(budget: nil)[0]
    let site = try #require(method.plan(for: shape).record.keys.first)
    let tokens = TokenSequence(
      x: noiseRows(patches + 1, 8, seed: 1), kind: [.classifier] + [TokenKind](repeating: .patch, count: patches),
      origin: Origin([nil] + (0..<patches).map { $0 }))
    let logits = (0...patches).map { $0 > 0 && $0 <= peaks ? Float(5) - 0.1 * Float($0) : 0.001 * Float($0) }
    let recording = Recording(
      ids: tokens.id, rowIDs: [0], probe: Tensor(logits + logits, shape: [2, 1, patches + 1]),
      probeKeys: noiseRows(2 * (patches + 1), 4, seed: 2).reshaped([2, patches + 1, 4]))
    let view = View(sequences: [tokens], shape: shape, recordings: [site: [recording]])
    var notes = Notes()
    return (try #require(method.reduce(view, at: .features, notes: &notes)?[0]), tokens)
  }

  @Test func outliersStayWithTheirNeighboursAndOneRowForTheRest() throws {
    let (reduction, tokens) = try reduced("prumerge")
    #expect(reduction.count == 7)
    for row in 0..<6 {
      #expect(reduction.row(row).first == Int32(row + 1), "by falling attention")
      #expect(reduction.row(row).count == 33 && Set(reduction.row(row)).count == 33)
    }
    #expect(Array(reduction.row(6)) == (7...64).map { Int32($0) })
    #expect(tokens.reduced(reduction).rows(.classifier).isEmpty)
  }

  @Test func evenDistancesJoin() throws {
    let (reduction, _) = try reduced("prumerge:version=plus")
    // Six of 64: every 10th would be one step of the ratio, a third of it is 3.
    let even = stride(from: 0, to: 63, by: 3).filter { $0 >= 6 }.map { Int32($0 + 1) }
    #expect((0..<reduction.count - 1).map { reduction.row($0).first! } == (1...6).map { Int32($0) } + even)
  }

  @Test(arguments: [4, 9, 16, 33, 50]) func budgetsAreMet(_ keep: Int) throws {
    #expect(try reduced("prumerge:keep=\(keep)").0.count == keep)
    let even = try reduced("prumerge:version=plus,keep=\(keep)").0.count
    #expect(even <= 64 && abs(even - keep) <= 16)
  }

  @Test func noOutlierIsAnErrorForEvenDistances() throws {
    #expect(try reduced("prumerge", peaks: 0).0.count == 1)
    #expect(throws: CompressionError.self) { try reduced("prumerge:version=plus", peaks: 0) }
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(
      of: PruMerge.self, ("no class token", { $0.tower?.hasClassifier == false }),
      ("features of the last block", { $0.tower.map { $0.featureBlock + 1 == $0.blocks } ?? false }),
      ("images of several tiles", { $0.layout?.tiling == .cut }), ("no connector", { $0.layout == nil }))
  }
}
