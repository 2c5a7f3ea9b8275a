import GoldenRunner
import TestSupport
import Testing
import VTok

@Suite struct PACTTests {
  @Test(arguments: Goldens.of(PACT.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws { try expectOptions(of: PACT.self, "layer=4 ratio=0.55 cutoff=0.21 retrieve=1.5") }

  @Test func theImageDecides() throws { #expect(try !MethodSpec("pact").usesJobBudget) }

  // MARK: What it keeps

  /// Two bundles of directions and one token alone: a centre each, and what was pruned joins the one it is near.
  @Test func tokensGatherAroundCentres() {
    let keys = Tensor([1, 0, 1, 0.05, 1, -0.05, 0, 1, 0.05, 1, -1, -1], shape: [6, 2])
    let pruned = Tensor([1, 0.1, -1, 1], shape: [2, 2])
    var notes = Notes()
    let found = PACT.cluster(keys, pruned: pruned, PACT.Rule(), notes: &notes)
    let labels = found.labels
    #expect(found.centres.count == 3 && Set(labels[..<3]).count == 1 && labels[3] == labels[4])
    #expect(Set([labels[0], labels[3], labels[5]]).count == 3)
    #expect(labels[6] == labels[0] && labels[7] == -1)
    let reduction = found.reduction(of: 8)
    #expect(reduction.count == 3 && (0..<3).contains { Set(reduction.row($0)) == [0, 1, 2, 6] })
  }

  @Test(arguments: LanguageStage.seeds) func everyTokenIsPrunedGatheredOrLost(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    let n = stage.visual
    // Nothing is near anything: what pruning leaves.
    let apart = try stage.run("pact:layer=2,cutoff=0").visual
    #expect(apart == [n, n] + [Int](repeating: Int(Double(n) * 0.55), count: 4))
    // Everything is near everything: one centre holds all.
    let run = try stage.run("pact:layer=2,cutoff=2")
    #expect(run.visual.last == 1)
    let tokens = run.entering.last!
    let row = tokens.rows(.patch)[0]
    #expect(tokens.mass[row] == Float(n) && tokens.origin.range(row).count == n)
  }

  /// Attention counts what a row stands for: n equal rows and one of their mass are the same.
  @Test func aRowOfManyWeighsAsMuchAsThey() throws {
    let model = TinyModels.model("llava15-tiny-d")
    let image = TinyModels.noise(for: model, seed: 4)
    var dense = Run(.dense(model.shape))
    let prompt = try model.prompt(TinyModels.prompt(model, [image]), [image], run: &dense)
    let span = try #require(dense.images[0].spans.first)
    // Eight rows that are the same, before all others, so that each sees nothing but its like.
    let same = [Int](repeating: Int(span.lowerBound), count: 8) + Array(Int(span.upperBound)..<prompt.count)
    var many = prompt.reduced(.keep(same, of: prompt.count))
    many.restart(at: same.indices.map { Position(max(0, $0 - 7)) })
    var merged = many.reduced(.keep([0] + Array(8..<many.count), of: many.count))
    merged.apply(
      Reduction(
        rows: merged.id.indices.map { [Int32($0)] }, of: merged.count, blend: .copy,
        mass: merged.id.indices.map { $0 == 0 ? 8 : 1 }))
    var (plain, biased) = (dense, Run(try Composition([Weighing()], for: model.shape)))
    biased.images = dense.images
    let a = try model.language.prefill(many, run: &plain).logits
    let b = try model.language.prefill(merged, run: &biased).logits
    var without = dense
    let c = try model.language.prefill(merged, run: &without).logits
    #expect(zip(a, b).allSatisfy { abs($0 - $1) < 1e-4 })
    #expect(zip(a, c).contains { abs($0 - $1) > 1e-3 })
    // And the same of a token that reads the cache.
    var (left, right) = (
      try model.language.prefill(many, run: &plain), try model.language.prefill(merged, run: &biased)
    )
    try model.language.step(5, &left, run: &plain)
    try model.language.step(5, &right, run: &biased)
    #expect(zip(left.logits, right.logits).allSatisfy { abs($0 - $1) < 1e-4 })
  }

  /// Wants attention to count masses, and does nothing.
  private struct Weighing: Compressor {
    static let name = "weighing"
    static let summary = ""
    init() {}
    init(_ options: inout Options) throws(OptionError) {}
    func plan(for model: Shape) throws(CompressionError) -> Plan { Plan(act: [.layer(0)], decoderMassBias: true) }
    mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
      -> [Reduction]?
    { nil }
  }

  /// Where all tokens are equal, the first one stays for all.
  @Test func theSmallerIndexWinsTies() throws {
    let stage = LanguageStage(seed: 2, isConstant: true)
    let tokens = try stage.run("pact:layer=2").entering.last!
    #expect(tokens.rows(.patch).map { tokens.id[$0] } == [Int32(stage.span.lowerBound)])
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(of: PACT.self, ("no language model", { $0.decoder == nil }))
  }

  @Test func misfitsAreRefusedBeforeWeightsLoad() throws {
    try expectRefusal("pact:layer=6", for: SmallShapes.language())
  }
}
