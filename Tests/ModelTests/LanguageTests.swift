import Foundation
import Synchronization
import Testing
import VTok

/// The decoder against `DoubleLlama`, which knows no caches and no blocks.
@Suite struct LanguageTests {
  static let tolerance: Float = 2e-4
  static let sizes: [DoubleLlama.Size] = [
    .init(kvHeads: 4), .init(), .init(kvHeads: 1, hasBiases: true), .init(headDim: 4, isTied: true),
    .init(hasBiases: true, sections: [1, 2, 1]), .init(window: 7), .init(stretch: 4),
  ]

  static func run(
    _ methods: [any Compressor] = [], on model: LanguageModel, image: Range<Int> = 0..<0
  ) throws -> Run {
    var run = Run(
      try Composition(
        methods, for: Shape(tower: nil, decoder: model.shape, layout: Shape.Layout(tiling: .one))),
      seed: 4)
    if !image.isEmpty {
      run.images = [
        ImageLayout(
          tileRows: 1, tileColumns: 1, side: 1, thumbnail: nil, width: 1, height: 1,
          spans: [Int32(image.lowerBound)..<Int32(image.upperBound)])
      ]
    }
    return run
  }

  static func near(_ found: some Collection<Float>, _ wanted: [Double]) -> Bool {
    distance(found, wanted.map { Float($0) }) < tolerance
  }

  // MARK: The plain path

  /// 300 rows pass in three blocks of queries; decoding continues from the cache.
  @Test(arguments: sizes.indices, [5, 300]) func prefillAndDecodingAreARecomputation(
    _ index: Int, _ count: Int
  ) throws {
    let reference = DoubleLlama(Self.sizes[index])
    let model = try reference.model()
    var positions: [Position]?
    if !reference.size.sections.isEmpty {  // an image of 3 columns from row 1 on, then text
      positions = (0..<count).map { row in
        let cell = min(row, count - 2) - 1
        return row == 0
          ? Position(0)
          : row > count - 2
            ? Position(1 + (count - 2) / 3 + 1)
            : Position(t: 1, h: Int32(1 + cell / 3), w: Int32(1 + cell % 3))
      }
    }
    let prompt = reference.prompt(count, position: positions)
    var run = try Self.run(on: model)
    var seen: [Int: Tensor] = [:]
    var decoding = try model.prefill(prompt, run: &run, threads: 2) { seen[$0] = $1 }
    let ids = [7, 1, 30]
    let largest = prompt.position.map { Int(max($0.t, $0.h, $0.w)) }.max()!
    let expected = reference(
      reference.whole(prompt, ids),
      position: { $1 < count ? prompt.position[$1] : Position(largest + 1 + $1 - count) })
    #expect(Self.near(decoding.logits, expected.logits[count - 1]))
    #expect(seen.keys.sorted() == Array(0...reference.size.layers))
    for layer in 0..<reference.size.layers {
      #expect(Self.near(seen[layer]!.values, Array(expected.hidden[layer][..<count].joined())))
    }
    let last = seen[reference.size.layers]!
    #expect(
      Self.near(last.values, Array(expected.normed[..<count].joined())), "the last one is normed")
    #expect(Self.near(model.logits(last).values, Array(expected.logits[..<count].joined())))
    for (step, id) in ids.enumerated() {
      try model.step(id, &decoding, run: &run, threads: 2)
      #expect(Self.near(decoding.logits, expected.logits[count + step]), "step \(step)")
      #expect(decoding.caches.allSatisfy { $0.count == 1 && $0[0].count == count + step + 1 })
    }
    #expect(decoding.received == decoding.caches.map { $0[0].count })
    #expect(decoding.caches[0][0].id == (0..<Int32(count + 3)).map { $0 })
  }

  @Test(arguments: [false, true]) func threadsChangeNoBit(_ halved: Bool) throws {
    let model = try DoubleLlama().model(halved: halved)
    let prompt = DoubleLlama().prompt(200)
    var logits: [[[Float]]] = [[], [], []]
    for threads in 1...3 {
      var run = try Self.run(on: model)
      var decoding = try model.prefill(prompt, run: &run, threads: threads)
      logits[threads - 1].append(decoding.logits)
      for id in [4, 20, 31] {
        try model.step(id, &decoding, run: &run, threads: threads)
        logits[threads - 1].append(decoding.logits)
      }
    }
    #expect(logits[1] == logits[0] && logits[2] == logits[0])
  }

  @Test func equalAxesAreOneAxis() throws {
    let plain = try DoubleLlama(.init(hasBiases: true)).model()
    let axes = try DoubleLlama(.init(hasBiases: true, sections: [1, 2, 1])).model()
    #expect(plain.shape.sections == [] && axes.shape.sections == [1, 2, 1])
    let prompt = DoubleLlama(.init(hasBiases: true)).prompt(20)
    let logits = try [plain, axes].map { model in
      var run = try Self.run(on: model)
      return try model.prefill(prompt, run: &run).logits
    }
    #expect(logits[0] == logits[1])
  }

  @Test func halfWeightsAreTheirRoundedValues() throws {
    var reference = DoubleLlama()
    let prompt = reference.prompt(30)
    var found: [[Float]] = []
    for halved in [true, false] {
      let model = try reference.model(halved: halved) { values in
        if halved { return }
        for index in values.indices {
          guard case .f32(let tensor) = values[index].1, tensor.shape.count > 1 else { continue }
          values[index].1 = .f32(
            Tensor(tensor.values.map { Float(Float16($0)) }, shape: tensor.shape))
        }
      }
      var run = try Self.run(on: model)
      var decoding = try model.prefill(prompt, run: &run)
      try model.step(3, &decoding, run: &run)
      found.append(decoding.logits)
    }
    #expect(distance(found[0], found[1]) < 1e-5)
    reference = DoubleLlama(seed: 9)
    #expect(try reference.model().embeddings(of: [4, 4, 0]) == reference.embeddings([4, 4, 0]))
  }

  // MARK: Methods that cut

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
    mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) -> [Reduction]?
    {
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
    var run = try run([method], on: model, image: image)
    var decoding = try model.prefill(reference.prompt(count, image: image), run: &run)
    var logits = [decoding.logits]
    for id in [7, 1, 30] {
      try model.step(id, &decoding, run: &run)
      logits.append(decoding.logits)
    }
    return (logits, decoding, run)
  }

  /// Rows after the prompt see what is left of it; what was left out has been seen by the prompt.
  @Test(arguments: [PositionRule.Decode.next, .cacheLength]) func aCutCache(
    _ decode: PositionRule.Decode
  ) throws {
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
    for step in 0...3 { #expect(Self.near(logits[step], expected.logits[n - 1 + step])) }
    #expect(
      decoding.caches.map { $0[0].count } == [23, 9, 23] && decoding.received == [23, 23, 23])
    #expect(decoding.caches[1][0].id == kept.map { Int32($0) } + [20, 21, 22])
    #expect(run.trace.language.map(\.cached) == [20, 6, 20, 21, 7, 21, 22, 8, 22, 23, 9, 23])
    #expect(
      run.trace.language.map(\.rows) == [[20], [20], [20]] + [[Int]](repeating: [1], count: 9))
    #expect(run.trace.language[4].keys == [7])
    #expect(run.trace.language[0].visual == 10 && run.trace.language[3].visual == 0)
    #expect(method.box.views.withLock { $0.map(\.step) } == [0, 1, 2, 3])
    #expect(method.box.views.withLock { $0.map(\.received) } == [20, 21, 22, 23])
  }

  @Test func aCacheThatSplitsByHead() throws {
    let reference = DoubleLlama(.init(heads: 6, kvHeads: 3))
    let kept = [[0, 2, 3, 9], [5, 6, 18, 19], [1, 4, 7]]
    let record: [Site: Request] = [.cache(2): Request(attention: .all, summed: true, keys: true)]
    let method = Cutter(
      [.cache(2): kept], PositionRule(cut: .original, decode: .next), record: record)
    let (logits, decoding, run) = try Self.decode(reference, method)
    let n = Self.count
    let expected = reference(
      reference.whole(reference.prompt(n), [7, 1, 30]),
      sees: { layer, head, row, key in layer != 2 || row < n || key >= n || kept[head].contains(key)
      })
    for step in 0...3 { #expect(Self.near(logits[step], expected.logits[n - 1 + step])) }
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
        #expect(Self.near(recording.attention!.row(query), columns.map { row[$0] }))
      }
      #expect(Self.near(recording.keys!.values, columns.flatMap { expected.keys[2][head][$0] }))
    }
  }

  @Test(arguments: [false, true]) func aCutInsideTheModel(_ renumbered: Bool) throws {
    let reference = DoubleLlama()
    let rule = PositionRule(
      cut: renumbered ? .renumbered : .original, decode: renumbered ? .cacheLength : .next)
    let method = Cutter([.layer(1): [Self.survivors]], rule)
    let (logits, decoding, run) = try Self.decode(reference, method)
    let n = Self.count
    let expected = reference(
      reference.whole(reference.prompt(n), [7, 1, 30]),
      position: { layer, row in
        guard layer > 0, renumbered else { return Position(row) }
        return Position(
          row < n ? Self.survivors.firstIndex(of: row) ?? 0 : Self.survivors.count + row - n)
      }, sees: { layer, _, _, key in layer == 0 || key >= n || Self.survivors.contains(key) })
    for step in 0...3 { #expect(Self.near(logits[step], expected.logits[n - 1 + step])) }
    #expect(decoding.caches.map { $0[0].count } == [23, 17, 17])
    #expect(run.trace.language.prefix(3).map(\.rows) == [[20], [14], [14]])
    #expect(run.trace.language.prefix(3).map(\.visual) == [10, 4, 4])
    #expect(run.trace.acts.map(\.output) == [14])
  }

  @Test func withoutACacheEveryTokenIsAPrefill() throws {
    let reference = DoubleLlama()
    let model = try reference.model()
    let method = Cutter(
      [.layer(1): [Self.survivors]], PositionRule(cut: .original, decode: .afresh))
    var run = try Self.run([method], on: model, image: Self.image)
    var decoding = try model.prefill(reference.prompt(Self.count), run: &run)
    try model.step(7, &decoding, run: &run)
    // The second pass is not cut (the method cuts at step 0): it is the dense one.
    let expected = reference(reference.whole(reference.prompt(Self.count), [7]))
    #expect(Self.near(decoding.logits, expected.logits.last!))
    #expect(decoding.caches.isEmpty && run.trace.language.allSatisfy { $0.cached == 0 })
    #expect(run.trace.language.map(\.rows) == [[20], [14], [14], [21], [21], [21]])
    #expect(method.box.views.withLock { $0.map(\.step) } == [0, 1])
  }

  @Test func threeAxesAreNeverRenumbered() throws {
    let reference = DoubleLlama(.init(hasBiases: true, sections: [1, 2, 1]))
    let renumbering = Cutter(
      [.layer(1): [Self.survivors]], PositionRule(cut: .renumbered, decode: .cacheLength))
    let keeping = Cutter([.layer(1): [Self.survivors]], PositionRule(cut: .original, decode: .next))
    let (found, _, run) = try Self.decode(reference, renumbering)
    let (wanted, _, other) = try Self.decode(reference, keeping)
    #expect(found == wanted && run.composition.keepsPositions && !other.composition.keepsPositions)
  }

  @Test func textIsNotDropped() throws {
    let model = try DoubleLlama().model()
    for site in [Site.layer(0), .layer(2), .layer(3)] {
      let method = Cutter([site: [Array(0..<19)]], PositionRule(cut: .original, decode: .next))
      var run = try Self.run([method], on: model, image: Self.image)
      let prompt = DoubleLlama().prompt(Self.count, image: Self.image)
      #expect(throws: CompressionError.self) { try model.prefill(prompt, run: &run) }
    }
  }

  // MARK: Recordings

  @Test func recordingsAreWhatTheLayersFormed() throws {
    let reference = DoubleLlama()
    let model = try reference.model()
    let n = 150  // two blocks of queries
    let image = 5..<120
    let record: [Site: Request] = [
      .layer(0): Request(probe: .text),
      .layer(1): Request(attention: .text, probe: .last, keys: true, branches: true),
      .layer(2): Request(attention: .all, probe: .all, summed: true, finalNorm: true),
      .layer(3): Request(attention: .last, values: .logits),
      .cache(0): Request(attention: .text, values: .logits),
    ]
    let method = Cutter([:], PositionRule(cut: .original, decode: .next), record: record)
    var run = try Self.run([method], on: model, image: image)
    _ = try model.prefill(reference.prompt(n, image: image), run: &run, threads: 2)
    let expected = reference(reference.prompt(n).x)
    let views = Dictionary(
      uniqueKeysWithValues: method.box.views.withLock { $0.map { ($0.site, $0.view) } })
    func rows(_ attention: [[[Double]]], _ rows: Range<Int>) -> [Double] {
      attention.flatMap { $0[rows].joined() }
    }
    func sums(_ attention: [[[Double]]]) -> [Double] {
      attention.flatMap { rows in (0..<n).map { key in rows.reduce(0) { $0 + $1[key] } } }
    }
    let first = views[.layer(0)]!.recording(.layer(0))
    #expect(
      first.ids == (0..<150).map { $0 } && first.rowIDs == (120..<150).map { $0 }
        && first.attention == nil)
    #expect(Self.near(first.probe!.values, rows(expected.attention[0], 120..<n)))
    let second = views[.layer(1)]!.recording(.layer(1))
    #expect(second.attention!.shape == [4, 30, 150] && second.probe!.shape == [4, 1, 150])
    #expect(Self.near(second.attention!.values, rows(expected.attention[0], 120..<n)))
    #expect(Self.near(second.probe!.values, rows(expected.attention[1], n - 1..<n)))
    #expect(second.keys!.shape == [2, 150, 8])
    #expect(Self.near(second.keys!.values, Array(expected.keys[0].joined().joined())))
    for (found, wanted) in zip(second.branches, expected.branches[0]) {
      #expect(
        Self.near(found.input, wanted.input.map { $0.reduce(0) { $0 + $1 * $1 }.squareRoot() }))
      #expect(
        Self.near(found.output, wanted.output.map { $0.reduce(0) { $0 + $1 * $1 }.squareRoot() }))
      #expect(
        Self.near(
          found.dot,
          zip(wanted.input, wanted.output).map { zip($0, $1).reduce(0) { $0 + $1.0 * $1.1 } }))
    }
    #expect(second.branches.count == 2)
    let third = views[.layer(2)]!.recording(.layer(2))
    #expect(
      third.attention!.shape == [4, 150]
        && Self.near(third.attention!.values, sums(expected.attention[1])))
    #expect(Self.near(third.probe!.values, sums(expected.attention[2])))
    let tokens = views[.layer(2)]!.sequences[0]
    #expect(third.finalNorm == model.normed(tokens.x))
    let last = views[.layer(3)]!.recording(.layer(3))
    #expect(Self.near(last.attention!.values, rows(expected.scores[2], n - 1..<n)))
    let cached = views[.cache(0)]!.recording(.cache(0)).attention!
    for (found, wanted) in zip(cached.values, rows(expected.scores[0], 120..<n)) {
      #expect(found == Float(wanted) || abs(found - Float(wanted)) < Self.tolerance)
    }
    #expect(
      run.trace.language.map(\.probes) == [
        [.init(rows: 30, keys: n), .init(rows: 1, keys: n)], [.init(rows: n, keys: n)], [],
      ])
  }

  @Test func noiseIsAddedBeforeTheSoftmax() throws {
    let reference = DoubleLlama()
    let model = try reference.model()
    let values = Values.gumbel(tau: 1.5, perStep: 0.25)
    let record: [Site: Request] = [.cache(1): Request(attention: .last, values: values)]
    let method = Cutter([:], PositionRule(cut: .original, decode: .next), record: record)
    var run = try Self.run([method], on: model)
    var decoding = try model.prefill(reference.prompt(9), run: &run)
    try model.step(7, &decoding, run: &run)
    let expected = reference(reference.whole(reference.prompt(9), [7]))
    for (step, row) in [(0, 8), (1, 9)] {
      let found = method.box.views.withLock { $0[step].view }.recording(.cache(1)).attention!
      for head in 0..<4 {
        let noise = GumbelField(seed: 4, step: step, layer: 1, head: head)
        let logits = (0...row).map { key in
          (Float(expected.scores[1][head][row][key]) + noise[Int32(row), Int32(key)])
            / (1.5 + 0.25 * Float(step))
        }
        #expect(distance(found.row(head), softmax(logits)) < Self.tolerance)
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
    (.layer(0), Request(attention: .last)), (.layer(0), Request(keys: true)),
    (.layer(0), Request(branches: true)),
    (.layer(3), Request(probe: .last)), (.layer(1), Request(attention: .all)),
    (.layer(1), Request(probe: .all)),
    (.layer(1), Request(attention: .classifier)), (.layer(1), Request(joint: true)),
    (.cache(1), Request(probe: .last)), (.cache(1), Request(branches: true)),
    (.cache(1), Request(finalNorm: true)),
    (.cache(1), Request(attention: .all)),
  ]
  @Test func recordingsThatNoLayerMakes() throws {
    let shape = Shape(
      tower: nil, decoder: try DoubleLlama().model().shape, layout: Shape.Layout(tiling: .one))
    let rule = PositionRule(cut: .original, decode: .next)
    for (site, request) in Self.impossible {
      #expect(throws: CompressionError.self, "\(site) \(request)") {
        try Composition([Cutter([:], rule, record: [site: request])], for: shape)
      }
    }
    let possible: [Site: Request] = [
      .layer(0): Request(probe: .text, finalNorm: true),
      .layer(3): Request(attention: .all, summed: true),
      .cache(2): Request(attention: .all, values: .logits, summed: true, keys: true),
    ]
    _ = try Composition([Cutter([:], rule, record: possible)], for: shape)
  }

  // MARK: What cannot be loaded

  static let damages: [(@Sendable (inout [(String, Safetensors.Value)]) -> Void)] = [
    { $0.removeAll { $0.0 == "model.layers.1.mlp.up_proj.weight" } },
    { $0.removeAll { $0.0 == "model.norm.weight" } },
    { $0.removeAll { $0.0.hasSuffix("q_proj.bias") } },
    { values in
      let index = values.firstIndex { $0.0 == "model.layers.0.self_attn.k_proj.weight" }!
      values[index].1 = .f32(Tensor(zeros: [15, 24]))
    },
    { values in
      let index = values.firstIndex { $0.0 == "model.embed_tokens.weight" }!
      values[index].1 = .f32(Tensor(zeros: [51, 24]))
    },
  ]
  @Test(arguments: damages.indices) func damagedCheckpoints(_ index: Int) {
    let reference = DoubleLlama(.init(hasBiases: true))
    #expect(throws: WeightError.self) { try reference.model(changing: Self.damages[index]) }
  }

  @Test func aHeadOfAnotherModel() {
    #expect(throws: ModelError.self) {
      try DoubleLlama().model { values in
        values[values.count - 1].1 = .f32(Tensor(zeros: [50, 23]))
      }
    }
  }

  static let misfits: [(String, JSON)] = [
    ("model_type", "gpt2"), ("hidden_act", "gelu"), ("num_key_value_heads", 3), ("head_dim", 7),
    ("hidden_size", -1),
    ("rope_scaling", ["type": "yarn", "factor": 4]),
    ("rope_scaling", ["type": "mrope", "mrope_section": [4, 4, 4]]),
    ("use_sliding_window", true), ("rope_theta", "10000"), ("rope_theta", 0),
  ]
  @Test(arguments: misfits.indices) func configurationsThatMakeNoSense(_ index: Int) {
    let reference = DoubleLlama()
    let (key, value) = Self.misfits[index]
    var members = reference.config.object!
    members[key] = value
    #expect(throws: ModelError.self) { try reference.model(config: .object(members)) }
  }

  @Test func tokensOutsideTheVocabulary() throws {
    let model = try DoubleLlama().model()
    #expect(throws: ModelError.self) { try model.embeddings(of: [3, 50]) }
    #expect(throws: ModelError.self) { try model.embeddings(of: [-1]) }
  }

  // MARK: Choosing tokens

  @Test func greedyTakesTheFirstOfEquals() {
    var sampling = Sampling.greedy
    #expect(sampling.next([1, 3, 3, 0]) == 1)
  }

  @Test func lotsFollowTheProbabilities() {
    let logits = [0.5, 0.3, 0.15, 0.05].map { logf($0) }
    func share(_ sampling: Sampling) -> [Double] {
      var sampling = sampling
      var counts = [Double](repeating: 0, count: 4)
      for _ in 0..<20_000 { counts[sampling.next(logits)] += 1 / 20_000 }
      return counts
    }
    func close(_ a: [Double], _ b: [Double]) -> Bool {
      zip(a, b).allSatisfy { abs($0 - $1) < 0.015 }
    }
    #expect(close(share(Sampling(temperature: 1)), [0.5, 0.3, 0.15, 0.05]))
    #expect(
      close(share(Sampling(temperature: 1, topP: 0.6)), [0.625, 0.375, 0, 0]),
      "the one that crosses is kept")
    #expect(close(share(Sampling(temperature: 1, topP: 0.3)), [1, 0, 0, 0]))
    #expect(
      close(share(Sampling(temperature: 0.5)), [0.25, 0.09, 0.0225, 0.0025].map { $0 / 0.365 }))
    #expect(share(Sampling(temperature: 1, seed: 5)) == share(Sampling(temperature: 1, seed: 5)))
    #expect(share(Sampling(temperature: 1, seed: 5)) != share(Sampling(temperature: 1, seed: 6)))
  }

  @Test func answersEndWhereTheyShould() throws {
    let model = try DoubleLlama().model()
    let prompt = DoubleLlama().prompt(6)
    var run = try Self.run(on: model)
    let all = try model.generate(prompt, run: &run, limit: 6)
    #expect(all.count == 6 && run.trace.language.count == 3 * 6, "the last token is not fed")
    let stop = all[2]
    run = try Self.run(on: model)
    let stopped = try model.generate(prompt, run: &run, limit: 6, stops: [stop])
    #expect(stopped == Array(all[...all.firstIndex(of: stop)!]))
    run = try Self.run(on: model)
    var seen: [Int] = []
    let refused = try model.generate(prompt, run: &run, limit: 6) {
      seen.append($0)
      return seen.count < 2
    }
    #expect(refused == Array(all[..<2]) && seen == refused)
  }
}
