import Testing
import VTokCore
import VTokMethods
import VTokTensor

/// What must hold of every method between vision tower and language model, on seeded noise of random shapes.
@Suite struct CompressorTests {
  static let seeds: [UInt64] = Array(0..<12)

  // MARK: Amounts

  @Test(arguments: seeds) func divpruneKeepsItsShareOfEveryImage(seed: UInt64) throws {
    let stage = PromptStage(seed: seed)
    let run = try stage.run("divprune:keep=0.3")
    for (before, after) in zip(stage.spans, run.visual) {
      #expect(after == Budget.ratio(0.3).tokens(of: before.count))
    }
  }

  @Test(arguments: seeds) func hiredStaysWithinItsBudget(seed: UInt64) throws {
    for mode in ["official", "paper"] {
      // Divisible by 1, 2, 3, 4, 6 and 9 tiles, as the official mode asks.
      let stage = TileStage(seed: seed, side: 6)
      let run = try stage.run("hired:budget=0.2,mode=\(mode)")
      #expect(run.packed.count <= Int(Double(stage.patches) * 0.2))
      #expect(Set(run.packed.id).count == run.packed.count && run.packed.kind.allSatisfy { $0 == .patch })
    }
  }

  @Test(arguments: seeds) func globalCom2CountsItsNewlines(seed: UInt64) throws {
    let stage = TileStage(seed: seed)
    let official = try stage.run("globalcom2:retention=0.25").packed
    let clean = try stage.run("globalcom2:retention=0.25,mode=clean").packed
    #expect(official.rows(.newline).count == stage.layout.tileRows * stage.side)
    #expect(clean.rows(.newline).count <= official.rows(.newline).count)
    #expect(official.rows(.patch).count == clean.rows(.patch).count, "modes differ in places, not in numbers")
    let patches = official.rows(.patch)
    #expect(Set(patches.map { official.id[$0] }).count == patches.count)
  }

  @Test(arguments: seeds) func visionZipLeavesEveryTileTheSame(seed: UInt64) throws {
    let stage = TileStage(seed: seed)
    let run = try stage.run("visionzip:dominant=5,contextual=3")
    #expect(run.packed.count == 8 * stage.tiles.count)
    #expect(run.packed.rows(.classifier).count == stage.tiles.count)
    // Dominant rows are unchanged; a contextual row is its target plus the mean of its followers.
    for row in 0..<run.packed.count {
      let weights = run.packed.origin.weights[run.packed.origin.range(row)]
      let sum = weights.reduce(0, +)
      let isClass = run.packed.kind[row] == .classifier
      #expect(weights.isEmpty == isClass && (isClass || abs(sum - 1) < 1e-4 || abs(sum - 2) < 1e-4))
    }
    let patches = Set(run.packed.origin.patches.map(Int.init))
    #expect(patches == Set(0..<stage.patches), "every patch is dominant or merged")
    let budgeted = try stage.run("visionzip:keep=0.5").packed
    #expect(budgeted.count == Budget.ratio(0.5).tokens(of: stage.patches))
  }

  @Test(arguments: seeds) func cdprunerKeepsTheSameOfEveryTile(seed: UInt64) throws {
    let stage = TileStage(seed: seed)
    let run = try stage.run("cdpruner:per-tile=4")
    #expect(run.packed.count == 4 * stage.tiles.count && Set(run.packed.id).count == run.packed.count)
    let size = Int32(stage.side * stage.side)
    let tiles = run.packed.origin.patches.map { $0 / size }
    #expect((0..<Int32(stage.tiles.count)).allSatisfy { tile in tiles.count { $0 == tile } == 4 })
  }

  @Test(arguments: seeds) func cdprunerFromThePromptRoundsUpToEven(seed: UInt64) throws {
    let stage = PromptStage(seed: seed)
    let run = try stage.run("cdpruner:kernel=openvino,keep=0.3")
    for (before, after) in zip(stage.spans, run.visual) {
      let asked = Budget.ratio(0.3).tokens(of: before.count)
      #expect(after == min(asked + asked % 2, before.count))
    }
  }

  @Test(arguments: seeds) func dartKeepsPivotsAndWhatTheyPick(seed: UInt64) throws {
    let stage = PromptStage(seed: seed)
    let total = stage.spans.reduce(0) { $0 + $1.count }
    let texts = min(4, stage.textAfter)
    for (spec, picked) in [("dart:tokens=17", 17), ("dart:reduction=0.5", total / 2)] {
      let run = try stage.run(spec)
      #expect(run.visual.reduce(0, +) == 4 + min(picked, total - 4) / 8 * (4 + texts))
    }
    let budgeted = try stage.run("dart:keep=0.5").visual.reduce(0, +)
    #expect(abs(budgeted - Budget.ratio(0.5).tokens(of: total)) <= (4 + texts + 1) / 2)
    let perImage = try stage.run("dart:stage=embeddings,keep=0.5").visual
    #expect(
      zip(perImage, stage.spans).allSatisfy { left, span in
        abs(left - Budget.ratio(0.5).tokens(of: span.count)) <= (4 + texts + 1) / 2 && left >= 4
      })
  }

  @Test(arguments: seeds) func tokenCorrKeepsPatchesOnly(seed: UInt64) throws {
    for sample in ["top", "seeded"] {
      let run = try TileStage(seed: seed).run("token-corr:sample=\(sample),similarity=0.3")
      #expect(run.tiles.allSatisfy { !$0.kind.contains(.classifier) && $0.count > 0 })
      #expect(run.tiles.allSatisfy { $0.id == $0.id.sorted() })
    }
  }

  /// `list(set(values).copy())` of CPython 3.11: small tables, one that the copy shrinks, one that it grows.
  static let sets: [(values: [Int], order: [Int])] = [
    ([657, 281, 387], [657, 387, 281]),
    ([687, 562, 49, 496, 275, 684], [496, 49, 562, 275, 684, 687]),
    ([73, 180, 135, 400, 500, 272, 409, 576], [576, 135, 73, 400, 272, 180, 500, 409]),
    (
      [124, 607, 275, 33, 241, 437, 306, 206, 418, 183, 93, 162, 652, 475, 149, 155],
      [652, 206, 275, 149, 155, 475, 93, 607, 33, 418, 162, 241, 306, 437, 183, 124]
    ),
  ]

  @Test(arguments: sets) func dartVisitsPivotsAsPythonDoes(_ values: [Int], order: [Int]) {
    #expect(DART.setOrder(values) == order)
  }

  // MARK: For all

  static let packers = [
    "hired:keep=0.2,mode=paper", "globalcom2:keep=0.25", "globalcom2:keep=0.25,mode=clean",
    "visionzip:dominant=5,contextual=3", "cdpruner:keep=0.3", "token-corr:similarity=0.3",
    "token-corr:similarity=0.3,sample=seeded",
  ]
  static let cutters = [
    "divprune:keep=0.3", "cdpruner:kernel=openvino,keep=0.3", "cdpruner:kernel=openvino,split=off,keep=9",
    "dart:keep=0.5", "dart:tokens=9,order=sorted", "dart:stage=embeddings,keep=0.5",
  ]

  @Test(arguments: packers, seeds) func originsAreTrue(_ spec: String, seed: UInt64) throws {
    let stage = TileStage(seed: seed)
    for tokens in [try stage.run(spec).packed] {
      for row in 0..<tokens.count where tokens.kind[row] == .patch {
        // The first patch a row stands for is its anchor, whose value it has or starts with.
        #expect(tokens.origin.patches[tokens.origin.range(row).lowerBound] == stage.patch(ofID: tokens.id[row]))
      }
      #expect(tokens.kind.indices.allSatisfy { tokens.kind[$0] != .newline || tokens.origin.range($0).isEmpty })
    }
  }

  @Test(arguments: cutters, seeds) func textAndOrderStay(_ spec: String, seed: UInt64) throws {
    let stage = PromptStage(seed: seed)
    let run = try stage.run(spec)
    #expect(run.tokens.rows(.text).map { run.tokens.id[$0] } == stage.tokens.rows(.text).map { stage.tokens.id[$0] })
    #expect(run.tokens.id == run.tokens.id.sorted() && Set(run.tokens.id).count == run.tokens.count)
    for row in 0..<run.tokens.count {
      #expect(run.tokens.x.row(row) == stage.tokens.x.row(Int(run.tokens.id[row])))
    }
  }

  @Test(arguments: seeds) func runsRepeat(seed: UInt64) throws {
    for spec in Self.packers {
      let (first, second) = (try TileStage(seed: seed).run(spec), try TileStage(seed: seed).run(spec))
      #expect(first.packed.id == second.packed.id && first.packed.x == second.packed.x)
    }
    for spec in Self.cutters {
      #expect(try PromptStage(seed: seed).run(spec).tokens.id == PromptStage(seed: seed).run(spec).tokens.id)
    }
  }

  /// Where all tokens are equal, the first ones stay.
  @Test func theSmallerIndexWinsTies() throws {
    let stage = TileStage(seed: 3, side: 6, isConstant: true)
    let first = try stage.run("globalcom2:retention=0.25").packed
    #expect(Array(first.id[..<9]) == (1...9).map { Int32($0) })
    let zipped = try stage.run("visionzip:dominant=5,contextual=2")
    #expect(Array(zipped.tiles[0].id[..<5]) == [0, 1, 2, 3, 4])
    let fair = try stage.run("hired:keep=0.2").packed
    #expect(fair.id.first == 1)
    let prompt = PromptStage(seed: 3, isConstant: true)
    let image = Int32(prompt.spans[0].lowerBound)
    let cut = try prompt.run("divprune:keep=3").tokens
    #expect(cut.rows(.patch).prefix(3).map { cut.id[$0] } == [image, image + 1, image + 2])
    let dart = try prompt.run("dart:keep=0.5").tokens
    #expect(dart.rows(.patch).prefix(4).map { dart.id[$0] } == (0..<4).map { image + $0 })
  }

  // MARK: Refusals

  static func shape(
    prefix: Int = 1, classifier: Bool = true, feature: Int = 2,
    layout: Shape.Layout? = Shape.Layout(tiling: .cut, hasNewline: true),
    layers: Int = 4
  ) -> Shape {
    let tower = Shape.Tower(
      blocks: 4, featureBlock: feature, width: 8, heads: 2, ffn: 16, prefix: prefix, hasClassifier: classifier, rows: 4,
      columns: 4, patch: 4)
    let decoder = Shape.Decoder(
      layers: layers, width: 8, heads: 2, kvHeads: 2, headDim: 4, ffn: 16, vocabulary: 9, frequencies: [1, 0.1])
    return Shape(tower: tower, decoder: layout == nil ? nil : decoder, layout: layout)
  }

  static let misfits: [(String, Shape)] = [
    ("hired", shape(prefix: 0, classifier: false)), ("hired", shape(layout: nil)),
    ("hired", shape(layout: Shape.Layout(tiling: .cut, hasSpanPerTile: true))),
    ("globalcom2", shape(feature: 3)), ("globalcom2", shape(layout: Shape.Layout(tiling: .one))),
    ("globalcom2", shape(prefix: 0, classifier: false)), ("visionzip", shape(prefix: 0, classifier: false)),
    ("visionzip", shape(prefix: 2)), ("visionzip", shape(layout: Shape.Layout(tiling: .native))),
    ("visionzip:dominant=15,contextual=3", shape()), ("cdpruner", shape(layout: nil)),
    ("cdpruner:per-tile=17", shape()), ("cdpruner:kernel=openvino", shape(layout: nil)),
    ("dart", shape(layout: nil)), ("dart:layer=4", shape()), ("dart:stage=embeddings", shape(layout: nil)),
    ("token-corr", shape(prefix: 0, classifier: false)), ("token-corr:low=4", shape()),
    ("hired+cls-attention", shape()), ("visionzip+globalcom2", shape()), ("tome+hired", shape()),
  ]

  @Test(arguments: 0..<misfits.count) func misfitsAreRefusedBeforeWeightsLoad(_ index: Int) throws {
    let (spec, shape) = Self.misfits[index]
    let methods = try MethodSpec(spec).make(budget: .ratio(0.5))
    #expect(throws: CompressionError.self, "\(spec)") { try Composition(methods, for: shape) }
  }

  @Test(arguments: [
    "hired:alpha=2", "hired:mode=fast", "visionzip:dominant=3", "visionzip:contextual=3",
    "visionzip:dominant=3,contextual=1,keep=5", "cdpruner:per-tile=4,keep=9", "cdpruner:per-tile=4,kernel=openvino",
    "cdpruner:weight=2", "dart:tokens=4,reduction=0.5", "dart:tokens=4,keep=9", "dart:reduction=2", "dart:layer=0",
    "token-corr:keep=3", "globalcom2:temperature=0",
  ]) func optionsAreChecked(_ spec: String) {
    #expect(throws: MethodError.self) { try MethodSpec(spec).make(budget: nil) }
  }

  @Test func whatCannotBeReachedIsAnError() throws {
    #expect(throws: CompressionError.self) { try PromptStage(seed: 1).run("dart:keep=1") }
    #expect(throws: CompressionError.self) { try TileStage(seed: 1).run("visionzip:keep=1") }
    #expect(throws: CompressionError.self) { try TileStage(seed: 1).run("cdpruner:keep=1") }
    // 25 tokens do not fall into 4 equal runs.
    #expect(throws: CompressionError.self) { try TileStage(seed: 1, side: 5, grid: (2, 2)).run("hired:keep=0.5") }
    #expect(throws: Never.self) { try TileStage(seed: 1, side: 5, grid: (2, 2)).run("hired:keep=0.5,mode=paper") }
  }
}

/// The tiles of one LLaVA-NeXT image behind a tower of four blocks.
struct TileStage {
  static let heads = 2, width = 8
  let side: Int
  let tiles: [TokenSequence]
  let layout: ImageLayout
  private let seed: UInt64, isConstant: Bool

  var patches: Int { tiles.count * side * side }

  init(seed: UInt64, side: Int? = nil, grid: (Int, Int)? = nil, isConstant: Bool = false) {
    var generator = SeededGenerator(seed: seed)
    func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }
    let side = side ?? pick(4...7)
    let grid = grid ?? [(1, 2), (2, 1), (2, 2), (1, 3), (3, 1)][pick(0...4)]
    let size = side * side
    tiles = (0..<1 + grid.0 * grid.1).map { tile in
      TokenSequence(
        x: noise([size + 1, Self.width], &generator, isConstant),
        kind: [.classifier] + [TokenKind](repeating: .patch, count: size),
        origin: Origin([nil] + (0..<size).map { tile * size + $0 }))
    }
    layout = ImageLayout(
      tileRows: grid.0, tileColumns: grid.1, side: side, thumbnail: 0, width: pick(50...500), height: pick(50...500),
      spans: [], tokens: (1 + grid.0 * grid.1) * size)
    (self.side, self.seed, self.isConstant) = (side, seed, isConstant)
  }

  /// Ids in the packed sequence count through the tiles, the class token of each among them.
  func patch(ofID id: Int32) -> Int32 {
    let size = Int32(side * side + 1)
    return id / size * (size - 1) + id % size - 1
  }

  struct Result {
    /// After `.features`, and the one visual span.
    let tiles: [TokenSequence], packed: TokenSequence
  }

  func run(_ spec: String) throws -> Result {
    let shape = Shape(
      tower: Shape.Tower(
        blocks: 4, featureBlock: 2, width: Self.width, heads: Self.heads, ffn: 16, prefix: 1, hasClassifier: true,
        rows: side, columns: side, patch: 4),
      decoder: CompositionTests.decoder, layout: Shape.Layout(tiling: .cut, hasNewline: true))
    var method = try MethodSpec(spec).make(budget: nil)[0]
    let plan = try method.plan(for: shape)
    var generator = SeededGenerator(seed: seed ^ 77)
    var recordings: [RecordingKey: Recording] = [:]
    for (site, request) in plan.record.sorted(by: { "\($0.key)" < "\($1.key)" }) {
      for (index, tile) in tiles.enumerated() {
        recordings[RecordingKey(site: site, sequence: index)] = Recording(
          ids: tile.id, rowIDs: [0], attention: noise([Self.heads, 1, tile.count], &generator, isConstant).magnitudes,
          probe: noise([Self.heads, 1, tile.count], &generator, isConstant),
          keys: noise([Self.heads, tile.count, 4], &generator, isConstant),
          joint: request.joint ? noise([tile.count, 6], &generator, isConstant) : nil)
      }
    }
    let question = noise([2, 6], &generator, isConstant)
    func view(_ sequences: [TokenSequence], standard: [Reduction]?, newline: Int? = nil) -> View {
      View(
        sequences: sequences, standard: standard, newline: newline.map { Int32($0) }, images: [layout], image: 0,
        shape: shape, question: question, seed: seed, recordings: recordings)
    }
    var notes = Notes()
    var left = tiles
    let patchesOnly = tiles.map { Reduction.keep($0.rows(.patch), of: $0.count) }
    var features: [Reduction]?
    if plan.act.contains(.features) {
      features = try method.reduce(view(left, standard: patchesOnly), at: .features, notes: &notes)
    }
    for (index, reduction) in (features ?? patchesOnly).enumerated() { left[index].apply(reduction) }
    var sources = left[0]
    for tile in left.dropFirst() { sources.append(tile) }
    let newline = sources.count
    sources.append(
      TokenSequence(x: Tensor(zeros: [1, Self.width]), kind: [.newline], origin: Origin([nil])))
    var packed = Reduction.keep(Array(0..<newline), of: newline + 1)
    if plan.act.contains(.pack) {
      packed =
        try method.reduce(view(left, standard: [packed], newline: newline), at: .pack, notes: &notes)?[0] ?? packed
    }
    // Tiles number their rows alike; here they count through.
    let size = Int32(side * side + 1)
    let ids = left.enumerated().flatMap { tile, tokens in tokens.id.map { Int32(tile) * size + $0 } } as [Int32]
    var numbered = TokenSequence(x: sources.x, kind: sources.kind, origin: sources.origin, id: ids + [-1])
    numbered.apply(packed)
    return Result(tiles: left, packed: numbered)
  }
}

/// A prompt with one or two images and text around them.
struct PromptStage {
  static let width = 8
  let tokens: TokenSequence
  let spans: [Range<Int>]
  let textAfter: Int
  private let seed: UInt64, isConstant: Bool

  init(seed: UInt64, isConstant: Bool = false) {
    var generator = SeededGenerator(seed: seed)
    func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }
    var kinds: [TokenKind] = []
    var spans: [Range<Int>] = []
    for _ in 0..<pick(1...2) {
      kinds += [TokenKind](repeating: .text, count: pick(1...6))
      let count = pick(20...50)
      spans.append(kinds.count..<kinds.count + count)
      kinds += [TokenKind](repeating: .patch, count: count)
    }
    textAfter = pick(2...9)
    kinds += [TokenKind](repeating: .text, count: textAfter)
    var patch = -1
    let origin = Origin(
      kinds.map { kind in
        if kind == .patch { patch += 1 }
        return kind == .patch ? patch : nil
      })
    tokens = TokenSequence(x: noise([kinds.count, Self.width], &generator, isConstant), kind: kinds, origin: origin)
    (self.spans, self.seed, self.isConstant) = (spans, seed, isConstant)
  }

  struct Result {
    let tokens: TokenSequence
    /// Visual rows left of every image.
    let visual: [Int]
  }

  func run(_ spec: String) throws -> Result {
    let shape = Shape(
      tower: CompositionTests.tower,
      decoder: Shape.Decoder(
        layers: 4, width: Self.width, heads: 2, kvHeads: 1, headDim: 4, ffn: 16, vocabulary: 9, frequencies: [1, 0.1]),
      layout: Shape.Layout(tiling: .one))
    var method = try MethodSpec(spec).make(budget: nil)[0]
    let plan = try Composition([method], for: shape).plans[0]
    let site = plan.act.first!
    var generator = SeededGenerator(seed: seed ^ 77)
    let recording = Recording(
      ids: tokens.id, keys: noise([1, tokens.count, 4], &generator, isConstant),
      finalNorm: noise([tokens.count, Self.width], &generator, isConstant))
    let images = spans.map { span in
      ImageLayout(
        tileRows: 1, tileColumns: 1, side: 1, thumbnail: nil, width: 1, height: 1,
        spans: [Int32(span.lowerBound)..<Int32(span.upperBound)])
    }
    let view = View(
      sequences: [tokens], images: images, shape: shape, seed: seed,
      recordings: [RecordingKey(site: site, sequence: 0): recording])
    var notes = Notes()
    var left = tokens
    left.apply(try method.reduce(view, at: site, notes: &notes)![0])
    return Result(tokens: left, visual: spans.map { span in left.id.count { span.contains(Int($0)) } })
  }
}

private func noise(_ shape: [Int], _ generator: inout SeededGenerator, _ isConstant: Bool) -> Tensor {
  Tensor((0..<shape.reduce(1, *)).map { _ in isConstant ? 1 : generator.normal() }, shape: shape)
}

extension Tensor {
  /// Attention has no sign.
  fileprivate var magnitudes: Tensor { Tensor(values.map(abs), shape: shape) }
}
