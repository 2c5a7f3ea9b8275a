import Testing
import VTokCore
import VTokMethods
import VTokTensor

/// What must hold of every method that acts inside the tower, on seeded noise.
@Suite struct ReductionMethodTests {
  /// A method with its options, and what its schedule leaves after every block of the stage below (12 blocks, 196
  /// patches, 1 class token).
  struct Case: Sendable, CustomTestStringConvertible {
    let spec: String, patches: [Int]
    let conservesMass: Bool
    var testDescription: String { spec }
  }

  static let cases = [
    Case(spec: "tome:r=13", patches: (1...12).map { 196 - 13 * $0 }, conservesMass: true),
    Case(spec: "tome:r=8/0/8", patches: [188, 188] + [Int](repeating: 180, count: 10), conservesMass: true),
    Case(
      spec: "zero-tprune:schedule=vtok-deit-s-3.08",
      patches: [186, 186, 154, 154, 154, 116, 116, 116, 75, 75, 65, 65], conservesMass: false),
    Case(
      spec: "zero-tprune:blocks=3/6,similar=20/0,tokens=100/50",
      patches: [196, 196, 196, 100, 100, 100] + [Int](repeating: 50, count: 6), conservesMass: false),
    Case(
      spec: "zero-tprune:blocks=0,similar=5,metric=chebyshev,partition=alternate",
      patches: [Int](repeating: 191, count: 12), conservesMass: false),
    Case(
      spec: "diffrate:preset=vit-s-deit-2.9", patches: [196, 193, 175, 155, 140, 132, 120, 106, 87, 63, 55, 2],
      conservesMass: false),
    Case(
      spec: "cls-attention:block=2,keep=49", patches: [196, 196] + [Int](repeating: 49, count: 10),
      conservesMass: false),
    Case(spec: "random:block=2,keep=49", patches: [196, 196] + [Int](repeating: 49, count: 10), conservesMass: false),
  ]

  @Test(arguments: cases) func countsMatchTheSchedule(_ item: Case) throws {
    let run = try Stage().run(item.spec)
    #expect(run.patches == item.patches)
  }

  @Test(arguments: cases) func classTokenStaysFirst(_ item: Case) throws {
    let run = try Stage().run(item.spec)
    #expect(run.tokens.id[0] == 0)
    #expect(run.tokens.kind[0] == .classifier)
    #expect(run.tokens.kind.dropFirst().allSatisfy { $0 == .patch })
    #expect(run.tokens.x.row(0) == run.input.x.row(0))
  }

  @Test(arguments: cases) func nothingIsInvented(_ item: Case) throws {
    let run = try Stage().run(item.spec)
    #expect(Set(run.tokens.id).count == run.tokens.count)
    #expect(Set(run.tokens.origin.patches).count == run.tokens.origin.patches.count)
    for row in 1..<run.tokens.count {
      let range = run.tokens.origin.range(row)
      #expect(Int(run.tokens.origin.patches[range.lowerBound]) == Int(run.tokens.id[row]) - 1)
      #expect(abs(run.tokens.origin.weights[range].reduce(0, +) - 1) < 1e-4)
    }
    if item.conservesMass {
      #expect(abs(run.tokens.mass.reduce(0, +) - Float(run.input.count)) < 1e-2)
      #expect(run.tokens.origin.patches.count == 196)
    }
    #expect(run.tokens.mass.allSatisfy { $0 > 0 })
  }

  @Test(arguments: cases) func runsRepeat(_ item: Case) throws {
    let (first, second) = (try Stage().run(item.spec), try Stage().run(item.spec))
    #expect(first.tokens.x == second.tokens.x)
    #expect(first.tokens.id == second.tokens.id)
    #expect(first.tokens.origin == second.tokens.origin)
    #expect(first.tokens.mass == second.tokens.mass)
  }

  /// Every method that takes a budget reaches it to the token, where its steps allow it.
  @Test(arguments: ["tome", "zero-tprune", "diffrate", "cls-attention", "random"], [1, 2, 20, 97, 150, 195, 196])
  func budgetsAreReached(_ name: String, keep: Int) throws {
    let run = try Stage().run(name, budget: .tokens(keep))
    #expect(run.patches.last == keep)
    #expect(zip(run.patches, run.patches.dropFirst()).allSatisfy { $0 >= $1 })
  }

  @Test(arguments: ["tome:r=0", "zero-tprune:blocks=0/4,similar=0,rate=1", "tome:keep=1.0", "zero-tprune:keep=1.0"])
  func nothingAskedNothingChanged(_ spec: String) throws {
    let run = try Stage().run(spec)
    #expect(run.tokens.id == run.input.id)
    #expect(run.tokens.x == run.input.x)
  }

  /// DiffRate sorts by importance even where it removes nothing.
  @Test func diffRateOnlySorts() throws {
    let run = try Stage().run("diffrate:keep=1.0")
    #expect(run.tokens.id.sorted() == run.input.id)
    #expect(run.tokens.id[0] == 0)
  }

  @Test(arguments: [0, 2]) func prefixTokensAreNeverTouched(_ prefix: Int) throws {
    for spec in ["tome:r=13", "zero-tprune:blocks=0/5/8,similar=10,rate=0.7"] {
      let run = try Stage(prefix: prefix).run(spec)
      #expect(Array(run.tokens.id.prefix(prefix)) == (0..<prefix).map { Int32($0) })
      #expect(run.tokens.kind.dropFirst(prefix).allSatisfy { $0 == .patch })
    }
  }

  @Test func oddAndTinyGridsWork() throws {
    for side in [1, 2, 3] {
      for spec in ["tome:r=13", "zero-tprune:keep=1", "diffrate:keep=1", "random:keep=1"] {
        let run = try Stage(side: side).run(spec)
        #expect(run.tokens.count >= 2)
      }
    }
  }

  // MARK: EViT

  /// The published procedure written down a second time, in double precision and in the authors' order of tokens: sorted by
  /// attention, the fused one last.
  @Test(arguments: [(0.7, true), (0.31, true), (0.5, false)]) func evitIsThePublishedProcedure(rate: Double, fuse: Bool)
    throws
  {
    let run = try Stage().run("evit:rate=\(rate),fuse=\(fuse ? "on" : "off")")
    var rows = (0..<run.input.count).map { run.input.x.row($0).map(Double.init) }
    var order = Array(rows.indices)  // the stage's place of every row of the reference
    for (block, attention) in run.first.enumerated() where [3, 6, 9].contains(block) {
      let heads = attention.shape[0]
      let n = attention.shape[2]
      #expect(n == rows.count)
      let scores = order.map { place in
        (0..<heads).reduce(0) { $0 + Double(attention.values[$1 * n + place]) } / Double(heads)
      }
      let sorted = (1..<n).sorted { scores[$0] > scores[$1] }
      let kept = Int((rate * Double(n - 1)).rounded(.up))
      let (top, rest) = (sorted[..<kept], sorted[kept...])
      let fused = rest.reduce([Double](repeating: 0, count: rows[0].count)) { sum, index in
        zip(sum, rows[index]).map { $0 + scores[index] * $1 }
      }
      // The stage keeps its rows in order, the fused one last.
      let places = top.map { order[$0] }.sorted()
      let next = [0] + top.map { 1 + places.firstIndex(of: order[$0])! } + (fuse ? [1 + kept] : [])
      rows = [rows[0]] + top.map { rows[$0] } + (fuse ? [fused] : [])
      order = next
    }
    #expect(run.tokens.count == rows.count)
    for (index, place) in order.enumerated() {
      #expect(zip(rows[index], run.tokens.x.row(place)).allSatisfy { abs($0 - Double($1)) < 1e-5 })
    }
  }

  @Test(arguments: [2, 3, 20, 97, 150, 195, 196]) func evitReachesBudgets(keep: Int) throws {
    let run = try Stage().run("evit", budget: .tokens(keep))
    #expect(run.patches.last == keep)
    #expect(Set(run.tokens.id).count == run.tokens.count)
    #expect(Set(run.tokens.origin.patches).count == 196, "what is fused is not lost")
  }

  // MARK: Refusals

  @Test func evitRefusesWhatItCannotServe() {
    #expect(throws: CompressionError.self) { try Stage(prefix: 0).run("evit") }
    #expect(throws: CompressionError.self) { try Stage().run("evit:keep=1") }
    #expect(throws: CompressionError.self) { try Stage().run("evit:blocks=12") }
  }

  @Test func diffRateRefusesWhatItCannotServe() {
    #expect(throws: CompressionError.self) { try Stage(prefix: 2).run("diffrate") }
    #expect(throws: CompressionError.self) { try Stage(prefix: 0).run("diffrate") }
    #expect(throws: CompressionError.self) { try Stage(side: 16).run("diffrate:preset=vit-s-deit-2.9") }
    #expect(throws: CompressionError.self) { try Stage().run("diffrate:prune=197/100,merge=197/50") }
  }

  @Test func zeroTPruneRefusesWhatIsNotThere() {
    #expect(throws: CompressionError.self) { try Stage().run("zero-tprune:blocks=0,similar=99") }
    #expect(throws: CompressionError.self) { try Stage().run("zero-tprune:blocks=12,similar=9") }
    #expect(throws: CompressionError.self) { try Stage(blocks: 6).run("zero-tprune:schedule=vtok-deit-s-3.97") }
  }

  @Test(arguments: [
    "diffrate:preset=vit-s-deit-9", "diffrate:prune=197/100", "diffrate:prune=197/1,merge=197/1",
    "diffrate:preset=vit-s-deit-2.9,keep=3", "zero-tprune:schedule=vtok", "zero-tprune:similar=3",
    "zero-tprune:schedule=vtok-deit-s-3.08,rate=0.5", "zero-tprune:blocks=3/2,similar=4",
    "zero-tprune:blocks=1/2,similar=4/5/6", "zero-tprune:vmin=2,vmax=1", "zero-tprune:blocks=1,rate=0",
    "evit:blocks=6/3", "evit:blocks=1.5", "evit:rate=0.5,keep=9", "zero-tprune:metric=cosin",
    "zero-tprune:blocks=1,rate=0.5,tokens=9",
  ]) func optionsAreChecked(_ spec: String) {
    #expect(throws: MethodError.self) { try MethodSpec(spec).make(budget: nil) }
  }

  @Test func ratesComeFromAFile() throws {
    let counts = [197, 190, 180, 170, 160, 150, 140, 130, 120, 110, 100, 50].map(Double.init)
    func made(_ file: OptionFile) throws -> Stage.Result {
      let methods = try MethodSpec("diffrate:rates=counts.json").make(budget: nil) { _ in file }
      return try Stage().run(methods)
    }
    let file = OptionFile(lists: ["prune": counts, "merge": counts], schema: "vtok-rates/1")
    #expect(try made(file).patches == counts.map { Int($0) - 1 })
    #expect(throws: MethodError.self) { try made(OptionFile(lists: file.lists)) }
    #expect(throws: MethodError.self) { try made(OptionFile(lists: ["prune": counts], schema: "vtok-rates/1")) }
    #expect(throws: MethodError.self) {
      try made(OptionFile(lists: ["prune": counts, "merge": [1]], schema: "vtok-rates/1"))
    }
  }
}

/// A tower of noise: every block adds to the tokens and shows attention and keys of the right shapes.
struct Stage {
  var side = 14
  var prefix = 1
  var blocks = 12

  struct Result {
    let input: TokenSequence, tokens: TokenSequence
    /// Patch tokens after every block.
    let patches: [Int]
    /// Attention of the first token in every block. `[heads, 1, n]`
    let first: [Tensor]
  }

  func run(_ spec: String, budget: Budget? = nil) throws -> Result {
    try run(MethodSpec(spec).make(budget: budget))
  }

  func run(_ methods: [any Compressor]) throws -> Result {
    let (heads, width) = (3, 24)
    let shape = Shape(
      tower: Shape.Tower(
        blocks: blocks, width: width, heads: heads, ffn: 96, prefix: prefix, hasClassifier: prefix > 0, rows: side,
        columns: side, patch: 16))
    var generator = SeededGenerator(seed: 5)
    func noise(_ shape: [Int]) -> Tensor {
      Tensor((0..<shape.reduce(1, *)).map { _ in generator.normal() }, shape: shape)
    }
    let patches = side * side
    let input = TokenSequence(
      x: noise([prefix + patches, width]),
      kind: (0..<prefix).map { $0 == 0 ? TokenKind.classifier : .register }
        + [TokenKind](repeating: .patch, count: patches),
      origin: Origin([Int?](repeating: nil, count: prefix) + (0..<patches).map { $0 }))
    var run = Run(try Composition(methods, for: shape), seed: 9)
    var tiles = [input]
    var counts: [Int] = []
    var first: [Tensor] = []
    for block in 0..<blocks {
      let (n, ids) = (tiles[0].count, tiles[0].id)
      let attention = Tensor(
        (0..<heads * n).flatMap { _ in softmax((0..<n).map { _ in generator.normal() }) }, shape: [heads, n, n])
      first.append(attention.first(1))
      let keys = noise([heads, n, width / heads])
      for half in [Site.Half.middle, .end] {
        let site = Site.block(block, half)
        for (method, request) in run.requests(site) {
          let rows = request.attention == .all ? n : 1
          run.record(
            Recording(
              ids: ids, rowIDs: Array(ids.prefix(rows)), attention: attention.first(rows), keys: keys), for: method,
            at: site, sequence: 0)
        }
        try run.act(at: site, on: &tiles)
      }
      counts.append(tiles[0].rows(.patch).count)
    }
    return Result(input: input, tokens: tiles[0], patches: counts, first: first)
  }
}

extension Tensor {
  /// The first `count` rows of every plane of `[planes, rows, columns]`.
  fileprivate func first(_ count: Int) -> Tensor {
    let (planes, rows, columns) = (shape[0], shape[1], shape[2])
    return gathered((0..<planes).flatMap { plane in (0..<count).map { plane * rows + $0 } })
      .reshaped([planes, count, columns])
  }
}
