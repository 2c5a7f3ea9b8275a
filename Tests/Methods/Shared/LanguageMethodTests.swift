import TestSupport
import Testing
import VTok

/// What must hold of every method inside the language model and on its cache, on seeded noise of random shapes.
@Suite struct LanguageMethodTests {
  static let seeds = LanguageStage.seeds

  /// Every method that stays in the language model, and options that change what it does.
  static let specs =
    TestSupport.specs(
      for: SmallShapes.language(),
      options: [
        "fastv": "keep=0.3", "pyramiddrop": "layers=1/2/4", "transprune": "layers=2/4,accumulate=1/4",
        "dart": "keep=0.6", "mustdrop": "vision=off,layers=2/4,global=0.03,individual=0.5",
        "sparsevlm": "layers=2/4,counts=20/9", "generic-explain": "weights=net,keep=0.5",
        "keyformer": "keep=0.5,interval=2", "v2drop": "layers=2/4,ratios=0.5/0.4", "priortr": "layers=2/4,keep=9",
        "snapkv": "window=4,keep=0.5", "pyramidkv": "window=4,keep=0.5", "ems": "window=4,keep=0.5",
        "pact": "layer=2,cutoff=0.7",
      ], where: \.staysInLanguageModel) + variants
  private static let variants = [
    "sparsevlm:layers=2/4,counts=20/9,version=2.0", "elastic-cache:policy=local,keep=0.5",
    "elastic-cache:policy=h2o-elasticrepo,keep=0.5", "fastv:keep=0.3+elastic-cache:keep=0.5",
    "dart:stage=embeddings,keep=0.5", "cdpruner:kernel=openvino,keep=0.5", "fastv:keep=0.3,mode=in-place",
    "fastv:keep=0.3+h2o:keep=0.5", "snapkv:window=4,granularity=query-head,pool=max,keep=0.5",
    "streaming-llm:mode=prefill,keep=0.5", "deep-random:layers=2/3,ratios=0.5/0",
    "divprune:keep=0.5+pyramiddrop:layers=1/2/4+elastic-cache:policy=local,keep=0.7",
  ]

  @Test(arguments: specs, seeds) func textAndIdentityStay(_ spec: String, seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    let run = try stage.run(spec)
    let text = stage.tokens.rows(.text).map { stage.tokens.id[$0] }
    for tokens in run.entering {
      #expect(tokens.rows(.text).map { tokens.id[$0] } == text)
      #expect(Set(tokens.id).count == tokens.count)
      for row in tokens.rows(.patch) {
        // The first patch that a row stands for is its anchor.
        let anchor = stage.patch(ofID: tokens.id[row])
        #expect(Int(tokens.origin.patches[tokens.origin.range(row).lowerBound]) == anchor)
      }
    }
    for tokens in run.entering {
      let numbered = (0..<Int32(tokens.count)).map { $0 }
      #expect(tokens.position.map(\.t) == (run.isRenumbered ? numbered : tokens.id))
    }
  }

  /// Every patch of the image is kept, merged into one that is, or gone for good, and only one of these.
  @Test(arguments: specs, seeds) func originsPartitionThePatches(_ spec: String, seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    let run = try stage.run(spec)
    var left = Set(0..<stage.visual)
    for tokens in run.entering {
      let kept = tokens.rows(.patch).map { stage.patch(ofID: tokens.id[$0]) }
      let standing = tokens.origin.patches.map(Int.init)
      #expect(Set(standing).count == standing.count && Set(standing).isSuperset(of: kept))
      #expect(Set(standing).isSubset(of: left), "nothing comes back")
      left = Set(standing)
      for row in tokens.rows(.text) { #expect(tokens.origin.range(row).isEmpty) }
    }
    // A cache holds no patch that did not enter its layer, and all of them where nothing acts on caches.
    let acts = run.acts.contains { if case .cache = $0 { true } else { false } }
    for (layer, parts) in run.caches.last!.enumerated() {
      let entered = Set(run.entering[layer].origin.patches)
      for part in parts {
        #expect(acts ? Set(part.origin.patches).isSubset(of: entered) : Set(part.origin.patches) == entered)
      }
    }
  }

  /// Methods that cut once leave what was asked; DART where one pivot takes all (several share evenly, and drop the rest).
  @Test(arguments: LanguageStage.seeds) func cutsLeaveWhatWasAsked(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    let n = stage.visual
    for (spec, layer) in [
      ("divprune:", 0), ("cdpruner:kernel=openvino,split=off,", 0), ("generic-explain:weights=net,", 0),
      ("fastv:layer=1,mode=in-place,", 1), ("dart:stage=embeddings,visual-pivots=1,text-pivots=0,", 0),
      ("dart:layer=3,visual-pivots=1,text-pivots=0,", 3),
    ] {
      for (keep, count) in [("0.5", Budget.ratio(0.5).tokens(of: n)), ("11", 11), ("1.0", n)] {
        let visual = try stage.run(spec + "keep=\(keep)").visual
        // OpenVINO's variant takes even counts.
        let left = spec.contains("openvino") ? min(count + count % 2, n) : count
        #expect(visual == (0..<LanguageStage.layers).map { $0 < layer ? n : left }, "\(spec) \(keep)")
      }
    }
  }

  /// Indices and ratios are of what a method receives from the one before it.
  @Test(arguments: LanguageStage.seeds) func methodsActInTheirOrder(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    let n = stage.visual
    #expect(try stage.run("divprune:keep=20+fastv:layer=2,keep=0.5").visual == [20, 20, 10, 10, 10, 10])
    #expect(try stage.run("fastv:layer=2,keep=20+fastv:layer=4,keep=0.5").visual == [n, n, 20, 20, 10, 10])
    #expect(try stage.run("fastv:layer=4,keep=0.5+fastv:layer=2,keep=20").visual == [n, n, 20, 20, 10, 10])
    #expect(try stage.run("fastv:layer=2,keep=20+fastv:layer=2,keep=0.5").visual.last == 10)
    #expect(try stage.run("divprune:keep=16+pyramiddrop:layers=2/4,ratios=0.5/0.25").visual == [16, 16, 8, 8, 4, 4])
    // The cache method's share is of what each layer received.
    let run = try stage.run("fastv:layer=2,keep=10+elastic-cache:policy=local,keep=0.5")
    let text = stage.tokens.count - n
    let expected = [n, n, 10, 10, 10, 10].map { visual in
      let all = Double(visual + text)
      return visual + text - Int(all - all * 0.5)
    }
    #expect(run.caches[0].map { $0[0].count } == expected)
  }

  /// A prompt without an image passes through.
  @Test(arguments: specs + ["pyramiddrop:layers=2,keep=4", "dart:tokens=9"])
  func textAlonePasses(_ spec: String) throws {
    let stage = LanguageStage(seed: 5, hasImage: false)
    for tokens in try stage.run(spec).entering { #expect(tokens.id == stage.tokens.id) }
  }

  @Test(arguments: specs) func runsRepeat(_ spec: String) throws {
    let (first, second) = (try LanguageStage(seed: 4).run(spec), try LanguageStage(seed: 4).run(spec))
    #expect(first.entering.map(\.id) == second.entering.map(\.id))
    #expect(first.caches.last!.map { $0.map(\.id) } == second.caches.last!.map { $0.map(\.id) })
  }
}
