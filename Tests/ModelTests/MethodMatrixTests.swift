import TestSupport
import Testing
import VTok

/// Every method on every tiny vision-language model: it is refused before anything runs, or all that must hold does.
@Suite struct MethodMatrixTests {
  static let specs = TinyModels.specs

  struct Result {
    let entering: [Int32], tokens: TokenSequence, logits: [[Float]], caches: [[[Int32]]]
  }

  /// A prompt with two images, two tokens after it.
  private func run(_ methods: [any Compressor], _ model: MultimodalModel, threads: Int = 1) throws -> Result {
    let grids = model.shape.layout?.tiling == .native ? [(4, 5), (5, 3)] : [(1, 2), (2, 2)]
    let images = grids.enumerated().map { index, grid in
      TinyModels.noise(
        for: model, seed: UInt64(index), grid: grid, original: Size(width: 70 * grid.1, height: 50 * grid.0))
    }
    var run = Run(try Composition(methods, for: model.shape), seed: 3)
    run.question = run.composition.joint == nil ? nil : Tensor([1, -2, 0.5, 1], shape: [1, 4])
    try run.read(question: "") { _ in try model.language.embeddings(of: [3, 5]) }
    let prompt = try model.prompt(try TinyModels.prompt(model, images), images, run: &run, threads: threads)
    var decoding = try model.language.prefill(prompt, run: &run, threads: threads)
    let tokens = decoding.tokens
    var logits = [decoding.logits]
    for token in [7, 3] {
      try model.language.step(token, &decoding, run: &run, threads: threads)
      logits.append(decoding.logits)
    }
    let spans = run.images.flatMap(\.spans)
    let text = prompt.id.filter { id in !spans.contains { $0.contains(id) } }
    return Result(
      entering: text, tokens: tokens, logits: logits, caches: decoding.caches.map { $0.map(\.id) })
  }

  @Test(arguments: specs, TinyModels.names) func runsOrIsRefused(_ spec: String, _ name: String) throws {
    var model = TinyModels.model(name)
    let methods = try MethodSpec(spec).make(budget: nil) { _ in relevanceNet }
    // Which are refused, and why, is in the suite of every method.
    guard let composition = try? Composition(methods, for: model.shape) else { return }
    if composition.joint != nil { model.joint = Self.joint(model) }
    let dense = try run([], model)
    guard let result = try Self.unlessBeyondWindows(model, { try run(methods, model) }) else { return }
    // Text is as it was, rows are known by one id each, and nothing became infinite.
    let tokens = result.tokens
    #expect(tokens.rows(.text).map { tokens.id[$0] }.suffix(result.entering.count) == result.entering[...])
    #expect(Set(tokens.id).count == tokens.count && tokens.count <= dense.tokens.count)
    #expect(result.logits.allSatisfy { $0.allSatisfy(\.isFinite) })
    // What shrinks the image does so in the processor, which has no part here; caches are cut once the prompt is read.
    let changesPrompt =
      composition.shrink == nil
      && composition.plans.contains { $0.act.contains { if case .cache = $0 { false } else { true } } }
    #expect(result.logits[0] != dense.logits[0] || !changesPrompt)
    for row in tokens.rows(.patch) { #expect(!tokens.origin.range(row).isEmpty) }
    // The same for any number of threads, and the second time.
    for threads in [1, 2] {
      let again = try run(methods, model, threads: threads)
      #expect(again.tokens.id == tokens.id && again.tokens.x == tokens.x && again.logits == result.logits)
      #expect(again.caches == result.caches)
    }
  }

  /// Prompts about the same pictures that share blocks, spans and the rows before the question: the same to the bit, and
  /// the same trace, as each alone.
  @Test(arguments: specs + ["dense"], TinyModels.names)
  func sharingChangesNothing(_ spec: String, _ name: String) throws {
    var model = TinyModels.model(name)
    let methods = spec == "dense" ? [] : try MethodSpec(spec).make(budget: nil) { _ in relevanceNet }
    // Words of a question are those of a prompt; here there are none.
    guard let composition = try? Composition(methods, for: model.shape), !spec.hasPrefix("mmtok") else { return }
    if composition.joint != nil { model.joint = Self.joint(model) }
    let image = TinyModels.noise(
      for: model, seed: 0, grid: model.shape.layout?.tiling == .native ? (5, 3) : (2, 2),
      original: Size(width: 140, height: 100))
    let start = try TinyModels.prompt(model, [image])
    let shared = (blocks: [SharedBlocks(for: [composition])], prefixes: SharedPrefixes())
    var dense = Run(.dense(model.shape))
    _ = try model.encode([image], run: &dense, shared: shared.blocks)
    var seen = Run(composition, seed: 3)
    seen.question = composition.joint == nil ? nil : Tensor([1, -2, 0.5, 1], shape: [1, 4])
    let asked = seen.question
    let spans = try model.encode([image], run: &seen, shared: shared.blocks)
    for question in [[5, 9, 4], [3], [8, 8, 2, 6, 11]] {
      let ids = start + question
      var alone = Run(composition, seed: 3)
      alone.question = asked
      let tokens = try model.prompt(ids, [image], run: &alone)
      guard var plain = try Self.unlessBeyondWindows(model, { try model.language.prefill(tokens, run: &alone) }) else {
        return
      }
      var fork = seen
      let forked = try model.prompt(ids, [image], spans: spans, run: &fork)
      let isForked = forked.x == tokens.x && forked.id == tokens.id
      #expect(isForked)
      var quick = try model.language.prefill(forked, run: &fork, shared: shared.prefixes)
      for token in [7, 3] {
        let isSame = (
          logits: quick.logits == plain.logits, rows: quick.tokens.id == plain.tokens.id,
          values: quick.tokens.x == plain.tokens.x,
          caches: quick.caches.map { $0.map(\.x) } == plain.caches.map { $0.map(\.x) }
            && quick.pasts.map(\.state) == plain.pasts.map(\.state),
          origins: quick.caches.map { $0.map(\.origin) } == plain.caches.map { $0.map(\.origin) }
        )
        #expect(isSame == (true, true, true, true, true))
        try model.language.step(token, &plain, run: &alone)
        try model.language.step(token, &quick, run: &fork)
      }
      #expect(Cost(of: fork.trace, shape: model.shape) == Cost(of: alone.trace, shape: model.shape))
      #expect(fork.trace.language.map(\.visual) == alone.trace.language.map(\.visual))
      #expect(fork.trace.margin == alone.trace.margin)
    }
  }

  /// nil where rows are asked for that see nothing of a picture: of windows that slide, the prompt alone can tell.
  private static func unlessBeyondWindows<Result>(_ model: MultimodalModel, _ run: () throws -> Result) throws
    -> Result?
  {
    do { return try run() } catch CompressionError.unsupported(_, let found, _, _)
      where model.language.shape.cutCaches.count < model.language.shape.layers && found.contains("which sees")
    { return nil }
  }

  private static func joint(_ model: MultimodalModel) -> JointSpace {
    let width = model.shape.tower!.width
    var generator = SeededGenerator(seed: 1)
    let projection = Tensor((0..<4 * width).map { _ in generator.normal() }, shape: [4, width])
    return JointSpace(
      norm: LayerNorm(
        weight: [Float](repeating: 1, count: width), bias: [Float](repeating: 0, count: width), epsilon: 1e-5),
      projection: Linear(weight: Weight(projection), bias: nil))
  }
}
