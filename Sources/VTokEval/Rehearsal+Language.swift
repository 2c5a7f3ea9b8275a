import VTokCore
import VTokTensor

/// The layers of a language model filled with noise: the walk of `LanguageModel`, without its numbers.
struct LanguageRehearsal {
  private let shape: Shape.Decoder
  private var noise: Noise
  /// Of every layer one sequence, or one per KV head. Entries are as narrow as their heads allow: methods that act on
  /// caches go by recordings and ids.
  private var caches: [[TokenSequence]] = []
  private var received: [Int] = []

  init(_ shape: Shape.Decoder, _ noise: Noise) { (self.shape, self.noise) = (shape, noise) }

  /// Reads the prompt, then feeds new tokens until `count` have come out.
  mutating func generate(from prompt: TokenSequence, count: Int, run: inout Run) throws(CompressionError) {
    let isAfresh = run.composition.positions?.decode == .afresh
    var whole = prompt
    try pass(prompt, keepingCaches: !isAfresh, run: &run)
    let first = prompt.id.max()! + 1
    for step in 1..<max(1, count) {
      run.step = step
      let id = first + Int32(step) - 1
      let token = TokenSequence(
        x: noise.values([1, shape.width]), kind: [.text], position: [Position(Int(id))], origin: Origin([nil]), id: [id]
      )
      if isAfresh {
        whole.append(token)
        try pass(whole, keepingCaches: false, run: &run)
      } else {
        try self.step(token, run: &run)
      }
    }
  }

  /// A prompt through all layers.
  private mutating func pass(_ prompt: TokenSequence, keepingCaches: Bool, run: inout Run) throws(CompressionError) {
    var tokens = prompt
    caches = []
    var passed: [(layer: Trace.Layer, ids: [Int32])] = []
    for index in 0...shape.layers {
      // A probe belongs to the layer it follows, before the first one to that.
      let probes = try visit(index, &tokens, run: &run)
      if index > 0 { passed[index - 1].layer.probes += probes }
      guard index < shape.layers else { break }
      let inside = entering(index, tokens, run)
      var layer = Trace.Layer(rows: [inside.count])
      layer.bypassing = tokens.count - inside.count
      if index == 0 { layer.probes = probes }
      if keepingCaches { caches.append([entries(of: inside)]) }
      recordCache(index, rows: inside, run: &run)
      passed.append((layer, inside.id))
    }
    received = passed.map(\.ids.count)
    try finish(passed, run: &run)
  }

  /// The tokens that a layer computes: where it has a router, some visual ones drawn by lot pass it by.
  private mutating func entering(_ index: Int, _ tokens: TokenSequence, _ run: Run) -> TokenSequence {
    let spans = run.images.flatMap(\.spans)
    let visual = tokens.id.indices.filter { row in spans.contains { $0.contains(tokens.id[row]) } }
    guard let count = shape.computed(of: visual.count, in: index) else { return tokens }
    let skipped = Set(topK(noise.values([1, visual.count]).values, visual.count - count).map { visual[$0] })
    return tokens.reduced(.keep((0..<tokens.count).filter { !skipped.contains($0) }, of: tokens.count))
  }

  /// One more token.
  private mutating func step(_ token: TokenSequence, run: inout Run) throws(CompressionError) {
    var passed: [(layer: Trace.Layer, ids: [Int32])] = []
    for index in 0..<shape.layers {
      let parts = entries(of: token).split(into: caches[index].count)
      for (head, part) in parts.enumerated() { caches[index][head].append(part) }
      received[index] += 1
      recordCache(index, rows: token, run: &run)
      passed.append((Trace.Layer(rows: [1], keys: [longest(index)]), token.id))
    }
    try finish(passed, run: &run)
  }

  /// Hands out the recordings at the entrance of a layer and lets the methods act.
  /// - Returns: the probes that were formed.
  private mutating func visit(_ index: Int, _ tokens: inout TokenSequence, run: inout Run) throws(CompressionError)
    -> [Trace.Probe]
  {
    let site = Site.layer(index)
    let ids = tokens.id
    var probes: [(form: Request, probe: Trace.Probe)] = []
    for (method, request) in run.requests(site) {
      let asked = rows(request.attention == .none ? request.probe : request.attention, of: ids, run)
      let probed = rows(request.probe, of: ids, run)
      // One form asked for twice is formed once.
      let form = Request(probe: request.probe, values: request.values, summed: request.summed)
      if request.probe != .none, !probes.contains(where: { $0.form == form }) {
        probes.append((form, Trace.Probe(rows: probed.count, keys: ids.count)))
      }
      run.record(
        Recording(
          ids: ids, rowIDs: asked.map { ids[$0] },
          attention: request.attention == .none
            ? nil : noise.attention(heads: shape.heads, rows: asked.count, keys: ids.count, request),
          probe: request.probe == .none
            ? nil : noise.attention(heads: shape.heads, rows: probed.count, keys: ids.count, request),
          keys: request.keys ? noise.values([shape.kvHeads, ids.count, shape.headDim]) : nil,
          finalNorm: request.finalNorm ? noise.values([ids.count, shape.width]) : nil,
          branches: request.branches ? [branch(ids.count), branch(ids.count)] : []),
        for: method, at: site, sequence: 0)
    }
    if run.acts(at: site) {
      var sequences = [tokens]
      try run.act(at: site, on: &sequences)
      tokens = sequences[0]
    }
    return probes.map(\.probe)
  }

  /// Sizes and directions of branches.
  private mutating func branch(_ count: Int) -> Branch {
    let sizes = noise.values([2, count]).values.map { $0 + 1 }
    let cosines = noise.values([1, count]).values
    let (input, output) = (Array(sizes[..<count]), Array(sizes[count...]))
    return Branch(input: input, output: output, dot: cosines.indices.map { cosines[$0] * input[$0] * output[$0] })
  }

  /// What was asked for at the cache of a layer that has just run on `tokens`.
  private mutating func recordCache(_ index: Int, rows tokens: TokenSequence, run: inout Run) {
    for (method, request) in run.requests(.cache(index)) {
      let asked = rows(request.attention, of: tokens.id, run)
      for (sequence, cache) in caches[index].enumerated() {
        let (heads, kvHeads) = (shape.heads / caches[index].count, shape.kvHeads / caches[index].count)
        run.record(
          Recording(
            ids: cache.id, rowIDs: asked.map { tokens.id[$0] },
            attention: asked.isEmpty
              ? nil : noise.attention(heads: heads, rows: asked.count, keys: cache.count, request),
            keys: request.keys ? noise.values([kvHeads, cache.count, shape.headDim]) : nil),
          for: method, at: .cache(index), sequence: sequence)
      }
    }
  }

  /// The caches, in layer order, and what the pass has to report.
  private mutating func finish(_ passed: [(layer: Trace.Layer, ids: [Int32])], run: inout Run) throws(CompressionError)
  {
    for index in caches.indices where run.acts(at: .cache(index)) {
      try run.act(at: .cache(index), on: &caches[index], received: received[index])
    }
    for (index, entry) in passed.enumerated() {
      var layer = entry.layer
      if !caches.isEmpty { layer.cached = longest(index) }
      run.passLayer(layer, ids: entry.ids)
    }
  }

  private func longest(_ index: Int) -> Int { caches[index].reduce(0) { max($0, $1.count) } }

  /// Cache entries of tokens: two columns a KV head.
  private func entries(of tokens: TokenSequence) -> TokenSequence {
    var entries = tokens
    let width = 2 * shape.kvHeads
    entries.x = Tensor([Float](repeating: 0, count: tokens.count * width), shape: [tokens.count, width])
    return entries
  }

  /// Rows of a sequence with these ids.
  private func rows(_ wanted: Rows, of ids: [Int32], _ run: Run) -> [Int] {
    switch wanted {
    case .none, .classifier: return []
    case .last: return [ids.count - 1]
    case .text:
      let start = run.images.textStart
      return ids.indices.filter { ids[$0] >= start }
    case .all: return Array(ids.indices)
    }
  }
}
