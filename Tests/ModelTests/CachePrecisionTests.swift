import TestSupport
import Testing
import VTok

/// Language models whose caches hold keys and values in fewer bits.
@Suite struct CachePrecisionTests {
  static let kinds = [CachePrecision.bf16, .int8]

  static func model(_ reference: DoubleLlama, _ kind: CachePrecision) throws -> LanguageModel {
    var model = try reference.model()
    model.kv = kind
    return model
  }

  /// Logits behind the prompt and behind some tokens, and the caches.
  private func decode(
    _ reference: DoubleLlama, _ kind: CachePrecision, threads: Int = 1, count: Int = 20,
    _ methods: [any Compressor] = []
  ) throws -> (logits: [[Float]], decoding: Decoding) {
    let model = try Self.model(reference, kind)
    var run = try decoderRun(methods, on: model, image: 2..<12)
    var decoding = try model.prefill(reference.prompt(count, image: 2..<12), run: &run, threads: threads)
    var logits = [decoding.logits]
    for id in [7, 1, 30] {
      try model.step(id, &decoding, run: &run, threads: threads)
      logits.append(decoding.logits)
    }
    return (logits, decoding)
  }

  private static let references = [
    DoubleLlama(), DoubleLlama(.init(heads: 6, kvHeads: 3)), DoubleLlama(.init(heads: 4, kvHeads: 4, headDim: 4)),
    DoubleLlama(.init(window: 6)),
  ]

  /// Near float32, the same bits on any number of threads.
  @Test(arguments: [(CachePrecision.bf16, Float(0.02)), (.int8, 0.03)], references.indices)
  func answersAreNear(_ kind: (CachePrecision, Float), _ index: Int) throws {
    let reference = Self.references[index]
    let exact = try decode(reference, .f32).logits
    let found = try decode(reference, kind.0)
    let far = zip(exact, found.logits).map { distance($0, $1) }.max()!
    let largest = exact.joined().map(abs).max()!
    #expect(far > 0 && far < kind.1 * largest, "\(far) of \(largest)")
    for threads in [2, 3] { #expect(try decode(reference, kind.0, threads: threads).logits == found.logits) }
    #expect(found.decoding.caches.allSatisfy { $0.allSatisfy { $0.packed != nil } })
  }

  /// float32 rounds nothing.
  @Test func float32IsLeftAsItIs() throws {
    let decoding = try decode(Self.references[0], .f32).decoding
    #expect(decoding.caches.allSatisfy { $0.allSatisfy { $0.packed == nil } })
  }

  @Test func bytesAreFewer() throws {
    let reference = DoubleLlama(.init(headDim: 8))
    let bytes = try [CachePrecision.f32, .bf16, .int8].map { kind in
      try decode(reference, kind).decoding.pasts.reduce(0) { $0 + $1.bytes }
    }
    // Three layers, 23 entries, two heads of key and value.
    #expect(bytes == [4 * 8, 2 * 8, 4 + 8].map { 3 * 23 * 4 * $0 })
  }

  /// A prompt whose first rows were read before gives the bits that it gives in one pass.
  @Test(arguments: [.f32] + kinds, references.indices.dropLast())
  func aPromptInTwoPasses(_ kind: CachePrecision, _ index: Int) throws {
    let reference = Self.references[index]
    let model = try Self.model(reference, kind)
    let shared = SharedPrefixes()
    for end in [20, 17, 25] {
      let prompt = reference.prompt(end, image: 2..<12)
      var (whole, parted) = (try decoderRun(on: model, image: 2..<12), try decoderRun(on: model, image: 2..<12))
      let one = try model.prefill(prompt, run: &whole)
      let two = try model.prefill(prompt, run: &parted, shared: shared)
      #expect(one.logits == two.logits && one.tokens.x == two.tokens.x)
      #expect(one.caches.map { $0.map(\.packed) } == two.caches.map { $0.map(\.packed) })
      #expect(one.caches.map { $0.map(\.x) } == two.caches.map { $0.map(\.x) })
    }
    // What another form has left is not taken for its own.
    var other = model
    other.kv = kind == .int8 ? .bf16 : .int8
    let prompt = reference.prompt(20, image: 2..<12)
    var (alone, beside) = (try decoderRun(on: other, image: 2..<12), try decoderRun(on: other, image: 2..<12))
    #expect(
      try other.prefill(prompt, run: &alone).logits == other.prefill(prompt, run: &beside, shared: shared).logits)
  }

  /// A cut cache is the rows of the whole one, bit for bit, and so is one that splits by head.
  @Test(arguments: kinds) func aCutCache(_ kind: CachePrecision) throws {
    let reference = Self.references[0]
    let whole = try decode(reference, kind).decoding.caches
    let kept = [0, 2, 3, 9, 15, 19]
    let rule = PositionRule(cut: .original, decode: .next)
    let cut = try decode(reference, kind, [LanguageCutTests.Cutter([.cache(1): [kept]], rule)]).decoding
    #expect(cut.caches[1][0].packed!.gathered(Array(0..<6)) == whole[1][0].packed!.gathered(kept))
    let parts = [[0, 2, 3, 9], [1, 4, 7]]
    let split = try decode(reference, kind, [LanguageCutTests.Cutter([.cache(1): parts], rule)]).decoding
    let heads = whole[1][0].split(into: 2)
    for (head, kept) in parts.enumerated() {
      let own = split.caches[1][head].packed!
      #expect(own.gathered(Array(kept.indices)) == heads[head].packed!.gathered(kept))
      #expect(own.count == kept.count + 3)
    }
  }

  /// Every method that acts on caches, where heads share keys and where they do not.
  @Test(
    arguments: kinds,
    TinyModels.specs.filter { spec in
      ["cache", "h2o", "keyformer", "look-m", "kv", "ems", "streaming"].contains { spec.contains($0) }
        && !spec.contains("visionzip")
    })
  func everyMethodRuns(_ kind: CachePrecision, _ spec: String) throws {
    var served = 0
    for reference in Self.references.dropLast() {
      let methods = try MethodSpec(spec).make(budget: nil) { _ in relevanceNet }
      let model = try reference.model()
      guard (try? decoderRun(methods, on: model)) != nil else { continue }
      served += 1
      let exact = try decode(reference, .f32, methods).decoding.caches
      let found = try decode(reference, kind, methods)
      #expect(found.logits.allSatisfy { $0.allSatisfy(\.isFinite) })
      for (own, other) in zip(found.decoding.caches.joined(), exact.joined()) {
        #expect(own.packed?.count == other.count && own.width == other.width)
      }
      #expect(try decode(reference, kind, threads: 2, methods).logits == found.logits)
    }
    #expect(served > 0)
  }

  /// Every family, gated delta nets too, whose states stay float32.
  @Test(arguments: kinds, TinyModels.names) func everyModelRuns(_ kind: CachePrecision, _ name: String) throws {
    var model = TinyModels.model(name)
    let images = [TinyModels.noise(for: model, seed: 0)]
    func decode() throws -> (logits: [[Float]], pasts: [LayerPast]) {
      var run = Run(.dense(model.shape))
      var decoding = try model.prefill(TinyModels.prompt(model, images), images, run: &run)
      var logits = [decoding.logits]
      for token in [7, 3] {
        try model.language.step(token, &decoding, run: &run)
        logits.append(decoding.logits)
      }
      return (logits, decoding.pasts)
    }
    let exact = try decode()
    model.language.kv = kind
    let found = try decode()
    #expect(zip(exact.pasts, found.pasts).allSatisfy { ($0.state == nil) == ($1.state == nil) })
    #expect(found.pasts.allSatisfy { $0.cache.allSatisfy { $0.packed != nil } })
    let largest = exact.logits.joined().map(abs).max()!
    let far = zip(exact.logits, found.logits).map { distance($0, $1) }.max()!
    #expect(far > 0 && far < 0.1 * largest, "\(far) of \(largest)")
  }

  /// The question model that is kept here answers as it does in float32, and what it leaves behind is told apart.
  @Test func aTrainedModelKeepsItsAnswers() throws {
    var generator = try Generator(model: smallModels + "vqa-small", method: "snapkv:window=4", keep: .ratio(0.5))
    let cache = PrefixCache()
    let image = try Image.decode(contentsOf: smallModels + "vqa-small/reference/0.png").image
    for question in ["what color is the square?", "is there a circle?", "what shape is red?"] {
      let prompt = try generator.prepare(question, about: [image])
      var texts: [String] = []
      for kind in CachePrecision.allCases {
        generator.kv = kind
        let alone = try generator(prompt, limit: 6)
        #expect(try generator(prompt, limit: 6, cache: cache).ids == alone.ids)
        texts.append(alone.text)
      }
      #expect(Set(texts).count == 1, "\(texts)")
    }
  }
}
