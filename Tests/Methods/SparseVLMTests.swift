import GoldenRunner
import Synchronization
import TestSupport
import Testing
import VTok

@Suite struct SparseVLMTests {
  @Test(arguments: Goldens.of(SparseVLM.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: SparseVLM.self, "version=1.5 layers noise=off target=192 counts average keep")
  }

  @Test(arguments: [
    "sparsevlm:target=1", "sparsevlm:counts=3", "sparsevlm:counts=3/4/5", "sparsevlm:layers=2/4",
  ]) func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  @Test(arguments: LanguageStage.seeds) func sparseVLMRecyclesAThirdOfWhatItDrops(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    var n = stage.visual
    let run = try stage.run("sparsevlm:layers=2/4,counts=20/9")
    for (layer, count) in [(2, 20), (4, 9)] {
      let kept = min(count, n - 1)
      let recycled = Int(0.3 * Double(n - kept)) + 1
      n = kept + recycled / 10 + 1
      #expect(run.visual[layer] == n)
    }
    #expect(try stage.run("sparsevlm:layers=2/4,counts=20/9,version=2.0").visual[2...] == [20, 20, 9, 9])
    // What a recycled row stands for adds up to one patch, and no patch is in two rows.
    let origin = run.entering[2].origin
    #expect(Set(origin.patches).count == origin.patches.count)
    for row in 0..<run.entering[2].count where !origin.range(row).isEmpty {
      #expect(abs(origin.weights[origin.range(row)].reduce(0, +) - 1) < 1e-4)
    }
    for version in ["1.5", "2.0"] {
      let left = try stage.run("sparsevlm:layers=1/2/4,keep=0.5,version=\(version)").visual.last!
      #expect(abs(left - Budget.ratio(0.5).tokens(of: stage.visual)) <= 1)
    }
    #expect(try stage.run("sparsevlm:layers=1/2/4,average=0.25").visual.last! < stage.visual / 4)
    let noisy = try stage.run("sparsevlm:layers=2/4,counts=20/9,noise=seeded")
    #expect(noisy.visual == run.visual)
  }

  /// Rows that were merged: the same reductions on the prompt with the answer behind it, read at once.
  @Test(arguments: [UInt64](1...4)) func mergedRowsAreSeenAsTheyAre(seed: UInt64) throws {
    let test = DecoderCase(seed: seed, isWide: false, isGrouped: seed % 2 == 0)
    let model = try test.reference.model()
    let method = SparseVLM(counts: [9, 4], version: .recycling, layers: [1, 3])
    let recorder = Replay(SparseVLM.self, method)
    var run = try decoderRun([recorder], on: model, image: test.image)
    var decoding = try model.prefill(test.prompt, run: &run)
    for token in test.fed { try model.step(token, &decoding, run: &run) }
    let made = recorder.box.reductions.withLock { $0 }
    #expect(made.count == 2 && made.values.contains { $0.blend != .copy })

    let replay = Replay(SparseVLM.self, method, playing: made)
    var again = try decoderRun([replay], on: model, image: test.image)
    var whole = test.prompt
    let more = TokenSequence(
      x: test.reference.embeddings(test.fed), kind: test.fed.map { _ in .text },
      position: test.fed.indices.map { Position(test.prompt.count + $0) }, origin: Origin(test.fed.map { _ in nil }),
      id: test.fed.indices.map { Int32(test.prompt.count + $0) })
    whole.append(more)
    let once = try model.prefill(whole, run: &again)
    #expect(distance(once.logits, decoding.logits) < decoderTolerance)
    #expect(once.caches.map { $0[0].id } == decoding.caches.map { $0[0].id })
    #expect(once.caches.map { $0[0].position } == decoding.caches.map { $0[0].position })
  }

  /// A method that writes down what another does, or does what was written down, leaving later rows as they are.
  struct Replay: Compressor {
    static let name = "replay"
    static let summary = "for tests"
    final class Box: Sendable { let reductions = Mutex<[Site: Reduction]>([:]) }
    let box = Box()
    private var base: any Compressor
    private let playing: [Site: Reduction]?

    init<Base: Compressor>(_ type: Base.Type, _ base: Base, playing: [Site: Reduction]? = nil) {
      (self.base, self.playing) = (base, playing)
    }
    init(_ options: inout Options) throws(OptionError) { fatalError("made by hand") }
    func plan(for model: Shape) throws(CompressionError) -> Plan { try base.plan(for: model) }

    mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
      -> [Reduction]?
    {
      guard let playing else {
        let made = try base.reduce(view, at: site, notes: &notes)
        if let made { box.reductions.withLock { $0[site] = made[0] } }
        return made
      }
      return playing[site].map { reduction in
        let later = (reduction.inputCount..<view.sequences[0].count).map { [Int32($0)] }
        let rows = (0..<reduction.count).map { Array(reduction.row($0)) } + later
        var blend = reduction.blend
        if case .weighted(let weights) = blend { blend = .weighted(weights + later.map { _ in 1 }) }
        return [Reduction(rows: rows, of: view.sequences[0].count, blend: blend)]
      }
    }
  }

  // MARK: Refusals

  @Test func servesEveryFamily() throws { try expectRefusals(of: SparseVLM.self) }

  @Test func misfitsAreRefusedBeforeWeightsLoad() throws {
    for (spec, shape) in [
      ("sparsevlm:version=2.0", SmallShapes.language(layers: 20)),
      ("sparsevlm:version=2.0", SmallShapes.language(heads: 16, kvHeads: 16, layers: 20, sections: [1, 1])),
      ("sparsevlm", SmallShapes.language()),
    ] { try expectRefusal(spec, for: shape) }
  }
}
