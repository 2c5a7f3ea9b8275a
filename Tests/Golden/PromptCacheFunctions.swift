import VTok

/// Methods that cut caches once the prompt is read, and StreamingLLM: `snapkv.*`, `pyramidkv.*`, `streaming-llm.*`,
/// `look-m.*`, `ems.*`. Options are typed as users type them.
let promptCacheFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "snapkv.e2e": { try cut($0, "snapkv:\(window($0)),capacity=\($0.config.int("max_capacity_prompt"))") },
  "snapkv.e2e_query_head": {
    try cut($0, "snapkv:\(window($0)),granularity=query-head,capacity=\($0.config.int("max_capacity_prompt"))")
  },
  "snapkv.e2e_ratio": { try cut($0, "snapkv:\(window($0)),keep=\(share($0))") },
  "pyramidkv.e2e": { inputs in
    let beta = inputs.config["beta"]?.int ?? 20
    return try cut(
      inputs, "pyramidkv:\(window(inputs)),beta=\(beta),capacity=\(inputs.config.int("max_capacity_prompt"))")
  },
  "pyramidkv.e2e_ratio": { inputs in
    let beta = inputs.config["beta"]?.int ?? 20
    return try cut(inputs, "pyramidkv:\(window(inputs)),beta=\(beta),keep=\(share(inputs))")
  },

  "streaming-llm.e2e": { inputs in
    let config = inputs.config
    let result = try run(
      inputs, "streaming-llm:start=\(config.int("start_size")),recent=\(config.int("recent_size"))")
    var outputs = result.eachStep
    outputs["kept_positions_after_prefill"] = ids(result.prefill)
    outputs["kept_positions_last_step"] = ids(result.last)
    return outputs
  },
  "streaming-llm.e2e_prefill": { inputs in
    let (capacity, window) = (try inputs.config.int("max_capacity_prompt"), try inputs.config.int("window_size"))
    return try cut(inputs, "streaming-llm:mode=prefill,start=\(capacity - window),recent=\(window)")
  },
  "streaming-llm.e2e_rerotated": { inputs in
    let sinks = try inputs.config.int("n_sink")
    return try cut(inputs, "streaming-llm:mode=prefill,rerotate=on,start=\(sinks),keep=\(share(inputs))")
  },

  "look-m.e2e": { inputs in
    let config = inputs.config
    return try cut(
      inputs, "look-m:heavy=\(config["hh_ratio"]!.double!),recent=\(config["recent_ratio"]!.double!)")
  },

  "ems.e2e": { inputs in
    let config = inputs.config
    let spec =
      "ems:keep=\(try config.int("budget")),window=\(try config.int("window")),mass=\(config["mass"]!.double!),"
      + "tau=\(config["tau"]!.double!),combine=\(try config.string("combine")),keys=\(try config.string("keys"))"
    let result = try run(inputs, spec)
    var outputs = cutOutputs(inputs, result)
    let (layers, heads) = (result.decoder.layers, result.decoder.kvHeads)
    for layer in 0..<layers {
      let act = result.run.trace.acts.first { $0.method == EMS.name && $0.site == .cache(layer) }
      let classes = (0..<heads).map { head in
        act?.notes.kept["class\(head)"] ?? (0..<result.prefill.caches[layer][0].count).map { Float($0) }
      }
      outputs["layer\(layer).class_of_entry"] = GoldenValue(classes.flatMap { $0 }, [heads, classes[0].count])
    }
    return outputs
  },
]

/// SnapKV's options under the official names.
private func window(_ inputs: Inputs) throws -> String {
  let config = inputs.config
  let pool = try config.string("pooling") == "maxpool" ? "max" : "average"
  return "window=\(try config.int("window_size")),kernel=\(try config.int("kernel_size")),pool=\(pool),"
    + "aggregate=\(config["gqa_score_agg"]?.string ?? "mean")"
}

/// What stays of a `compression_ratio`.
private func share(_ inputs: Inputs) -> Double { 1 - inputs.config["compression_ratio"]!.double! }

private func run(_ inputs: Inputs, _ spec: String) throws -> LanguageResult {
  try LanguageCase(inputs).run(MethodSpec(spec).make(budget: nil))
}

private func cut(_ inputs: Inputs, _ spec: String) throws -> [String: GoldenValue] {
  cutOutputs(inputs, try run(inputs, spec))
}

/// Tokens, logits and lengths of every step, and what is left of the prompt in every layer and head.
private func cutOutputs(_ inputs: Inputs, _ result: LanguageResult) -> [String: GoldenValue] {
  var outputs = result.eachStep
  let lengths = result.cacheLengths
  outputs["cache_length_each_step"] = GoldenValue(lengths.flatMap { $0 }, [lengths.count, lengths[0].count])
  for (layer, caches) in result.prefill.caches.enumerated() {
    // A cache that nothing was cut from has not split.
    let heads = caches.count == 1 ? result.decoder.kvHeads : caches.count
    let kept = (0..<heads).flatMap { caches[caches.count == 1 ? 0 : $0].id.map(Int.init) }
    outputs["layer\(layer).kept_positions"] = GoldenValue(kept, [heads, kept.count / heads])
  }
  let last = CacheHeads(result.prefill.caches.last!, result.decoder)
  outputs["last_layer.keys_after_prefill"] = last.keys
  outputs["last_layer.values_after_prefill"] = last.values
  return outputs
}

private func ids(_ decoding: Decoding) -> GoldenValue {
  let ids = decoding.caches[0][0].id.map(Int.init)
  return GoldenValue(ids, [ids.count])
}
