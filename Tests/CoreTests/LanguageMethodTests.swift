import Testing
import VTokCore
import VTokMethods
import VTokTensor

/// What must hold of every method inside the language model and on its cache, on seeded noise of random shapes.
@Suite struct LanguageMethodTests {
  static let seeds: [UInt64] = Array(0..<8)

  // MARK: Amounts

  @Test(arguments: seeds) func stagesKeepTheirShares(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    let n = stage.visual
    for name in ["pyramiddrop", "transprune"] {
      let run = try stage.run("\(name):layers=2/4")
      #expect(run.visual == [n, n] + [Int](repeating: n / 2, count: 2) + [Int](repeating: n / 4, count: 2))
      let given = try stage.run("\(name):layers=1/3,ratios=0.7/0.1").visual
      #expect(
        given == [n] + [Int](repeating: Int(Double(n) * 0.7), count: 2)
          + [Int](repeating: Int(Double(n) * 0.1), count: 3))
      let budgeted = try stage.run("\(name):layers=2/4,keep=7").visual
      #expect(budgeted.last == 7 && zip(budgeted, budgeted.dropFirst()).allSatisfy { $0 >= $1 })
    }
    #expect(try stage.run("fastv:keep=0.3").visual.last == Budget.ratio(0.3).tokens(of: n))
  }

  @Test(arguments: seeds) func sparseVLMRecyclesAThirdOfWhatItDrops(seed: UInt64) throws {
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

  @Test(arguments: seeds) func mustDropCutsCachesToTheFinalTokens(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    let run = try stage.run("mustdrop:vision=off,layers=2/4,global=0.03,individual=0.5")
    let final = run.entering[5].id
    #expect(final.count < stage.tokens.count && zip(run.visual, run.visual.dropFirst()).allSatisfy { $0 >= $1 })
    #expect(run.caches[0][0][0].id == stage.tokens.id, "layers before the first stage keep all")
    for layer in 1...5 { #expect(run.caches[0][layer][0].id == final) }
    // Later steps only grow.
    #expect(run.caches[2][3][0].count == final.count + 2)
    let nothing = try stage.run("mustdrop:vision=off,layers=2/4,global=1,individual=0")
    #expect(nothing.visual.allSatisfy { $0 == stage.visual }, "no token lies below an individual threshold of 0")
  }

  @Test(arguments: seeds) func elasticCacheHoldsItsBudget(seed: UInt64) throws {
    for heads in [4, 2] {
      let stage = LanguageStage(seed: seed, kvHeads: heads)
      let n = stage.tokens.count
      for mode in ["official", "paper"] {
        let run = try stage.run("elastic-cache:keep=0.5,mode=\(mode)", steps: 6)
        let excess = Int(Double(n) - Double(n) * 0.5)
        for (step, caches) in run.caches.enumerated() {
          for cache in caches {
            let limit = Double(n + step) * 0.5
            #expect(step > 0 || cache[0].count == n - excess - 1)
            #expect(Double(cache[0].count) < limit + 1)
          }
        }
      }
      let merged = try stage.run("elastic-cache:keep=0.5").caches[0][0][0]
      #expect(merged.id.first == 0 && merged.id.last == stage.tokens.id.last)
    }
  }

  @Test(arguments: seeds) func localCacheKeepsStartAndEnd(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    for step in try stage.run("elastic-cache:policy=local,start=3,keep=12", steps: 4).caches {
      let ids = step[2][0].id
      #expect(ids.count == 12 && Array(ids.prefix(3)) == [0, 1, 2])
      #expect(Array(ids.dropFirst(3)) == Array(ids.last! - 8...ids.last!))
    }
  }

  @Test(arguments: seeds) func oneDecisionForAllLayers(seed: UInt64) throws {
    for step in try LanguageStage(seed: seed).run("elastic-cache:policy=h2o-elasticrepo,keep=0.5", steps: 4).caches {
      #expect(step.allSatisfy { $0[0].id == step[0][0].id })
    }
  }

  @Test(arguments: seeds) func h2oKeepsTheLatestOfEveryHead(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    for (step, caches) in try stage.run("h2o:heavy=5,recent=4", steps: 4).caches.enumerated() {
      for cache in caches {
        #expect(cache.count == 4, "one sequence per head")
        let last = Int32(stage.tokens.count + step)
        #expect(cache.allSatisfy { $0.count == 9 && Array($0.id.suffix(4)) == Array(last - 4..<last) })
        #expect(cache.allSatisfy { $0.id == $0.id.sorted() && Set($0.id).count == 9 })
      }
    }
    let half = try stage.run("h2o:keep=0.5").caches.last![0]
    #expect(half.allSatisfy { $0.count == stage.tokens.count / 2 })
  }

  // MARK: For all

  static let specs = [
    "fastv:keep=0.3", "pyramiddrop:layers=1/2/4", "transprune:layers=2/4,accumulate=1/4", "dart:keep=0.6",
    "mustdrop:vision=off,layers=2/4,global=0.03,individual=0.5", "sparsevlm:layers=2/4,counts=20/9",
    "sparsevlm:layers=2/4,counts=20/9,version=2.0", "elastic-cache:keep=0.5", "elastic-cache:policy=local,keep=0.5",
    "elastic-cache:policy=h2o-elasticrepo,keep=0.5", "h2o:keep=0.5", "fastv:keep=0.3+elastic-cache:keep=0.5",
    "divprune:keep=0.5", "dart:stage=embeddings,keep=0.5", "cdpruner:kernel=openvino,keep=0.5",
    "generic-explain:weights=net,keep=0.5", "keyformer:keep=0.5,interval=2", "fastv:keep=0.3,mode=in-place",
    "fastv:keep=0.3+h2o:keep=0.5", "divprune:keep=0.5+pyramiddrop:layers=1/2/4+elastic-cache:policy=local,keep=0.7",
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
  @Test(arguments: seeds) func cutsLeaveWhatWasAsked(seed: UInt64) throws {
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

  @Test(arguments: seeds) func keyformerCutsNowAndThen(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    let n = stage.tokens.count
    let (total, run) = (Int(0.5 * Double(n)), try stage.run("keyformer:keep=0.5,interval=3", steps: 7))
    let counts = [n, n + 1, n + 2, total, total + 1, total + 2, total, total + 1]
    for (step, caches) in run.caches.enumerated() {
      for cache in caches {
        #expect(cache.allSatisfy { $0.count == counts[step] })
        #expect(cache.allSatisfy { $0.id == $0.id.sorted() && $0.id.last == Int32(n + step - 1) })
      }
    }
    let latest = max(1, Int(Double(total) * 0.3))
    #expect(run.caches[3][2].allSatisfy { Array($0.id.suffix(latest)) == (n + 3 - latest..<n + 3).map { Int32($0) } })
    // As published: 60% of the prompt, every eighth token.
    let published = try stage.run("keyformer", steps: 8).caches
    #expect(published[7][0][0].count == n + 7 && published[8][0][0].count == Int(0.6 * Double(n)))
  }

  /// Indices and ratios are of what a method receives from the one before it.
  @Test(arguments: seeds) func methodsActInTheirOrder(seed: UInt64) throws {
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
  @Test(arguments: specs + ["cdpruner:kernel=openvino,keep=0.5", "pyramiddrop:layers=2,keep=4", "dart:tokens=9"])
  func textAlonePasses(_ spec: String) throws {
    let stage = LanguageStage(seed: 5, hasImage: false)
    for tokens in try stage.run(spec).entering { #expect(tokens.id == stage.tokens.id) }
  }

  @Test(arguments: specs) func runsRepeat(_ spec: String) throws {
    let (first, second) = (try LanguageStage(seed: 4).run(spec), try LanguageStage(seed: 4).run(spec))
    #expect(first.entering.map(\.id) == second.entering.map(\.id))
    #expect(first.caches.last!.map { $0.map(\.id) } == second.caches.last!.map { $0.map(\.id) })
  }

  /// Where all tokens are equal, the first ones stay.
  @Test func theSmallerIndexWinsTies() throws {
    let stage = LanguageStage(seed: 2, isConstant: true)
    let image = Int32(stage.span.lowerBound)
    for spec in ["pyramiddrop:layers=2,keep=5", "transprune:layers=2,keep=5", "fastv:keep=5"] {
      let tokens = try stage.run(spec).entering.last!
      #expect(tokens.rows(.patch).map { tokens.id[$0] } == (image..<image + 5).map { $0 }, "\(spec)")
    }
    let caches = try stage.run("h2o:heavy=3,recent=2", steps: 0).caches[0][0]
    #expect(caches.allSatisfy { Array($0.id.prefix(3)) == [0, 1, 2] })
  }

  // MARK: Refusals

  static func shape(heads: Int = 4, kvHeads: Int = 4, layers: Int = 6, sections: [Int] = []) -> Shape {
    let decoder = Shape.Decoder(
      layers: layers, width: 4 * heads, heads: heads, kvHeads: kvHeads, headDim: 4, ffn: 16, vocabulary: 9,
      frequencies: [1, 0.1], sections: sections)
    return Shape(tower: CompositionTests.tower, decoder: decoder, layout: Shape.Layout(tiling: .one))
  }
  static let window = Shape(
    tower: Shape.Tower(
      blocks: 4, featureBlock: 2, width: 8, heads: 2, ffn: 16, prefix: 1, hasClassifier: true, rows: 6, columns: 6,
      patch: 4), decoder: shape().decoder, layout: Shape.Layout(tiling: .one))

  static let misfits: [(String, Shape)] = [
    ("transprune", shape(layers: 12)), ("transprune:layers=1/6,ratios=0.5/0.2", shape()), ("h2o", shape(kvHeads: 2)),
    ("elastic-cache", shape(sections: [1, 1, 0])), ("sparsevlm:version=2.0", shape(layers: 20)),
    ("sparsevlm:version=2.0", shape(heads: 16, kvHeads: 16, layers: 20, sections: [1, 1])), ("sparsevlm", shape()),
    ("mustdrop:layers=2/4", shape()), ("mustdrop:layers=2/4,window=4", window), ("mustdrop:layers=2/9", window),
    ("h2o+elastic-cache", shape()), ("fastv+transprune:layers=2,keep=0.5", shape()),
    ("fastv:mode=in-place+h2o", shape()), ("tome+mustdrop:layers=2/4", window),
    ("mustdrop:layers=2/4+elastic-cache", window), ("h2o", CompositionTests.vit), ("transprune", CompositionTests.vit),
    ("keyformer", shape(kvHeads: 2)), ("keyformer+h2o", shape()), ("fastv:mode=in-place+keyformer", shape()),
    ("keyformer", CompositionTests.vit),
  ]

  @Test(arguments: 0..<misfits.count) func misfitsAreRefusedBeforeWeightsLoad(_ index: Int) throws {
    let (spec, shape) = Self.misfits[index]
    let methods = try MethodSpec(spec).make(budget: .ratio(0.5))
    #expect(throws: CompressionError.self, "\(spec)") { try Composition(methods, for: shape) }
  }

  @Test func mustDropFitsAWholeModel() throws {
    _ = try Composition(try MethodSpec("mustdrop:layers=2/4").make(budget: nil), for: Self.window)
  }

  @Test(arguments: [
    "transprune:layers=3/2", "transprune:ratios=0.5", "transprune:ratios=0.5/0.6/0.1", "transprune:accumulate=9",
    "pyramiddrop:layers=0/3", "mustdrop:target=100", "mustdrop:global=2", "mustdrop:layers=1.5", "sparsevlm:target=1",
    "sparsevlm:counts=3", "sparsevlm:counts=3/4/5", "sparsevlm:layers=2/4", "elastic-cache:policy=lru",
    "elastic-cache:start=-1", "generic-explain", "generic-explain:keep=0.5", "keyformer:interval=0",
    "keyformer:recent=2", "h2o:heavy=3", "h2o:recent=3", "h2o:heavy=3,recent=3,keep=9",
  ]) func optionsAreChecked(_ spec: String) {
    #expect(throws: MethodError.self) { try MethodSpec(spec).make(budget: nil) }
  }

  /// Damaged nets: what is wrong is said by name.
  @Test func netsAreChecked() throws {
    func message(_ change: (inout [String: Tensor]) -> Void) -> String {
      var tensors = LanguageStage.net.tensors
      change(&tensors)
      let file = OptionFile(tensors: tensors)
      do {
        _ = try MethodSpec("generic-explain:weights=net").make(budget: nil) { _ in file }
        return "fine"
      } catch { return "\(error)" }
    }
    #expect(message { _ in } == "fine")
    #expect(message { $0["output.weight"] = nil }.contains("no tensor 'output.weight'"))
    #expect(message { $0["layers.0.depthwise.weight"] = nil }.contains("layers.0.depthwise.weight"))
    #expect(message { $0["layers.0.depthwise.weight"] = Tensor([1, 1], shape: [1, 1, 2]) }.contains("[1, 1, 3]"))
    #expect(message { $0["layers.0.pointwise.weight"] = Tensor([1, 1], shape: [1, 2, 1]) }.contains("[1, 1, 1]"))
    #expect(message { $0["layers.0.pointwise.bias"] = Tensor([1], shape: [1]) }.contains("expected [4]"))
    #expect(message { $0["output.weight"] = Tensor([1], shape: [1]) }.contains("3 axes"))
  }

  @Test func lengthsMustAgreeForOneDecision() throws {
    #expect(throws: CompressionError.self) {
      try LanguageStage(seed: 1).run("fastv:keep=0.3+elastic-cache:policy=h2o-elasticrepo,keep=0.5")
    }
  }
}

/// A prompt with one image passing a language model of six layers that forms nothing but noise.
struct LanguageStage {
  static let layers = 6, headDim = 4
  /// For `generic-explain:weights=net`: a window of three tokens, then four channels.
  static let net = OptionFile(tensors: [
    "layers.0.depthwise.weight": Tensor([0.5, 1, 0.25], shape: [1, 1, 3]),
    "layers.0.pointwise.weight": Tensor([1, -1, 2, 0.5], shape: [4, 1, 1]),
    "layers.0.pointwise.bias": Tensor([0, 0.1, -0.1, 0.2], shape: [4]),
    "output.weight": Tensor([1, 2, -0.5, 0.25], shape: [1, 4, 1]),
  ])
  let tokens: TokenSequence, span: Range<Int>
  private let heads = 16, kvHeads: Int, seed: UInt64, isConstant: Bool
  var visual: Int { span.count }

  init(seed: UInt64, kvHeads: Int = 4, isConstant: Bool = false, hasImage: Bool = true) {
    var generator = SeededGenerator(seed: seed)
    let start = Int.random(in: 1...6, using: &generator)
    span = start..<start + (hasImage ? Int.random(in: 36...60, using: &generator) : 0)
    let (count, span) = (self.span.upperBound + Int.random(in: 3...9, using: &generator), self.span)
    tokens = TokenSequence(
      x: Self.noise([count, 16], &generator, isConstant), kind: (0..<count).map { span.contains($0) ? .patch : .text },
      origin: Origin((0..<count).map { span.contains($0) ? $0 - span.lowerBound : nil }))
    (self.kvHeads, self.seed, self.isConstant) = (kvHeads, seed, isConstant)
  }

  func patch(ofID id: Int32) -> Int { Int(id) - span.lowerBound }

  struct Result {
    /// Entering every layer in the prefill, and its visual rows.
    let entering: [TokenSequence], visual: [Int]
    /// `[step][layer][head or one]`, after the methods.
    var caches: [[[TokenSequence]]]
    let isRenumbered: Bool
    /// Where methods acted.
    let acts: Set<Site>
  }

  func run(_ spec: String, steps: Int = 2) throws -> Result {
    // Grouped attention only where a method allows it; 2.0 of SparseVLM wants many heads.
    let isMany = spec.contains("2.0")
    let (heads, kvHeads) = (isMany ? heads : 4, isMany ? heads : kvHeads)
    let shape = LanguageMethodTests.shape(heads: heads, kvHeads: kvHeads, layers: Self.layers)
    let composition = try Composition(try MethodSpec(spec).make(budget: nil) { _ in Self.net }, for: shape)
    var run = Run(composition, seed: seed)
    run.images = [
      ImageLayout(
        tileRows: 1, tileColumns: 1, side: 1, thumbnail: nil, width: 1, height: 1,
        spans: [Int32(span.lowerBound)..<Int32(span.upperBound)])
    ]
    var generator = SeededGenerator(seed: seed ^ 99)
    func attention(_ rows: Int, _ keys: Int) -> Tensor {
      let lines = (0..<heads * rows).map { _ in
        softmax(Self.noise([keys], &generator, isConstant).values.map { 2 * $0 })
      }
      return Tensor(lines.flatMap { $0 }, shape: [heads, rows, keys])
    }
    func rows(_ wanted: Rows, _ now: TokenSequence) -> [Int] {
      switch wanted {
      case .text: now.id.indices.filter { now.id[$0] >= Int32(span.upperBound) }
      case .last: [now.count - 1]
      default: []
      }
    }
    var now = [tokens]
    var entering: [TokenSequence] = []
    var caches: [[TokenSequence]] = []
    for layer in 0..<Self.layers {
      let count = now[0].count
      for (method, request) in run.requests(.layer(layer)) {
        let asked = rows(request.attention == .none ? request.probe : request.attention, now[0])
        let branches = (0..<2).map { _ in
          Branch(
            input: (0..<count).map { _ in 1 + generator.uniform() * (isConstant ? 0 : 1) },
            output: (0..<count).map { _ in 1 + generator.uniform() * (isConstant ? 0 : 1) },
            dot: (0..<count).map { _ in generator.uniform() * (isConstant ? 0 : 1) })
        }
        run.record(
          Recording(
            ids: now[0].id, rowIDs: asked.map { now[0].id[$0] }, attention: attention(asked.count, count),
            probe: attention(asked.count, count), keys: Self.noise([kvHeads, count, 4], &generator, isConstant),
            finalNorm: Self.noise([count, 16], &generator, isConstant), branches: branches), for: method,
          at: .layer(layer), sequence: 0)
      }
      try run.act(at: .layer(layer), on: &now)
      entering.append(now[0])
      caches.append([cache(of: now[0], kvHeads, &generator)])
    }
    var result = Result(
      entering: entering, visual: entering.map { $0.rows(.patch).count }, caches: [],
      isRenumbered: composition.plans.contains { $0.positions?.cut == .renumbered },
      acts: composition.plans.reduce(into: []) { $0.formUnion($1.act) })
    var received = caches.map { $0[0].count }
    for step in 0...steps {
      run.step = step
      if step > 0 {
        let entry = TokenSequence(
          x: tokens.x.gathered([0]), kind: [.text], position: [Position(0)], origin: Origin([nil]),
          id: [Int32(tokens.count + step - 1)])
        for layer in caches.indices {
          let own = cache(of: entry, kvHeads, &generator)
          let parts = caches[layer].count == 1 ? [own] : own.split(into: kvHeads)
          for (head, part) in parts.enumerated() { caches[layer][head].append(part) }
          received[layer] += 1
        }
      }
      for layer in caches.indices {
        for (method, _) in run.requests(.cache(layer)) {
          for (index, cache) in caches[layer].enumerated() {
            let share = caches[layer].count == 1 ? heads : heads / kvHeads
            let sums = attention(1, cache.count).gathered(Array(0..<share))
            run.record(Recording(ids: cache.id, attention: sums), for: method, at: .cache(layer), sequence: index)
          }
        }
      }
      for layer in caches.indices { try run.act(at: .cache(layer), on: &caches[layer], received: received[layer]) }
      result.caches.append(caches)
    }
    return result
  }

  private func cache(of tokens: TokenSequence, _ heads: Int, _ generator: inout SeededGenerator) -> TokenSequence {
    TokenSequence(
      x: Self.noise([tokens.count, heads * 2 * Self.headDim], &generator, isConstant), kind: tokens.kind,
      position: tokens.position, origin: tokens.origin, id: tokens.id)
  }

  private static func noise(_ shape: [Int], _ generator: inout SeededGenerator, _ isConstant: Bool) -> Tensor {
    Tensor((0..<shape.reduce(1, *)).map { _ in isConstant ? 1 : generator.normal() }, shape: shape)
  }
}
