import VTok

/// Methods on the KV cache: `elastic-cache.*`, `h2o.*`.
let cacheFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "elastic-cache.first_call": { inputs in
    let config = inputs.config
    var outputs: [String: GoldenValue] = [:]
    let layers = inputs.inputNames.count { $0.hasPrefix("k") }
    var sums: [Tensor] = []
    var method = ElasticCache(keep: .ratio(1 - config["ratio"]!.double!), start: config["start_size"]!.int!)
    for layer in 0..<layers {
      let heads = CacheHeads(keys: try inputs.tensor("k\(layer)"), values: try inputs.tensor("v\(layer)"))
      var caches = [heads.sequence]
      let attention = try inputs.tensor("attn\(layer)")
      let notes = try heads.act(
        &method, on: &caches, layer: layer, layers: layers, attention: attention.columnSums(causal: true),
        received: config["num_of_token"]!.int!)
      sums.append(row(notes.kept["score"]!))
      let after = CacheHeads(caches, heads.decoder(layers: layers))
      (outputs["k\(layer)"], outputs["v\(layer)"]) = (after.keys, after.values)
    }
    outputs["score_sum"] = GoldenValue(stacking: sums)
    return outputs
  },

  "elastic-cache.e2e": { inputs in
    let config = inputs.config
    let policies = ["elastic": ElasticCache.Policy.elastic, "local": .local, "h2o": .h2o]
    let policy = policies[config["kind"]!.string!]!
    let method = ElasticCache(
      keep: .ratio(1 - config["ratio"]!.double!), policy: policy, start: config["start_size"]!.int!,
      distance: config["distance"]!.int!)
    let result = try LanguageCase(inputs).run([method])
    var outputs = result.eachStep
    let last = result.decoder.layers - 1
    for layer in [0, last] {
      let heads = CacheHeads(result.prefill.caches[layer], result.decoder)
      outputs["layer\(layer).key_after_first_compress"] = heads.keys
      outputs["layer\(layer).value_after_first_compress"] = heads.values
    }
    let notes = (0...last).map { result.notes(of: method, at: .cache($0)) }
    let scores = notes.compactMap { $0["score"]?.doubles.map { Float($0) } }
    guard !scores.isEmpty else { return outputs }
    outputs["score_sum_prefill"] =
      scores.count == 1 ? GoldenValue(row(scores[0])) : GoldenValue(stacking: scores.map { row($0) })
    outputs["decode_evict_index"] = notes[0]["place"].map { GoldenValue($0.doubles.map { Float($0) }, []) }
    return outputs
  },

  "h2o.layerwise": { inputs in
    let config = inputs.config
    var method = H2O(heavy: config["hh_size"]!.int!, recent: config["recent_size"]!.int!)
    let first = CacheHeads(keys: try inputs.tensor("step0.k"), values: try inputs.tensor("step0.v"))
    var caches = [first.sequence]
    var outputs: [String: GoldenValue] = [:]
    for step in 0...config["decode_steps"]!.int! {
      if step > 0 {
        let new = CacheHeads(
          keys: try inputs.tensor("step\(step).k_new"), values: try inputs.tensor("step\(step).v_new"))
        let parts = caches.count == 1 ? [new.sequence] : new.sequence.split(into: caches.count)
        for (index, part) in parts.enumerated() { caches[index].append(part) }
      }
      let notes = try first.act(
        &method, on: &caches, layer: 0, layers: 1,
        attention: try inputs.tensor("step\(step).attn").columnSums(causal: false), received: 0, step: step)
      let after = CacheHeads(caches, first.decoder(layers: 1))
      outputs["step\(step).k"] = after.keys
      outputs["step\(step).v"] = after.values
      outputs["step\(step).score"] = GoldenValue(notes.kept["score"]!, [first.heads, caches[0].count])
    }
    return outputs
  },

  "h2o.e2e": { inputs in
    let config = inputs.config
    let method = H2O(heavy: config["hh_size"]!.int!, recent: config["recent_size"]!.int!)
    return try LanguageCase(inputs).run([method]).eachStep
  },
]

extension LanguageResult {
  /// Tokens, logits and cache lengths of the prefill and every step.
  var eachStep: [String: GoldenValue] {
    [
      "greedy_tokens": GoldenValue(tokens, [tokens.count]),
      "logits_each_step": GoldenValue(Array(logits.joined()), [logits.count, logits[0].count]),
      "cache_length_each_step": GoldenValue(cacheLengths.map { $0[0] }, [cacheLengths.count]),
    ]
  }
}

/// The cache of a layer, by head.
struct CacheHeads {
  /// `[kvHeads, n, headDim]`
  private let k: Tensor, v: Tensor
  var keys: GoldenValue { GoldenValue(k) }
  var values: GoldenValue { GoldenValue(v) }
  var heads: Int { k.shape[0] }

  init(keys: Tensor, values: Tensor) { (k, v) = (keys, values) }

  /// From one sequence for all heads, or one per head.
  init(_ caches: [TokenSequence], _ decoder: Shape.Decoder) {
    let parts = caches.count == 1 ? caches[0].split(into: decoder.kvHeads) : caches
    func half(_ first: Int) -> Tensor {
      let values = parts.flatMap { part in
        (0..<part.count).flatMap { Array(part.x.row($0).dropFirst(first).prefix(decoder.headDim)) }
      }
      return Tensor(values, shape: [parts.count, parts[0].count, decoder.headDim])
    }
    (k, v) = (half(0), half(decoder.headDim))
  }

  /// Per head key, then value.
  var sequence: TokenSequence {
    let (heads, n, headDim) = (k.shape[0], k.shape[1], k.shape[2])
    var rows: [Float] = []
    for entry in 0..<n {
      for head in 0..<heads { rows += Array(k.row(head * n + entry)) + Array(v.row(head * n + entry)) }
    }
    return TokenSequence(
      x: Tensor(rows, shape: [n, heads * 2 * headDim]), kind: [TokenKind](repeating: .text, count: n),
      origin: Origin([Int?](repeating: nil, count: n)))
  }

  func decoder(layers: Int) -> Shape.Decoder {
    Shape.Decoder(
      layers: layers, width: 1, heads: heads, kvHeads: heads, headDim: k.shape[2], ffn: 1, vocabulary: 1,
      frequencies: [])
  }

  /// One visit of a cache method; attention `[heads, n]`, summed over queries.
  func act<Method: Compressor>(
    _ method: inout Method, on caches: inout [TokenSequence], layer: Int, layers: Int, attention: Tensor,
    received: Int, step: Int = 0
  ) throws -> Notes {
    let recordings = caches.enumerated().map { index, cache in
      Recording(ids: cache.id, attention: caches.count == 1 ? attention : attention.gathered([index]))
    }
    let view = View(
      sequences: caches, shape: Shape(tower: nil, decoder: decoder(layers: layers)), step: step, received: received,
      recordings: [.cache(layer): recordings])
    var notes = Notes(keeping: true)
    if let reductions = try method.reduce(view, at: .cache(layer), notes: &notes) {
      if reductions.count > caches.count { caches = caches[0].split(into: reductions.count) }
      for (index, reduction) in reductions.enumerated() { caches[index].apply(reduction) }
    }
    return notes
  }
}

extension Tensor {
  /// Attention `[heads, queries, keys]` added up over queries, of a causal mask only what it shows. `[heads, keys]`
  fileprivate func columnSums(causal: Bool) -> Tensor {
    let (heads, queries, keys) = (shape[0], shape[1], shape[2])
    var sums = Tensor(zeros: [heads, keys])
    for head in 0..<heads {
      for query in 0..<queries {
        for key in 0..<(causal ? query + 1 : keys) {
          sums.values[head * keys + key] += values[(head * queries + query) * keys + key]
        }
      }
    }
    return sums
  }
}
