import VTokCore
import VTokTensor

/// The way of a prompt and of the tokens after it through the layers of a language model: the only code that visits the
/// sites of decoders, records there, lets methods act and keeps the caches.
package struct DecoderWalk<Source: LayerSource> {
  private var source: Source

  package init(_ source: Source) { self.source = source }

  /// Runs a prompt through all layers.
  /// - Parameter observe: the rows entering every layer, then those after the last one and the final norm.
  package mutating func prefill(
    _ prompt: TokenSequence, run: inout Run, observe: ((_ layer: Int, _ hidden: Tensor) -> Void)? = nil
  ) throws(CompressionError) -> Decoding {
    run.step = 0
    return try start(prompt, &run, observe)
  }

  /// Feeds one more token.
  package mutating func step(_ token: Int, _ decoding: inout Decoding, run: inout Run) throws(CompressionError) {
    let x = source.embedding(of: token)
    let id = decoding.nextID
    func entry(_ x: Tensor, at position: Int) -> TokenSequence {
      TokenSequence(x: x, kind: [.text], position: [Position(position)], origin: Origin([nil]), id: [id])
    }
    run.step += 1
    if var whole = decoding.whole {
      whole.append(entry(x, at: whole.nextPosition))
      decoding = try start(whole, &run, nil)
      return
    }
    let ownLength = run.composition.positions?.decode == .cacheLength
    source.begin(entry(x, at: decoding.position), keys: decoding.pasts.reduce(0) { max($0, longest($1.cache)) } + 1)
    var layers: [Layer] = []
    for index in decoding.pasts.indices {
      if ownLength { source.tokens = entry(source.tokens.x, at: longest(decoding.pasts[index].cache)) }
      layers.append(pass(index, &decoding.pasts[index], &run))
      decoding.received[index] += 1
    }
    try finish(layers, &decoding, &run)
    decoding.position += 1
    decoding.nextID += 1
  }

  /// A layer that was passed: what the trace says of it, and the ids of the rows inside.
  private typealias Layer = (trace: Trace.Layer, ids: [Int32])

  private mutating func start(
    _ prompt: TokenSequence, _ run: inout Run, _ observe: ((Int, Tensor) -> Void)?
  ) throws(CompressionError) -> Decoding {
    let count = source.shape.layers
    let isAfresh = run.composition.positions?.decode == .afresh
    var decoding = Decoding(
      logits: [], tokens: prompt, pasts: [], received: [Int](repeating: 0, count: count), position: 0,
      nextID: prompt.id.max()! + 1, whole: isAfresh ? prompt : nil)
    source.begin(prompt, keys: prompt.count)
    var layers: [Layer] = []
    var past = LayerPast()  // of the layer that has just run
    for index in 0...count {
      let probes = try visit(index, after: past.cache.first, &run)
      // A probe belongs to the layer it follows; before the first layer to that one.
      if index > 0 { layers[index - 1].trace.probes += probes }
      if index == 0 { decoding.position = source.tokens.nextPosition }
      guard index < count else { break }
      observe?(index, source.tokens.x)
      past = LayerPast()
      layers.append(pass(index, &past, also: run.requests(.layer(index + 1)).map(\.request), &run))
      if index == 0 { layers[0].trace.probes = probes }
      decoding.received[index] = longest(past.cache)
      if !isAfresh { decoding.pasts.append(past) }
    }
    try finish(layers, &decoding, &run)
    observe?(count, source.normed())
    return decoding
  }

  /// Passes one layer and hands out what was asked for at its cache.
  /// - Parameter requests: what is asked for at the entrance of the next layer.
  private mutating func pass(
    _ index: Int, _ past: inout LayerPast, also requests: [Request] = [], _ run: inout Run
  ) -> Layer {
    let atCache = run.requests(.cache(index))
    let passage = source.pass(index, &past, for: requests + atCache.map(\.request), run)
    var layer = Trace.Layer(rows: [passage.ids.count], keys: [longest(past.cache)])
    layer.bypassing = passage.bypassing
    layer.seconds = passage.seconds
    for (method, request) in atCache {
      let rows = request.attention.indices(of: passage.ids, textStart: run.images.textStart)
      for (part, entries) in past.cache.enumerated() {
        func attention(_ request: Request?) -> Tensor? {
          guard let request, request.attention != .none else { return nil }
          let rows = request.attention.indices(of: passage.ids, textStart: run.images.textStart).count
          return source.attention(request, part: (part, past.cache.count), rows: rows, keys: entries.count)
        }
        run.record(
          Recording(
            ids: entries.id, rowIDs: rows.map { passage.ids[$0] }, attention: attention(request),
            besideAttention: attention(request.beside), keys: request.keys ? source.keys(of: entries) : nil),
          for: method, at: .cache(index), sequence: part)
      }
    }
    return (layer, passage.ids)
  }

  /// Hands out the recordings at the entrance of a layer and lets the methods act.
  /// - Parameter cache: of the layer before.
  /// - Returns: the probes that were formed.
  private mutating func visit(
    _ index: Int, after cache: TokenSequence?, _ run: inout Run
  ) throws(CompressionError) -> [Trace.Probe] {
    let site = Site.layer(index)
    let requests = run.requests(site)
    guard run.acts(at: site) || !requests.isEmpty else { return [] }
    let tokens = source.tokens
    var probed: [(form: Request, rows: Tensor)] = []  // what two methods ask for is formed once
    var probes: [Trace.Probe] = []
    for (method, request) in requests {
      let asked = request.attention == .none ? request.probe : request.attention
      let rows = asked.indices(of: tokens.id, textStart: run.images.textStart)
      // A probe sees what is about to enter, which may be more than took part in the layer before.
      let looksBack = request.attention != .none || request.keys || request.branches
      let ids = looksBack ? cache?.id ?? tokens.id : tokens.id
      if !request.summed, asked != .none {
        let layer = request.attention == .none ? index : index - 1
        try run.checkWindow(rows, in: layer, of: ids, for: method, at: site)
      }
      let attention =
        request.attention == .none
        ? nil : source.attention(request, part: (0, 1), rows: rows.count, keys: ids.count)
      let form = Request(probe: request.probe, values: request.values, summed: request.summed)
      if request.probe != .none, !probed.contains(where: { $0.form == form }) {
        let rows = request.probe.indices(of: tokens.id, textStart: run.images.textStart)
        probed.append((form, source.probe(index, form, rows: rows, run)))
        probes.append(Trace.Probe(rows: rows.count, keys: tokens.count))
      }
      if request.projections { probes.append(Trace.Probe(rows: tokens.count, keys: tokens.count, isMixed: false)) }
      run.record(
        Recording(
          ids: ids, rowIDs: rows.map { tokens.id[$0] }, attention: attention,
          probe: request.probe == .none ? nil : probed.first { $0.form == form }!.rows,
          keys: request.keys ? cache.map { source.keys(of: $0) } : nil,
          finalNorm: request.finalNorm ? source.normed() : nil, branches: request.branches ? source.branches() : [],
          projections: request.projections ? source.projections(index) : nil,
          tokens: request.tokens ? tokens : nil),
        for: method, at: site, sequence: 0)
    }
    if run.acts(at: site) {
      var sequences = [tokens]
      try run.act(at: site, on: &sequences)
      source.tokens = sequences[0]
    }
    return probes
  }

  /// After the last layer: the caches, in layer order, what the pass has to report, and logits.
  private mutating func finish(
    _ layers: [Layer], _ decoding: inout Decoding, _ run: inout Run
  ) throws(CompressionError) {
    for index in decoding.pasts.indices where run.acts(at: .cache(index)) {
      try run.act(at: .cache(index), on: &decoding.pasts[index].cache, received: decoding.received[index])
      guard run.composition.positions?.cut == .slots else { continue }
      for part in decoding.pasts[index].cache.indices { moveToSlots(&decoding.pasts[index].cache[part]) }
    }
    for (index, layer) in layers.enumerated() {
      var trace = layer.trace
      if !decoding.pasts.isEmpty {
        // A cache of query heads holds an entry of a KV head several times.
        let copies = max(1, decoding.pasts[index].cache.count / source.shape.kvHeads)
        trace.cached = longest(decoding.pasts[index].cache) * copies
      }
      run.passLayer(trace, ids: layer.ids)
    }
    decoding.tokens = source.tokens
    decoding.logits = source.logits()
  }

  /// Row j of a cache stands at position j from now on.
  private func moveToSlots(_ cache: inout TokenSequence) {
    let slots = (0..<cache.count).map { Position($0) }
    if cache.position == slots { return }
    source.turn(&cache, to: slots)
    cache.renumber()
  }

  private func longest(_ cache: [TokenSequence]) -> Int { cache.reduce(0) { max($0, $1.count) } }
}
