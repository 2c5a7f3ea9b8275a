import GoldenRunner
import Testing
import VTok

@Suite struct SnapKVTests {
  @Test(arguments: Goldens.of(SnapKV.self)) func likeTheGolden(_ golden: GoldenCase) throws { try golden.check() }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(
      of: SnapKV.self, "window=32 kernel=5 pool=average aggregate=mean granularity=kv-head capacity keep")
  }

  @Test(arguments: ["snapkv:kernel=4", "snapkv:capacity=40,keep=0.5"]) func optionsAreChecked(_ spec: String) {
    expectMistake(spec)
  }

  // MARK: What it keeps

  /// Every head has its window and as many others as the budget has room for; while decoding nothing leaves.
  @Test(arguments: LanguageStage.seeds) func keepsTheWindowAndWhatItLookedAt(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed, kvHeads: 2)
    let n = stage.tokens.count
    for spec in ["snapkv:window=4,keep=0.5", "snapkv:window=4,pool=max,kernel=3,capacity=\(n / 2)"] {
      for (step, caches) in try stage.run(spec).caches.enumerated() {
        for cache in caches {
          #expect(cache.count == 2 && cache.allSatisfy { $0.count == n / 2 + step })
          #expect(cache.allSatisfy { $0.id == $0.id.sorted() })
          #expect(cache.allSatisfy { Array($0.id.suffix(4 + step)) == (n - 4..<n + step).map { Int32($0) } })
        }
      }
    }
    let each = try stage.run("snapkv:window=4,granularity=query-head,keep=0.5").caches[0]
    #expect(each.allSatisfy { $0.count == 4 && $0.allSatisfy { $0.count == n / 2 } })
    #expect(try stage.run("snapkv").caches[0].allSatisfy { $0.count == 1 && $0[0].count == n }, "a short prompt")
  }

  /// Neighbours of the best entry stay with it; a maximum makes them equal, and the earlier ones stay.
  @Test func neighboursSupportEachOther() throws {
    var votes = [Float](repeating: 0, count: 20)
    votes[10] = 1
    func kept(_ options: String) throws -> [Int32] {
      var method = try MethodSpec("snapkv:window=2,kernel=5,\(options)").make(budget: nil)[0]
      let cache = TokenSequence(
        x: Tensor(zeros: [20, 4]), kind: [TokenKind](repeating: .text, count: 20),
        origin: Origin([Int?](repeating: nil, count: 20)))
      let decoder = Shape.Decoder(
        layers: 1, width: 2, heads: 1, kvHeads: 1, headDim: 2, ffn: 1, vocabulary: 1, frequencies: [1])
      let view = View(
        sequences: [cache], shape: Shape(tower: nil, decoder: decoder),
        recordings: [.cache(0): [Recording(ids: cache.id, attention: Tensor(votes, shape: [1, 20]))]])
      var notes = Notes()
      return Array(try method.reduce(view, at: .cache(0), notes: &notes)![0].members)
    }
    #expect(try kept("pool=average,capacity=7") == [8, 9, 10, 11, 12, 18, 19])
    #expect(try kept("pool=max,capacity=5") == [8, 9, 10, 18, 19])
    #expect(try kept("pool=average,capacity=8") == [0, 8, 9, 10, 11, 12, 18, 19])
  }

  // MARK: Refusals

  @Test func servesEveryFamily() throws { try expectRefusals(of: SnapKV.self) }

  @Test func theWindowMustFit() throws {
    try expectRefusal("snapkv:capacity=32", for: SmallShapes.language())
    try expectRefusal("snapkv:window=4", for: SmallShapes.vit)
    #expect(throws: CompressionError.self) { try LanguageStage(seed: 1).run("snapkv:keep=0.1") }
  }
}
