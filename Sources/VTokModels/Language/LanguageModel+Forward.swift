import VTokCore
import VTokTensor

extension LanguageModel {
  /// Runs a prompt through all layers, letting methods look and act at every site.
  /// - Parameters:
  ///   - prompt: x `[n, width]`; its positions are the rotary ones, its ids row numbers of the whole prompt. `run.images`
  ///     says which of them are visual.
  ///   - shared: what earlier prompts have left of the rows that this one begins with; not used where `observe` is given.
  ///   - observe: the rows entering every layer, then those after the last one and the final norm.
  /// - Precondition: the prompt is not empty and has the model's width.
  public func prefill(
    _ prompt: TokenSequence, run: inout Run, shared: SharedPrefixes? = nil, threads: Int = 1,
    observe: ((_ layer: Int, _ hidden: Tensor) -> Void)? = nil
  ) throws(CompressionError) -> Decoding {
    run.step = 0
    return try start(prompt, &run, observe == nil ? shared : nil, threads, observe)
  }

  /// Feeds one more token.
  /// - Precondition: the token is in the vocabulary.
  public func step(_ token: Int, _ decoding: inout Decoding, run: inout Run, threads: Int = 1) throws(CompressionError)
  {
    guard let x = try? embeddings(of: [token]) else { preconditionFailure("token \(token) of \(shape.vocabulary)") }
    let id = decoding.nextID
    func entry(_ x: Tensor, at position: Int) -> TokenSequence {
      TokenSequence(x: x, kind: [.text], position: [Position(position)], origin: Origin([nil]), id: [id])
    }
    run.step += 1
    if var whole = decoding.whole {
      whole.append(entry(x, at: whole.nextPosition))
      decoding = try start(whole, &run, nil, threads, nil)
      return
    }
    let ownLength = run.composition.positions?.decode == .cacheLength
    let keys = decoding.caches.reduce(0) { max($0, longest($1)) } + 1
    let memory = DecoderLayer.Memory(rows: 1, keys: keys, shape: shape, threads: threads)
    var tokens = entry(x, at: decoding.position)
    var passed: [(layer: Trace.Layer, ids: [Int32])] = []
    for index in layers.indices {
      if ownLength { tokens = entry(tokens.x, at: longest(decoding.caches[index])) }
      var layer = Trace.Layer(rows: [1])
      _ = pass(index, &tokens, &decoding.caches[index], requests: [], &layer, memory, &run)
      passed.append((layer, tokens.id))
      decoding.received[index] += 1
    }
    try finish(&decoding, passed, &run)
    decoding.position += 1
    decoding.nextID += 1
    leave(tokens, &decoding, threads)
  }

  private func start(
    _ prompt: TokenSequence, _ run: inout Run, _ shared: SharedPrefixes?, _ threads: Int,
    _ observe: ((Int, Tensor) -> Void)?
  ) throws(CompressionError) -> Decoding {
    precondition(prompt.count > 0 && prompt.x.width == shape.width, "a prompt of \(prompt.x.shape)")
    let afresh = run.composition.positions?.decode == .afresh
    var decoding = Decoding(
      logits: [], tokens: prompt, caches: [], received: [Int](repeating: 0, count: layers.count), position: 0,
      nextID: prompt.id.max()! + 1, whole: afresh ? prompt : nil)
    var tokens = prompt
    let memory = DecoderLayer.Memory(rows: prompt.count, keys: prompt.count, shape: shape, threads: threads)
    var passed: [(layer: Trace.Layer, ids: [Int32])] = []
    var ran: Ran?
    var prefix: SharedPrefix?  // rows in front of `tokens` that need not run again
    for index in 0...layers.count {
      var probes: [Trace.Probe] = []
      if isVisited(index, run) {
        var whole = prefix?.joined(with: tokens, entering: index) ?? tokens
        probes = try visit(index, &whole, ran, memory, &run)
        if let rest = prefix?.rest(of: whole, entering: index) {
          tokens = rest
        } else {
          (tokens, prefix) = (whole, nil)
        }
      }
      // A probe belongs to the layer it follows; before the first layer to that one.
      if index > 0 { passed[index - 1].layer.probes += probes }
      if index == 0 {
        decoding.position = tokens.nextPosition
        // Routers see all rows of a layer at once.
        if routers.isEmpty, let found = shared?.prefix(of: tokens, run) { (prefix, tokens) = found }
      }
      guard index < layers.count else { break }
      observe?(index, tokens.x)
      let routing = routers[index]?.enter(&tokens, run.images) { shape.computed(of: $0, in: index) }
      var layer = Trace.Layer(rows: [(prefix?.count ?? 0) + tokens.count])
      if index == 0 { layer.probes = probes }
      var cache: [TokenSequence] = []
      let ids = (prefix?.ids ?? []) + tokens.id
      ran = pass(
        index, &tokens, &cache, after: prefix, weights: routing?.weights,
        requests: run.requests(.layer(index + 1)).map(\.request), &layer, memory, &run)
      decoding.received[index] = cache[0].count
      if !afresh { decoding.caches.append(cache) }
      layer.bypassing = routing?.bypassing ?? 0
      routing?.leave(&tokens)
      passed.append((layer, ids))
    }
    try finish(&decoding, passed, &run)
    if let observe { observe(layers.count, norm(tokens.x)) }
    leave(tokens, &decoding, threads)
    if let prefix { decoding.tokens = prefix.joined(with: tokens, entering: layers.count) }
    return decoding
  }

  private func isVisited(_ layer: Int, _ run: Run) -> Bool {
    run.acts(at: .layer(layer)) || !run.requests(.layer(layer)).isEmpty
  }

  /// What a layer that has just run can tell.
  private struct Ran {
    let cache: [TokenSequence]
    let recorded: DecoderLayer.Recorded
  }

  /// Runs one layer and hands out what was asked for at its cache.
  /// - Parameters:
  ///   - prefix: the rows before `tokens`, whose part of the layer is taken from there.
  ///   - weights: of the MLP branch of every row; nil: all 1.
  private func pass(
    _ index: Int, _ tokens: inout TokenSequence, _ cache: inout [TokenSequence], after prefix: SharedPrefix? = nil,
    weights: [Float]? = nil, requests: [Request], _ layer: inout Trace.Layer, _ memory: DecoderLayer.Memory,
    _ run: inout Run
  ) -> Ran {
    let atCache = run.requests(.cache(index))
    let all = requests + atCache.map(\.request)
    var taps = taps(at: index, run)
    for tap in Set(all.compactMap(\.attentionTap)) {
      taps.wanted.append((tap, rows(tap.rows, of: tokens, run)))
    }
    let wantsBranches = all.contains { $0.branches }
    let clock = ContinuousClock()
    let start = clock.now
    let before = prefix?.layer(index, taps.wanted.map(\.tap), branches: wantsBranches) { rows, cache, taps in
      layers[index](
        &rows, &cache, shape: shape, attention: attention, taps: taps, branches: wantsBranches, memory)
    }
    if let before {
      cache = [before.cache]
      taps.before = before.sums
    }
    var recorded = layers[index](
      &tokens, &cache, weights: weights, shape: shape, attention: attention, taps: taps, branches: wantsBranches, memory
    )
    if let before, wantsBranches {
      recorded.branches = zip(before.branches, recorded.branches).map { $0.followed(by: $1) }
    }
    layer.seconds = start.duration(to: clock.now) / .seconds(1)
    layer.keys = [longest(cache)]
    let ran = Ran(cache: cache, recorded: recorded)
    if atCache.isEmpty { return ran }
    let tokens = prefix?.joined(with: tokens, entering: index + 1) ?? tokens
    for (method, request) in atCache {
      for sequence in cache.indices {
        run.record(
          recording(request, ran, sequence, tokens, run), for: method, at: .cache(index), sequence: sequence)
      }
    }
    return ran
  }

  /// What was asked for, of the layer that has just run or of the one to come.
  private func recording(
    _ request: Request, _ ran: Ran?, _ sequence: Int, _ tokens: TokenSequence, _ run: Run, probe: Tensor? = nil
  ) -> Recording {
    let asked = request.attention == .none ? request.probe : request.attention
    // A probe sees what is about to enter, which may be more than took part in the layer before.
    let looksBack = request.attention != .none || request.keys || request.branches
    let cache = looksBack ? ran?.cache[sequence] : nil
    return Recording(
      ids: cache?.id ?? tokens.id, rowIDs: rows(asked, of: tokens, run).map { tokens.id[$0] },
      attention: request.attentionTap.flatMap { ran?.recorded.attention[$0]?[sequence] }, probe: probe,
      keys: request.keys ? cache.map(keys) : nil, finalNorm: request.finalNorm ? norm(tokens.x) : nil,
      branches: request.branches ? ran?.recorded.branches ?? [] : [])
  }

  /// Hands out the recordings at the entrance of a layer and lets the methods act.
  /// - Returns: the probes that were formed.
  private func visit(
    _ index: Int, _ tokens: inout TokenSequence, _ ran: Ran?, _ memory: DecoderLayer.Memory, _ run: inout Run
  ) throws(CompressionError) -> [Trace.Probe] {
    let site = Site.layer(index)
    var probed: [Attention.Tap: Tensor] = [:]
    var probes: [Trace.Probe] = []
    for (method, request) in run.requests(site) {
      if let tap = request.probeTap, probed[tap] == nil {
        let rows = rows(tap.rows, of: tokens, run)
        probed[tap] = layers[index].probe(
          tokens, rows: rows, tap: tap, shape: shape, attention: attention, taps: taps(at: index, run), memory)
        probes.append(Trace.Probe(rows: rows.count, keys: tokens.count))
      }
      let probe = request.probeTap.map { probed[$0]! }
      run.record(
        recording(request, ran, 0, tokens, run, probe: probe), for: method, at: site, sequence: 0)
    }
    if run.acts(at: site) {
      var sequences = [tokens]
      try run.act(at: site, on: &sequences)
      tokens = sequences[0]
    }
    return probes
  }

  /// After the last layer: the caches, in layer order, and what the pass has to report.
  private func finish(
    _ decoding: inout Decoding, _ passed: [(layer: Trace.Layer, ids: [Int32])], _ run: inout Run
  ) throws(CompressionError) {
    for index in decoding.caches.indices where run.acts(at: .cache(index)) {
      try run.act(at: .cache(index), on: &decoding.caches[index], received: decoding.received[index])
    }
    for (index, passed) in passed.enumerated() {
      var layer = passed.layer
      if !decoding.caches.isEmpty { layer.cached = longest(decoding.caches[index]) }
      run.passLayer(layer, ids: passed.ids)
    }
  }

  /// The last row becomes logits.
  private func leave(_ tokens: TokenSequence, _ decoding: inout Decoding, _ threads: Int) {
    decoding.tokens = tokens
    decoding.logits = logits(norm(tokens.x.gathered([tokens.count - 1])), threads: threads).values
  }

  private func longest(_ cache: [TokenSequence]) -> Int { cache.reduce(0) { max($0, $1.count) } }

  private func taps(at layer: Int, _ run: Run) -> Attention.Taps {
    Attention.Taps(seed: run.seed, step: run.step, layer: layer)
  }

  private func rows(_ wanted: Rows, of tokens: TokenSequence, _ run: Run) -> [Int] {
    switch wanted {
    case .none, .classifier: return []
    case .last: return [tokens.count - 1]
    case .text:
      let start = run.images.textStart
      return tokens.id.indices.filter { tokens.id[$0] >= start }
    case .all: return Array(0..<tokens.count)
    }
  }

  /// `[kvHeads, n, headDim]`
  private func keys(of cache: TokenSequence) -> Tensor {
    let (count, headDim, width) = (cache.count, shape.headDim, cache.x.width)
    let heads = width / (2 * headDim)
    return Tensor(shape: [heads, count, headDim]) { out in
      cache.x.values.withUnsafeBufferPointer { source in
        for head in 0..<heads {
          for row in 0..<count {
            (out + (head * count + row) * headDim).update(
              from: source.baseAddress! + row * width + 2 * head * headDim, count: headDim)
          }
        }
      }
    }
  }
}

extension Branch {
  /// The rows of two sequences, one behind the other.
  fileprivate func followed(by next: Branch) -> Branch {
    Branch(input: input + next.input, output: output + next.output, dot: dot + next.dot)
  }
}

extension Request {
  fileprivate var attentionTap: Attention.Tap? {
    attention == .none ? nil : Attention.Tap(rows: attention, values: values, summed: summed)
  }
  fileprivate var probeTap: Attention.Tap? {
    probe == .none ? nil : Attention.Tap(rows: probe, values: values, summed: summed)
  }
}
