import VTok

/// Methods that cut in stages inside the language model: `transprune.*`, `mustdrop.*`, `sparsevlm.*`,
/// `v2drop.*`, `priortr.*`, `deep-random.*`.
let stageFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "transprune.ttv": { inputs in
    let (before, after) = (try inputs.tensor("before"), try inputs.tensor("after"))
    func lengths(_ a: Tensor, _ b: Tensor) -> [Float] {
      (0..<a.rows).map { row in Float(zip(a.row(row), b.row(row)).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }) }
    }
    let branch = Branch(
      input: lengths(before, before).map { $0.squareRoot() }, output: lengths(after, after).map { $0.squareRoot() },
      dot: lengths(before, after))
    return ["ttv": GoldenValue(TransPrune.transition(branch).map { Float($0) }, [1, before.rows])]
  },

  "transprune.e2e": { inputs in
    let config = inputs.config
    let layers = config["layers_1based"]!.ints!  // behind layer l counted from 1 is before layer l counted from 0
    let method = TransPrune(
      layers: layers, amount: .ratios(config["keep_ratio_of_original"]!.doubles!),
      accumulated: config["accumulate_layers_1based"]!.ints!)
    let result = try LanguageCase(inputs).run([method])
    var outputs = result.outputs
    for (stage, layer) in layers.enumerated() {
      let notes = result.notes(of: method, at: .layer(layer))
      for name in ["score", "ttv_normalised", "iga_normalised"] { outputs["stage\(stage).\(name)"] = notes[name] }
      for (name, value) in notes where name.hasPrefix("layer") { outputs[name] = value }
      outputs["stage\(stage).kept_sequence_index"] = result.sequenceIndex(entering: layer)
      outputs["stage\(stage).kept_image_index"] = result.keptImageIndex(entering: layer)
      outputs["stage\(stage).position_ids_after"] = result.positions(entering: layer)
    }
    return outputs
  },

  "mustdrop.spatial_merge": { inputs in
    let config = inputs.config
    let batch = try inputs.tensor("tokens_with_cls")
    let grid = config["grid"]!.int!
    var notes = Notes()
    let windows = (0..<batch.shape[0]).map { tile in
      MustDrop.Windows(batch[plane: tile], rows: grid, columns: grid, edge: config["window"]!.int!, notes: &notes)
    }
    let threshold = Float(config["threshold"]!.double!)
    let merged = windows.map { $0.count(from: threshold, notes: &notes) }.min()!
    let tiles = windows.enumerated().map { tile, windows in
      var tokens = Stage.tile(batch[plane: tile], prefix: 1)
      tokens.apply(windows.reduction(merging: merged))
      return tokens
    }
    return [
      "merged_tokens": GoldenValue(stacking: tiles.map(\.x)),
      "token_size": GoldenValue(stacking: tiles.map { row($0.mass) }),
      "source_map": GoldenValue(stacking: tiles.map { sourceMatrix($0, prefix: 1, columns: batch.shape[1]) }),
      "window_similarity_recomputed": GoldenValue(stacking: windows.map { row($0.similarity) }),
    ]
  },

  // A CLIP tower run to its end, as a vision-language model's that takes the features before the last block.
  "mustdrop.vision_stage": { inputs in
    let config = inputs.config
    let model = try VisionModel.load(
      Checkpoint(file: inputs.file(config["weights_file"]!.string!), config: config["model"]!))
    let tower = model.tower.shape
    let feature = tower.blocks - 2
    let shape = Shape(
      tower: Shape.Tower(
        blocks: tower.blocks, featureBlock: feature, width: tower.width, heads: tower.heads, ffn: tower.ffn, prefix: 1,
        hasClassifier: true, rows: tower.rows, columns: tower.columns, patch: tower.patch),
      decoder: Stage.shape(Shape.Layout(tiling: .one)).decoder, layout: Shape.Layout(tiling: .one))
    var vision = MustDrop.Vision()
    vision.window = config["window"]!.int!
    vision.similarity = Float(config["threshold"]!.double!)
    vision.keys = config["key_rate"]!.double!
    let probe = Probe()
    let method = MustDrop(vision: vision, global: 0, individual: 0, layers: [1])
    var run = Run(try Composition([method, probe], for: shape), keepingNotes: true)
    let entering = model.tower.embed(try pixels(inputs)[0])
    var tiles = try model.tower.forward([entering], run: &run)
    let hidden = probe.box.seen.withLock { $0 }
    let counts = run.trace.tower.map { $0.rows[0] } + [tiles[0].count]
    tiles[0].apply(.keep(tiles[0].rows(.patch), of: tiles[0].count))
    run.images = [Stage.image(side: tower.rows)]
    run.image = 0
    _ = try run.pack(tiles, standard: [.keep(Array(0..<tiles[0].count), of: tiles[0].count)])
    let features = hidden["hidden.\(feature + 1)"]!
    let keys = run.trace.acts.last!.notes.kept["key_index"]!
    return [
      "image_features": GoldenValue(features.gathered(Array(1..<features.rows))),
      "key_index": GoldenValue(keys, [keys.count]), "hidden_after_merge": GoldenValue(hidden["hidden.1"]!),
      "num_tokens_per_layer": GoldenValue(counts, [counts.count]),
    ]
  },

  "mustdrop.e2e": { inputs in
    let config = inputs.config
    let layers = config["pruning_layers_0based"]!.ints!.map { $0 + 1 }
    let method = MustDrop(
      vision: nil, global: Float(config["global_thr"]!.double!), individual: Float(config["individual_thr"]!.double!),
      layers: layers, keys: [try inputs.integers("key_set").map(Int.init)])
    let result = try LanguageCase(inputs).run([method])
    var outputs = result.outputs
    for (stage, layer) in layers.enumerated() {
      let notes = result.notes(of: method, at: .layer(layer))
      for name in ["attention_sum", "attention_max", "important_index_local"] {
        outputs["stage\(stage).\(name)"] = notes[name]
      }
      outputs["stage\(stage).kept_image_index"] = result.keptImageIndex(entering: layer)
      outputs["stage\(stage).position_ids_after"] = result.positions(entering: layer)
    }
    outputs["cache_key_first_pruned_layer"] = CacheHeads(result.prefill.caches[layers[0] - 1], result.decoder).keys
    return outputs
  },

  "v2drop.e2e": { inputs in
    let config = inputs.config
    let layers = config["layers_0based"]!.ints!
    return try staged(inputs, V2Drop(layers: layers, keep: .ratios(config["keep_ratios"]!.doubles!)), layers)
  },

  "deep-random.e2e": { inputs in
    let config = inputs.config
    let layers = config["layers_0based"]!.ints!
    let noise = try layers.indices.map { try inputs.tensor("noise\($0)").values }
    return try staged(
      inputs, DeepRandom(layers: layers, keep: .counts(config["keep_counts"]!.ints!), noise: noise), layers)
  },

  "priortr.e2e": { inputs in
    let config = inputs.config
    let layers = config["prune_layers"]!.ints!
    let keep: StageShares =
      if let tokens = config["keep_tokens"]?.int {
        .counts(layers.map { _ in tokens })
      } else {
        .ratios(layers.map { _ in config["keep_ratio"]!.double! })
      }
    let method = PriorTR(
      layers: layers, keep: keep, asking: PriorTR.Asking(rawValue: config["query_aggregation"]!.string!)!,
      heads: PriorTR.Heads(rawValue: config["head_aggregation"]!.string!)!)
    return try staged(inputs, method, layers)
  },

  "priortr.e2e_qwen3vl": { inputs in
    let config = inputs.config
    let (layers, counts) = (try config.ints("prune_layers"), try config.ints("keep_counts"))
    let method: any Compressor
    switch try config.string("strategy") {
    case "priortr":
      method = PriorTR(
        layers: layers, keep: .counts(counts),
        asking: config["query_aggregation"]!.string! == "last" ? .last : .butLast,
        heads: PriorTR.Heads(rawValue: config["head_aggregation"]!.string!)!)
    case "fastv": method = FastV(layer: layers[0], keep: .tokens(counts[0]), caches: .cut)
    case let other: throw GoldenError("the strategy '\(other)' is not built")
    }
    let golden = try MultimodalCase(inputs)
    var result = try golden.run([method])
    var outputs: [String: GoldenValue] = [:]
    for (stage, scores) in result.allNotes("score").enumerated() {
      outputs["stage\(stage).score"] = GoldenValue(scores, [scores.count])
    }
    for (stage, kept) in result.keptImageIndices(layers).enumerated() {
      outputs["stage\(stage).kept_image_index"] = GoldenValue(kept, [kept.count])
    }
    let generated = try golden.generated(&result, count: try config.int("max_new_tokens"))
    outputs["generated_ids"] = GoldenValue(generated.ids, [generated.ids.count])
    outputs["generated_step_logits"] = generated.logits
    let lengths = result.decoding.caches.map { $0.first?.count ?? -1 }
    outputs["kv_lengths_at_end"] = GoldenValue(lengths, [lengths.count])
    return outputs
  },

  "priortr.score": { inputs in
    let config = inputs.config
    let start = config["image_token_start"]!.int!
    let visual = Array(start..<start + config["num_image_tokens"]!.int!)
    // Qwen3-VL's question ends before the last row.
    let asking: PriorTR.Asking =
      config["query_aggregation"]!.string! == "last"
      ? .last : config["backbone"]?.string == "qwen3-vl" ? .butLast : .question
    let scores = PriorTR.scores(
      try inputs.tensor("attention_rows"), at: visual, asking,
      PriorTR.Heads(rawValue: config["head_aggregation"]!.string!)!)
    var notes = Notes()
    let count = config["keep_tokens"]?.int ?? Int(Double(visual.count) * config["keep_ratio"]!.double!)
    let kept = notes.top(scores, min(count, visual.count)).sorted()
    return ["score": GoldenValue(row(scores)), "kept_image_index": GoldenValue(kept, [kept.count])]
  },

  "sparsevlm.cluster": { inputs in
    let x = try inputs.tensor("tokens")[plane: 0]
    let count = inputs.config["cluster_num"]!.int!
    var notes = Notes()
    let clusters = SparseVLM.cluster(
      x, into: count, noise: try inputs.tensor("noise_uniform").values.map { 1e-6 * $0 }, notes: &notes)
    var tokens = Stage.tile(x, prefix: 0)
    tokens.apply(SparseVLM.reduction(keeping: [], of: Array(0..<x.rows), merging: clusters, x.rows))
    return ["merged": GoldenValue(stacking: [tokens.x])]
  },

  "sparsevlm.e2e_v15": { try sparse($0, .recycling) },
  "sparsevlm.e2e_v20": { try sparse($0, .plus) },
]

/// A method that cuts in stages: what is left behind each, and what comes of it.
private func staged(_ inputs: Inputs, _ method: some Compressor, _ layers: [Int]) throws -> [String: GoldenValue] {
  let result = try LanguageCase(inputs).run([method])
  var outputs = result.outputs
  for (stage, layer) in layers.enumerated() {
    outputs["stage\(stage).score"] = result.notes(of: method, at: .layer(layer))["score"]
    outputs["stage\(stage).kept_image_index"] = result.keptImageIndex(entering: layer)
    outputs["stage\(stage).position_ids_after"] = result.positions(entering: layer)
  }
  return outputs
}

private func sparse(_ inputs: Inputs, _ version: SparseVLM.Version) throws -> [String: GoldenValue] {
  let config = inputs.config
  let layers = config["pruning_layers_0based"]!.ints!.map { $0 + 1 }
  let noise = try layers.indices.map { stage in
    let name = "stage\(stage).cluster_noise_uniform"
    return inputs.inputNames.contains(name) ? try inputs.tensor(name).values : []
  }
  let method = SparseVLM(
    counts: config["keep_counts_requested"]!.ints!, version: version, layers: layers,
    uniform: version == .plus ? [] : noise)
  let result = try LanguageCase(inputs).run([method])
  var outputs = result.outputs
  outputs["text_rater_index"] = result.notes(of: method, at: .layer(0))["raters"]
  for (stage, layer) in layers.enumerated() {
    let notes = result.notes(of: method, at: .layer(layer))
    let tokens = result.seen[0][layer]
    outputs["stage\(stage).score"] = notes["score"]
    outputs["stage\(stage).keep_mask"] = notes["keep_mask"]
    outputs["stage\(stage).position_ids_after"] = result.positions(entering: layer)
    outputs["stage\(stage).hidden_after_stage"] = GoldenValue(tokens.x)
    if let input = notes["merge_input"] {
      let rows = input.doubles.count / tokens.x.width
      outputs["stage\(stage).merge_input"] = GoldenValue(input.doubles.map { Float($0) }, [rows, tokens.x.width])
      let kept = notes["keep_mask"]!.doubles.count { $0 == 1 }
      let merged = (0..<rows / 10 + 1).map { result.image.lowerBound + kept + $0 }
      outputs["stage\(stage).merged_tokens"] = GoldenValue(tokens.x.gathered(merged))
    }
  }
  return outputs
}

extension LanguageResult {
  var decoder: Shape.Decoder { run.composition.shape.decoder! }

  /// Intermediates of a method at a site of the prefill.
  func notes<Method: Compressor>(of method: Method, at site: Site) -> [String: GoldenValue] {
    let act = run.trace.acts.first { $0.method == Method.name && $0.site == site }
    return act?.notes.kept.mapValues { GoldenValue(row($0)) } ?? [:]
  }
}
