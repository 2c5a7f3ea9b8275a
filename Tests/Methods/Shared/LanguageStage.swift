import VTok

/// A prompt with one image passing a language model of six layers that forms nothing but noise.
struct LanguageStage {
  static let seeds: [UInt64] = Array(0..<8)
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
      x: noise([count, 16], &generator, isConstant), kind: (0..<count).map { span.contains($0) ? .patch : .text },
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
    let shape = SmallShapes.language(heads: heads, kvHeads: kvHeads, layers: Self.layers)
    let composition = try Composition(try MethodSpec(spec).make(budget: nil) { _ in Self.net }, for: shape)
    var run = Run(composition, seed: seed)
    run.images = [
      ImageLayout(
        tileRows: 1, tileColumns: 1, side: 1, thumbnail: nil, width: 1, height: 1,
        spans: [Int32(span.lowerBound)..<Int32(span.upperBound)])
    ]
    var noise = LanguageNoise(seed: seed ^ 99, heads: heads, kvHeads: kvHeads, isConstant: isConstant)
    var now = [tokens]
    var entering: [TokenSequence] = []
    var caches: [[TokenSequence]] = []
    for layer in 0..<Self.layers {
      for (method, request) in run.requests(.layer(layer)) {
        let asked = rows(request.attention == .none ? request.probe : request.attention, now[0])
        run.record(noise.recording(of: now[0], rows: asked), for: method, at: .layer(layer), sequence: 0)
      }
      try run.act(at: .layer(layer), on: &now)
      entering.append(now[0])
      caches.append([noise.cache(of: now[0])])
    }
    var result = Result(
      entering: entering, visual: entering.map { $0.rows(.patch).count }, caches: [],
      isRenumbered: composition.plans.contains { $0.positions?.cut == .renumbered },
      acts: composition.plans.reduce(into: []) { $0.formUnion($1.act) })
    var received = caches.map { $0[0].count }
    for step in 0...steps {
      run.step = step
      if step > 0 {
        for layer in caches.indices { received[layer] += 1 }
        grow(&caches, step: step, &noise)
      }
      for layer in caches.indices {
        for (method, _) in run.requests(.cache(layer)) {
          for (index, cache) in caches[layer].enumerated() {
            run.record(
              noise.recording(ofCache: cache, parts: caches[layer].count), for: method, at: .cache(layer),
              sequence: index)
          }
        }
      }
      for layer in caches.indices { try run.act(at: .cache(layer), on: &caches[layer], received: received[layer]) }
      result.caches.append(caches)
    }
    return result
  }

  private func rows(_ wanted: Rows, _ now: TokenSequence) -> [Int] {
    switch wanted {
    case .text: now.id.indices.filter { now.id[$0] >= Int32(span.upperBound) }
    case .last: [now.count - 1]
    default: []
    }
  }

  /// The entry of a new token in every layer.
  private func grow(_ caches: inout [[TokenSequence]], step: Int, _ noise: inout LanguageNoise) {
    let entry = TokenSequence(
      x: tokens.x.gathered([0]), kind: [.text], position: [Position(0)], origin: Origin([nil]),
      id: [Int32(tokens.count + step - 1)])
    for layer in caches.indices {
      let own = noise.cache(of: entry)
      let parts = own.split(into: caches[layer].count, kvHeads: noise.kvHeads)
      for (head, part) in parts.enumerated() { caches[layer][head].append(part) }
    }
  }
}

/// What the layers of `LanguageStage` form.
private struct LanguageNoise {
  let heads: Int, kvHeads: Int
  private var generator: SeededGenerator
  private let isConstant: Bool

  init(seed: UInt64, heads: Int, kvHeads: Int, isConstant: Bool) {
    self.heads = heads
    self.kvHeads = kvHeads
    self.isConstant = isConstant
    generator = SeededGenerator(seed: seed)
  }

  /// What a layer shows of rows that enter it.
  mutating func recording(of tokens: TokenSequence, rows: [Int]) -> Recording {
    let count = tokens.count
    let branches = (0..<2).map { _ in
      Branch(
        input: (0..<count).map { _ in 1 + generator.uniform() * (isConstant ? 0 : 1) },
        output: (0..<count).map { _ in 1 + generator.uniform() * (isConstant ? 0 : 1) },
        dot: (0..<count).map { _ in generator.uniform() * (isConstant ? 0 : 1) })
    }
    return Recording(
      ids: tokens.id, rowIDs: rows.map { tokens.id[$0] }, attention: attention(rows.count, count),
      probe: attention(rows.count, count), keys: noise([kvHeads, count, 4], &generator, isConstant),
      finalNorm: noise([count, 16], &generator, isConstant), branches: branches,
      projections: Projections(
        queries: noise([count, heads * 4], &generator, isConstant),
        keys: noise([count, kvHeads * 4], &generator, isConstant),
        rotatedKeys: noise([count, kvHeads * 4], &generator, isConstant)), tokens: tokens)
  }

  /// What a layer shows of its cache, or of the part of one head.
  mutating func recording(ofCache cache: TokenSequence, parts: Int) -> Recording {
    let share = heads / parts
    return Recording(
      ids: cache.id, attention: attention(1, cache.count).gathered(Array(0..<share)),
      besideAttention: attention(1, cache.count).gathered(Array(0..<share)))
  }

  mutating func cache(of tokens: TokenSequence) -> TokenSequence {
    TokenSequence(
      x: noise([tokens.count, kvHeads * 2 * LanguageStage.headDim], &generator, isConstant), kind: tokens.kind,
      position: tokens.position, origin: tokens.origin, id: tokens.id)
  }

  private mutating func attention(_ rows: Int, _ keys: Int) -> Tensor {
    let lines = (0..<heads * rows).map { _ in softmax(noise([keys], &generator, isConstant).values.map { 2 * $0 }) }
    return Tensor(lines.flatMap { $0 }, shape: [heads, rows, keys])
  }
}
