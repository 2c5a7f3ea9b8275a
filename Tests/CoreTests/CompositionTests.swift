import Testing
import VTokCore
import VTokTensor

/// Which plans fit which model and each other, and what the runner refuses.
@Suite struct CompositionTests {
  static let tower = Shape.Tower(
    blocks: 4, width: 8, heads: 2, ffn: 16, prefix: 1, hasClassifier: true, rows: 4, columns: 4, patch: 4)
  static let decoder = Shape.Decoder(
    layers: 3, width: 8, heads: 2, kvHeads: 2, headDim: 4, ffn: 16, vocabulary: 9, frequencies: [1, 0.1])
  static let vit = Shape(tower: tower)
  static let lvlm = Shape(tower: tower, decoder: decoder, layout: Shape.Layout(tiling: .one))

  /// A method that is nothing but its plan.
  struct Planned: Compressor {
    static let name = "planned"
    static let summary = "for tests"
    let made: Plan
    var answer: [Reduction]?
    init(_ made: Plan, answer: [Reduction]? = nil) { (self.made, self.answer) = (made, answer) }
    init(_ options: inout Options) throws(OptionError) { self.init(Plan()) }
    func plan(for model: Shape) throws(CompressionError) -> Plan { made }
    mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
      -> [Reduction]?
    { answer }
  }

  /// The same under another name.
  struct AlsoPlanned: Compressor {
    static let name = "also-planned"
    static let summary = "for tests"
    var inner: Planned
    init(_ made: Plan) { inner = Planned(made) }
    init(_ options: inout Options) throws(OptionError) { self.init(Plan()) }
    func plan(for model: Shape) throws(CompressionError) -> Plan { inner.made }
    mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
      -> [Reduction]?
    { inner.answer }
  }

  /// One method may act twice, but not at one place of the tower.
  @Test func aMethodActsOnceInABlock() throws {
    let plan = Plan(act: [.block(1, .middle)])
    #expect(throws: CompressionError.self) { try Composition([Planned(plan), Planned(plan)], for: Self.lvlm) }
    let later = Plan(act: [.block(1, .end)])
    #expect(throws: Never.self) { try Composition([Planned(plan), Planned(later)], for: Self.lvlm) }
    #expect(throws: Never.self) { try Composition([Planned(plan), AlsoPlanned(plan)], for: Self.lvlm) }
  }

  static let late = PositionRule(cut: .original, decode: .next)
  static let pairs: [(Plan, Plan, Bool)] = [
    (Plan(massBias: true), Plan(massBias: true), true),
    (Plan(massBias: true), Plan(massBias: nil), true),
    (Plan(massBias: true), Plan(massBias: false), false),
    (Plan(act: [.features]), Plan(act: [.features]), false),
    (Plan(act: [.pack]), Plan(act: [.pack]), false),
    (Plan(act: [.block(1, .middle)]), Plan(act: [.block(1, .middle), .features]), true),
    (Plan(shrink: .tokens(4)), Plan(shrink: .tokens(9)), false),
    (Plan(act: [.cache(0)], positions: late), Plan(act: [.cache(2)], positions: late), false),
    (Plan(act: [.layer(1)], positions: late), Plan(act: [.layer(2)], positions: late), true),
    (
      Plan(act: [.layer(1)], positions: late),
      Plan(act: [.layer(2)], positions: PositionRule(cut: .renumbered, decode: .next)), false
    ),
    (
      Plan(act: [.layer(0)], positions: PositionRule(cut: .renumbered, decode: .next)),
      Plan(act: [.layer(2)], positions: late), true
    ),
    (
      Plan(act: [.layer(1)], positions: PositionRule(cut: .original, decode: .afresh)),
      Plan(act: [.cache(1)], positions: late), false
    ),
  ]

  /// The last rule in the list governs decoding.
  @Test func theLastRuleDecodes() throws {
    let cut = Plan(act: [.layer(1)], positions: Self.late)
    let cache = Plan(act: [.cache(1)], positions: PositionRule(cut: .original, decode: .cacheLength))
    func rule(_ plans: [Plan]) throws -> PositionRule? {
      try Composition(plans.map { Planned($0) }, for: Self.lvlm).positions
    }
    #expect(try rule([cut, cache]) == cache.positions && rule([cache, cut]) == cut.positions)
    #expect(try rule([cut, Plan(act: [.features])]) == cut.positions && rule([Plan(act: [.pack])]) == nil)
  }

  /// Text may leave caches, never the sequence.
  @Test func textStaysInTheSequence() throws {
    let tokens = TokenSequence(
      x: Tensor(zeros: [5, 8]), kind: [.text, .patch, .patch, .patch, .text],
      origin: Origin([nil, 0, 1, 2, nil]))
    for (site, kept, fits) in [
      (Site.layer(1), [0, 2, 4], true), (.layer(1), [1, 2, 3, 4], false), (.layer(0), [0, 1, 2], false),
      (.cache(1), [2], true),
    ] {
      var run = Run(
        try Composition(
          [Planned(Plan(act: [site], positions: Self.late), answer: [.keep(kept, of: 5)])], for: Self.lvlm))
      run.images = [
        ImageLayout(tileRows: 1, tileColumns: 1, side: 1, thumbnail: nil, width: 1, height: 1, spans: [1..<4])
      ]
      var sequences = [tokens]
      do {
        try run.act(at: site, on: &sequences)
        #expect(fits && sequences[0].count == kept.count)
      } catch {
        #expect(!fits && "\(error)".contains("drops text"))
      }
    }
  }

  @Test(arguments: 0..<pairs.count) func pairsThatFit(index: Int) {
    let (a, b, fits) = Self.pairs[index]
    for pair in [[a, b], [b, a]] {
      let made = Result { try Composition([Planned(pair[0]), AlsoPlanned(pair[1])], for: Self.lvlm) }
      let isMade = (try? made.get()) != nil
      #expect(isMade == fits)
      if case .failure(let error) = made { #expect("\(error)".contains("cannot run together")) }
    }
  }

  static let misfits: [(Plan, Shape)] = [
    (Plan(act: [.block(4, .end)]), vit), (Plan(act: [.layer(0)]), vit), (Plan(act: [.pack]), vit),
    (Plan(act: [.cache(3)]), lvlm), (Plan(act: [.layer(4)]), lvlm), (Plan(record: [.block(9, .end): Request()]), vit),
    (Plan(record: [.block(0, .end): Request(attention: .text)]), vit),
    (Plan(record: [.block(0, .end): Request(branches: true)]), vit),
  ]

  @Test(arguments: 0..<misfits.count) func sitesThatAModelLacks(index: Int) {
    let (plan, shape) = Self.misfits[index]
    #expect(throws: CompressionError.self) { try Composition([Planned(plan)], for: shape) }
  }

  /// Features of block 2 of 4: block 3 never runs.
  @Test func blocksBehindTheFeatures() throws {
    let early = Shape(
      tower: Shape.Tower(
        blocks: 4, featureBlock: 2, width: 8, heads: 2, ffn: 16, prefix: 1, hasClassifier: true, rows: 4, columns: 4,
        patch: 4), decoder: Self.decoder, layout: Shape.Layout(tiling: .one))
    let (last, before) = (Site.block(3, .end), Site.block(2, .end))
    let request = [last: Request(attention: .classifier)]
    for (plan, fits) in [
      (Plan(record: request, act: [before, last]), true), (Plan(act: [last, .pack]), true), (Plan(act: [last]), false),
      (Plan(record: request, act: [.features]), false),
    ] {
      let made = Result { try Composition([Planned(plan)], for: early) }
      #expect((try? made.get()) != nil ? fits : !fits)
    }
  }

  @Test func theLastLayersEndIsASite() throws {
    _ = try Composition([Planned(Plan(act: [.layer(3)]))], for: Self.lvlm)
  }

  @Test func wrongReductionsAreRefused() throws {
    let tokens = ReductionTests.noise(5)
    for answer in [[], [Reduction.keep([0], of: 4)], [.keep([0], of: 6), .keep([0], of: 6)], [.keep([], of: 6)]] {
      var run = Run(try Composition([Planned(Plan(act: [.features]), answer: answer)], for: Self.vit))
      var sequences = [tokens]
      #expect(throws: CompressionError.self) { try run.act(at: .features, on: &sequences) }
    }
  }

  @Test func whatTheModelDoesWithoutAnAnswer() throws {
    let tokens = ReductionTests.noise(5)
    let drop = Reduction.keep([1, 2, 3, 4, 5], of: 6)
    for (answer, count) in [(nil, 5), ([Reduction.keep([0, 3], of: 6)], 2)] {
      var run = Run(try Composition([Planned(Plan(act: [.features]), answer: answer)], for: Self.lvlm))
      var sequences = [tokens]
      try run.act(at: .features, on: &sequences, standard: [drop])
      #expect(sequences[0].count == count)
    }
  }

  /// Rows of all tiles count through, the newline behind them; a source may serve many rows.
  @Test func packing() throws {
    let tiles = [ReductionTests.noise(3, seed: 1), ReductionTests.noise(2, seed: 2)]
    var newline = ReductionTests.noise(1, seed: 3)
    newline.apply(.keep([1], of: 2))
    let standard = [Reduction.keep([0, 7, 5, 7], of: 8), .keep([1, 2], of: 8)]
    var dense = Run(try Composition([], for: Self.lvlm))
    let spans = try dense.pack(tiles, newline: newline, standard: standard)
    #expect(spans.map(\.count) == [4, 2] && spans[1].x == tiles[0].x.gathered([1, 2]))
    #expect(spans[0].x.row(1) == newline.x.row(0) && spans[0].x.row(2) == tiles[1].x.row(1))
    #expect(dense.trace.acts.isEmpty)

    func packed(_ answer: [Reduction]?) throws -> ([TokenSequence], Trace) {
      var run = Run(try Composition([Planned(Plan(act: [.pack]), answer: answer)], for: Self.lvlm))
      return (try run.pack(tiles, newline: newline, standard: standard), run.trace)
    }
    #expect(try packed(nil).0.map(\.x) == spans.map(\.x))
    let (own, trace) = try packed([.keep([6], of: 8), .keep([3, 0, 2], of: 8)])
    #expect(own.map(\.count) == [1, 3] && trace.acts[0].input == 7 && trace.acts[0].output == 4)
    for wrong in [
      [Reduction.keep([6], of: 8)], [.keep([6], of: 7), .keep([6], of: 7)], [.keep([], of: 8), standard[1]],
    ] {
      #expect(throws: CompressionError.self) { try packed(wrong) }
    }
  }

  @Test func aPromptIsBornAnew() {
    var tokens = ReductionTests.noise(3)
    tokens.apply(.keep([3, 1], of: 4))
    tokens.restart(at: [Position(7), Position(t: 1, h: 2, w: 3)])
    #expect(tokens.id == [0, 1] && tokens.position[1].w == 3 && tokens.origin.patches == [2, 0])
  }
}
