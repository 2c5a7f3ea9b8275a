import VTok

/// The methods of `beforeLanguageFunctions` end to end: `*.e2e`, `*.e2e_next`, `*.e2e_qwen25vl`.
let beforeLanguageRuns: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "vispruner.e2e": visPruner, "vispruner.e2e_next": visPruner,
  "fastervlm.e2e": fasterVLM, "fastervlm.e2e_next": fasterVLM,

  "hiprune.e2e": hiPrune, "hiprune.e2e_next": hiPrune,
  "hiprune.e2e_qwen25vl": { inputs in
    let config = inputs.config
    let method = HiPrune(
      .budget(.ratio(config["keep_ratio"]!.double!)), alpha: config["alpha"]!.double!,
      object: config["object_layer_1based"]!.int! - 1)
    let result = try MultimodalCase(inputs).run([method])
    return result.outputs([
      "object_received": list(result.notes("objects")), "deep_received": list(result.notes("deep")),
      "kept": list(result.notes("selected")),
    ])
  },

  "holov.e2e": holoV, "holov.e2e_next": holoV,
  "holov.e2e_qwen25vl": { inputs in
    let config = inputs.config
    let method = HoloV(ratio: config["keep_ratio"]!.double!, alpha: config["alpha"]!.double!)
    let result = try MultimodalCase(inputs).run([method])
    return result.outputs([
      "attention": list(result.notes("attention")), "kept_in_order": list(result.notes("kept")),
    ])
  },

  "scope.e2e": scope, "scope.e2e_next": scope,
  "prunesid.e2e": pruneSID, "prunesid.e2e_next": pruneSID,

  "prumerge.e2e": { inputs in
    let golden = try MultimodalCase(inputs)
    let method = try pruMerge(inputs)
    let result = try golden.run([method])
    var run = Run(try Composition([method], for: golden.model.shape))
    return result.outputs([
      "kept_in_order": list(result.notes("kept")), "projected": GoldenValue(result.visual),
      "tokens": GoldenValue(try golden.model.tower(golden.images[0], run: &run).leaving[0]),
    ])
  },

  "mmtok.e2e": mmTok, "mmtok.e2e_next": mmTok,
  "mmtok.e2e_qwen25vl": { inputs in
    let method = MMTok(ratio: inputs.config["keep_ratio"]!.double!, coverage(inputs.config))
    let result = try MultimodalCase(inputs).run(
      [method], words: try inputs.integers("keyword_ids").map(Int.init))
    return result.outputs(["kept": list(result.notes("selected").sorted())])
  },

  "gprune.e2e_next": { inputs in
    let result = try MultimodalCase(inputs).run([
      GPrune(ratio: inputs.config["keep_ratio"]!.double!, graph: graph(inputs.config))
    ])
    return result.outputs(["kept": result.keptOfSpan, "visual": result.keptRows])
  },

  "divprune.e2e_qwen25vl": { inputs in
    let result = try MultimodalCase(inputs).run([DivPrune(keep: .ratio(inputs.config["keep_ratio"]!.double!))])
    return result.outputs(["kept": result.keptOfSpan, "visual": result.keptRows])
  },
]

private func list(_ values: [Float]) -> GoldenValue { GoldenValue(values, [values.count]) }

/// One row a tile.
private func byTile(_ values: [Float], _ inputs: Inputs) -> GoldenValue {
  let tiles = inputs.shape("pixel_values")[0]
  let size = values.count / tiles
  var sorted: [Float] = []
  for tile in 0..<tiles { sorted += values[tile * size..<(tile + 1) * size].sorted() }
  return GoldenValue(sorted, [tiles, size])
}

@Sendable private func visPruner(_ inputs: Inputs) throws -> [String: GoldenValue] {
  try visPruner(inputs, share: inputs.config["important_ratio"]!.double!)
}

@Sendable private func fasterVLM(_ inputs: Inputs) throws -> [String: GoldenValue] {
  try visPruner(inputs, share: 1)
}

private func visPruner(_ inputs: Inputs, share: Double) throws -> [String: GoldenValue] {
  let result = try MultimodalCase(inputs).run([
    VisPruner(.perTile(inputs.config["visual_token_num"]!.int!), important: share)
  ])
  return result.outputs(["kept": byTile(result.notes("selected"), inputs)])
}

@Sendable private func hiPrune(_ inputs: Inputs) throws -> [String: GoldenValue] {
  let config = inputs.config
  let result = try MultimodalCase(inputs).run([
    HiPrune(
      .total(config["retention"]!.int!), alpha: config["alpha"]!.double!,
      object: config["object_layer_1based"]!.int! - 1)
  ])
  return result.outputs(["kept": byTile(result.notes("selected"), inputs)])
}

@Sendable private func holoV(_ inputs: Inputs) throws -> [String: GoldenValue] {
  let config = inputs.config
  let result = try MultimodalCase(inputs).run([
    HoloV(keep: .tokens(config["keep"]!.int!), crops: config["crops"]!.int!, alpha: config["alpha"]!.double!)
  ])
  return result.outputs(["kept_in_order": list(result.notes("kept"))])
}

@Sendable private func scope(_ inputs: Inputs) throws -> [String: GoldenValue] {
  let config = inputs.config
  let combine: SCOPE.Combine = config["combined"]!.string! == "add" ? .add : .multi
  let result = try MultimodalCase(inputs).run([
    SCOPE(.total(config["keep"]!.int!), alpha: config["alpha"]!.double!, combine: combine)
  ])
  return result.outputs(["kept": byTile(result.notes("selected"), inputs)])
}

@Sendable private func mmTok(_ inputs: Inputs) throws -> [String: GoldenValue] {
  let method = MMTok(.perTile(inputs.config["keep"]!.int!), coverage(inputs.config))
  let result = try MultimodalCase(inputs).run(
    [method], words: try inputs.integers("keyword_ids").map(Int.init))
  let kept = byTile(result.notes("selected"), inputs)
  // One tile has no axis of its own here.
  return result.outputs([
    "kept": kept.shape[0] == 1 ? GoldenValue(kept.doubles.map { Float($0) }, [kept.shape[1]]) : kept
  ])
}

/// Indices tile by tile in the order of their rows.
@Sendable private func pruneSID(_ inputs: Inputs) throws -> [String: GoldenValue] {
  let method = PruneSID(.perTile(inputs.config["keep"]!.int!), omega: try inputs.tensor("omega"))
  let result = try MultimodalCase(inputs).run([method])
  let (indices, tiles) = (result.notes("indices"), inputs.shape("pixel_values")[0])
  return result.outputs([
    "all_indices": GoldenValue(indices, tiles == 1 ? [indices.count] : [tiles, indices.count / tiles])
  ])
}

extension MultimodalResult {
  /// With what every such case has: rows that entered the language model, their positions, and logits.
  fileprivate func outputs(_ own: [String: GoldenValue]) -> [String: GoldenValue] {
    let positions = decoding.tokens.position
    let axes = [\Position.t, \.h, \.w].map { axis in positions.map { Int($0[keyPath: axis]) } }
    let isPlain = run.composition.shape.decoder!.sections.isEmpty
    let common = [
      "visual": GoldenValue(visual), "logits": logits,
      "position_ids": isPlain
        ? GoldenValue(axes[0], [positions.count]) : GoldenValue(axes.flatMap { $0 }, [3, positions.count]),
    ]
    return own.merging(common) { mine, _ in mine }
  }

  private var span: Range<Int32> { run.images[0].spans[0] }

  /// Rows of the visual span that reached the end of the language model, counted in the span.
  fileprivate var keptOfSpan: GoldenValue {
    list(decoding.tokens.id.filter(span.contains).map { Float($0 - span.lowerBound) })
  }

  /// The same rows as they entered it.
  fileprivate var keptRows: GoldenValue {
    GoldenValue(prompt.x.gathered(decoding.tokens.id.filter(span.contains).map(Int.init)))
  }
}
