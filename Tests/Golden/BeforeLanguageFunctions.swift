import VTok

/// More methods between vision tower and language model, without a model: `vispruner.*`, `fastervlm.*`, `prumerge.*`,
/// `hiprune.*`, `holov.*`, `scope.*`, `prunesid.*`, `gprune.*`, `mmtok.*`, `pact.*`, `divprune.select_parts`.
let beforeLanguageFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "vispruner.select": { try visPruner($0, share: $0.config["important_ratio"]!.double!) },
  "fastervlm.select": { try visPruner($0, share: 1) },

  "vispruner.pack_anyres": { inputs in
    let (config, attention) = (inputs.config, try inputs.tensor("attention"))
    var method = VisPruner(
      .perTile(config["visual_token_num"]!.int!), important: config["important_ratio"]!.double!)
    let stage = try Stage(anyres: inputs)
    return try stage.cut(&method) { tile, ids in
      Recording(ids: ids, rowIDs: [0], attention: attention[plane: tile].oneRow)
    }
  },

  "hiprune.select": { inputs in
    let (object, deep) = (try inputs.tensor("object_attention"), try inputs.tensor("deep_attention"))
    // The mean over heads and rows.
    func received(_ attention: Tensor) -> Tensor {
      let (tiles, lines, width) = (attention.shape[0], attention.shape[1] * attention.shape[2], attention.width)
      return Tensor(shape: [tiles, width]) { out in
        for tile in 0..<tiles {
          for column in 0..<width {
            var sum: Float = 0
            for line in 0..<lines { sum += attention.values[(tile * lines + line) * width + column] }
            out[tile * width + column] = sum / Float(lines)
          }
        }
      }
    }
    return ["kept": try hiPrune(inputs, received(object), received(deep))]
  },
  "hiprune.select_received": { inputs in
    ["kept": try hiPrune(inputs, inputs.tensor("object_received"), inputs.tensor("deep_received"))]
  },

  // Means in the manifest, sums over heads and rows in a recording.
  "hiprune.pack_anyres": { inputs in
    let config = inputs.config
    let stage = try Stage(anyres: inputs)
    let tower = stage.view().shape.tower!
    let share = Float(tower.heads * stage.tiles[0].count)
    let recordings = try ["object_received", "deep_received"].map { name in
      let received = try inputs.tensor(name)
      return stage.tiles.indices.map { tile in
        let sums = received.row(tile).dropFirst().map { share * $0 }
        return Recording(ids: stage.tiles[tile].id, attention: Tensor(sums, shape: [1, sums.count]))
      }
    }
    var method = HiPrune(.total(config["retention"]!.int!), alpha: config["alpha"]!.double!, object: 0)
    return try stage.cut(
      &method, [.block(0, .end): recordings[0], .block(Stage.feature, .end): recordings[1]])
  },

  "holov.select": { inputs in
    let (tokens, attention) = (try inputs.tensor("tokens"), try inputs.tensor("attention"))
    let config = inputs.config
    var (kept, allocated, rows): ([Int], [Int], [Tensor]) = ([], [], [])
    let (batch, keep) = (tokens.shape[0], config["keep"]!.int!)
    for image in 0..<batch {
      var notes = Notes()
      let x = tokens[plane: image]
      let found = HoloV.select(
        x, attention: Array(attention.row(image)), keep: keep, crops: config["crops"]!.int!,
        alpha: config["alpha"]!.double!, notes: &notes)
      kept += found.kept
      allocated += found.allocated
      let none = Tensor(zeros: [1, x.width])
      rows.append(
        Tensor(found.kept.flatMap { $0 < 0 ? none.row(0) : x.row($0) }, shape: [found.kept.count, x.width]))
    }
    return [
      "kept_in_order": GoldenValue(kept, [batch, keep]), "rows": GoldenValue(stacking: rows),
      "allocated": GoldenValue(allocated, [batch, allocated.count / batch]),
    ]
  },

  "holov.pack_anyres": { inputs in
    let (config, attention) = (inputs.config, try inputs.tensor("attention"))
    let stage = try Stage(anyres: inputs)
    var method = HoloV(
      keep: .tokens(config["keep"]!.int!), crops: config["crops"]!.int!, alpha: config["alpha"]!.double!)
    let recordings = stage.tiles.indices.map { tile in
      Recording(ids: stage.tiles[tile].id, rowIDs: [0], attention: attention[plane: tile].oneRow)
    }
    let (reduction, notes) = try Stage.act(&method, stage.view([.block(Stage.feature, .end): recordings]), .pack)
    // Weights 1 and 0 of single rows.
    var packed = TokenSequence(
      x: stage.sources, kind: (0..<stage.sources.rows).map { _ in .patch },
      origin: Origin((0..<stage.sources.rows).map { $0 }))
    packed.apply(reduction)
    return [
      "candidates": list(notes.kept["candidates"]!), "kept_in_order": list(notes.kept["kept"]!),
      "packed": GoldenValue(packed.x),
    ]
  },

  "scope.select": { inputs in
    let config = inputs.config
    let (features, saliency) = (try inputs.tensor("features"), try inputs.tensor("saliency"))
    let combine: SCOPE.Combine = config["combined"]!.string! == "add" ? .add : .multi
    let keep = config["keep"]!.int!
    let method = SCOPE(.perTile(keep), alpha: config["alpha"]!.double!, combine: combine)
    var notes = Notes()
    let chosen = (0..<features.shape[0]).map { image in
      method.select(
        features[plane: image], saliency: Array(saliency.row(image)), keep: keep, notes: &notes)
    }
    return [
      "selected_in_order": GoldenValue(chosen.flatMap { $0 }, [chosen.count, keep]),
      "selected_sorted": GoldenValue(chosen.flatMap { $0.sorted() }, [chosen.count, keep]),
    ]
  },

  // The caller's thumbnail is not part of these cases.
  "scope.pack_anyres": { inputs in
    var method = SCOPE(.perTile(inputs.config["keep"]!.int!))
    let stage = try Stage(packing: inputs, prefix: 0)
    let (reduction, _) = try Stage.act(&method, stage.view(), .pack)
    return ["packed": GoldenValue(stage.sources.gathered(reduction.members.map(Int.init)))]
  },
  "prunesid.pack_anyres": { inputs in
    var method = PruneSID(.perTile(inputs.config["keep"]!.int!))
    let stage = try Stage(packing: inputs, prefix: 1)
    let (reduction, _) = try Stage.act(&method, stage.view(), .pack)
    return ["packed": GoldenValue(stage.sources.gathered(reduction.members.map(Int.init)))]
  },

  "prunesid.select": { inputs in
    let (hidden, attention) = (try inputs.tensor("hidden_states"), try inputs.tensor("cls_attention"))
    let (omega, keep) = (try inputs.tensor("omega"), inputs.config["keep"]!.int!)
    var (component, shares, indices, tokens): ([Int], [Int], [Int], [Tensor]) = ([], [], [], [])
    for image in 0..<hidden.shape[0] {
      var notes = Notes()
      let x = hidden[plane: image]
      let heads = attention[plane: image]
      var summed = [Float](repeating: 0, count: x.rows)
      for head in 0..<heads.rows {
        for (column, value) in heads.row(head).enumerated() { summed[column] += value }
      }
      let found = PruneSID.select(
        x.gathered(Array(1..<x.rows)), attention: Array(summed.dropFirst()), keep: keep, omega: omega, notes: &notes)
      component += found.component
      shares += found.shares
      let rows = [0] + found.kept.map { $0 + 1 }
      indices += rows
      tokens.append(x.gathered(rows))
    }
    let batch = tokens.count
    return [
      "component": GoldenValue(component, [batch, component.count / batch]),
      "group_tokens": GoldenValue(shares, [batch, shares.count / batch]),
      "all_indices": GoldenValue(indices, [batch, indices.count / batch]), "tokens": GoldenValue(stacking: tokens),
    ]
  },

  "prumerge.reduce": { inputs in
    let (features, query, keys) = (
      try inputs.tensor("features"), try inputs.tensor("cls_query"), try inputs.tensor("keys")
    )
    let (batch, n, width) = (features.shape[0], features.shape[1], features.shape[2])
    var method = try pruMerge(inputs)
    // Features have no class row here; attention and numbers count it.
    var tiles = (0..<batch).map { image in
      var rows = Tensor(zeros: [1, width])
      rows.append(rows: features[plane: image])
      return Stage.tile(rows, prefix: 1, ids: (0...n).map(Int32.init))
    }
    // One head of the whole width.
    let recordings = (0..<batch).map { image in
      let own = keys[plane: image]
      let logits: [Float] = (0...n).map { row in
        var dot: Float = 0
        for (a, b) in zip(query.row(image), own.row(row)) { dot += a * b }
        return dot / Float(width).squareRoot()
      }
      return Recording(
        ids: (0...n).map(Int32.init), rowIDs: [0], probe: Tensor(logits, shape: [1, 1, n + 1]),
        probeKeys: own.reshaped([1, n + 1, width]))
    }
    var notes = Notes(keeping: true)
    let view = View(
      sequences: tiles, shape: Stage.shape(Shape.Layout(tiling: .one)),
      recordings: [.block(Stage.feature, .end): recordings])
    for (image, reduction) in try method.reduce(view, at: .features, notes: &notes)!.enumerated() {
      tiles[image].apply(reduction)
    }
    let kept = notes.kept["kept"]!
    return [
      "kept_in_order": GoldenValue(kept, [batch, kept.count / batch]),
      "cls_attention": GoldenValue(notes.kept["attention"]!, [batch, n]),
      "tokens": GoldenValue(stacking: tiles.map(\.x)),
    ]
  },

  "gprune.select": { inputs in
    let x = try inputs.tensor("features")
    var notes = Notes()
    let keep = max(1, Int(inputs.config["keep_ratio"]!.double! * Double(x.rows)))
    return ["kept": list(GPrune.select(x, keep: keep, graph(inputs.config), notes: &notes).map(Float.init))]
  },

  // The packing of LLaVA-NeXT comes first: the grid without padding, every line ended by a newline.
  "gprune.pack_anyres": { inputs in
    let stage = try Stage(anyres: inputs, named: "projected")
    let newline = try inputs.tensor("newline")
    var method = GPrune(ratio: inputs.config["keep_ratio"]!.double!, graph: graph(inputs.config))
    let (x, patches) = try stage.packed(newline: newline)
    let tokens = TokenSequence(
      x: x, kind: patches.map { $0 == nil ? .newline : .patch }, origin: Origin(patches))
    let view = View(
      sequences: [tokens], images: [stage.layout.with(spans: [0..<Int32(x.rows)])],
      shape: Stage.shape(Shape.Layout(tiling: .cut, hasNewline: true)))
    let (reduction, _) = try Stage.act(&method, view, .layer(0))
    let kept = reduction.members.map(Int.init)
    return ["kept": GoldenValue(kept, [kept.count]), "packed": GoldenValue(x.gathered(kept))]
  },

  "mmtok.select": { inputs in
    let config = inputs.config
    let excluded = config["excluded"]?.ints ?? []
    var notes = Notes()
    let chosen = MMTok.select(
      try inputs.tensor("projected"), try inputs.tensor("features"), try inputs.tensor("text"),
      keep: config["keep"]!.int!, excluded: Set(excluded), coverage(config),
      temperature: Float(config["tv_temperature"]!.double!), notes: &notes)
    return [
      "selected_in_order": GoldenValue(chosen, [chosen.count]),
      "selected_sorted": GoldenValue(chosen.sorted(), [chosen.count]),
    ]
  },
  "mmtok.keywords": { inputs in
    let rows = try inputs.rows.map { row -> JSON in
      ["question": row["question"]!, "keywords": JSON(MMTok.keywords(of: row["question"]!.string!))]
    }
    return ["rows": GoldenValue(rows: rows)]
  },
  "mmtok.padding": { inputs in
    let (side, patch) = (inputs.config["target"]!.int!, inputs.config["patch"]!.int!)
    let rows = try inputs.rows.map { row -> JSON in
      let ranges = MMTok.padding(
        width: row["width"]!.int!, height: row["height"]!.int!, side: side, patch: patch)
      return [
        "width": row["width"]!, "height": row["height"]!,
        "excluded_ranges": .array(ranges.map { JSON([$0.lowerBound, $0.upperBound]) }),
      ]
    }
    return ["rows": GoldenValue(rows: rows)]
  },

  "pact.prune": { inputs in
    let config = inputs.config
    let (hidden, isImage) = (try inputs.tensor("hidden"), try inputs.integers("is_image"))
    var notes = Notes()
    let attention = PACT.attention(
      try inputs.tensor("queries"), try inputs.tensor("keys"), heads: config["heads"]!.int!,
      kvHeads: config["kv_heads"]!.int!, notes: &notes)
    let rows = isImage.indices.filter { isImage[$0] != 0 }
    let scores = zip(rows, PACT.lengths(hidden, Array(0..<hidden.rows))).map { attention[$0] * $1 }
    let kept = notes.top(scores, Int(Double(rows.count) * config["keep_ratio"]!.double!)).sorted()
    return ["scores": list(scores), "kept": GoldenValue(kept, [kept.count])]
  },

  // The rows of kept and pruned tokens are put beside each other, and gathered by the method's own reduction.
  "pact.cluster": { inputs in
    var rule = PACT.Rule()
    rule.cutoff = Float(inputs.config["cutoff"]!.double!)
    rule.retrieve = Float(inputs.config["coef_pruned"]!.double!)
    let (keys, hidden) = (try inputs.tensor("keys"), try inputs.tensor("hidden"))
    let hasPruned = inputs.inputNames.contains("pruned_keys")
    let none = Tensor(zeros: [0, keys.width])
    var notes = Notes()
    let found = PACT.cluster(keys, pruned: hasPruned ? try inputs.tensor("pruned_keys") : none, rule, notes: &notes)
    var x = hidden
    if hasPruned { x.append(rows: try inputs.tensor("pruned_hidden")) }
    var tokens = Stage.tile(x, prefix: 0)
    tokens.apply(found.reduction(of: x.rows))
    return [
      "centres": GoldenValue(found.centres, [found.centres.count]),
      "labels": GoldenValue(found.labels, [found.labels.count]), "merged": GoldenValue(tokens.x),
      "sizes": list(tokens.mass),
    ]
  },

  "divprune.select_parts": { inputs in
    let embeds = try inputs.tensor("embeds")
    let (tiles, n) = (embeds.shape[0], embeds.shape[1])
    let x = embeds.reshaped([tiles * n, embeds.width])
    var method = DivPrune(keep: .ratio(inputs.config["keep_ratio"]!.double!), parts: .tiles)
    // Tiles of one patch row each: the patch numbers alone tell them apart.
    let side = Int(Double(n).squareRoot())
    let view = View(
      sequences: [Stage.prompt(x, visual: 0..<x.rows)],
      images: [Stage.image(columns: tiles, side: side, thumbnail: nil, spans: [0..<x.rows])],
      shape: Stage.shape(Shape.Layout(tiling: .cut)))
    let (reduction, _) = try Stage.act(&method, view, .layer(0))
    let kept = reduction.members.map(Int.init)
    return ["kept": GoldenValue(kept, [kept.count]), "rows": GoldenValue(x.gathered(kept))]
  },
]

private func list(_ values: [Float]) -> GoldenValue { GoldenValue(values, [values.count]) }

private func visPruner(_ inputs: Inputs, share: Double) throws -> [String: GoldenValue] {
  let (features, attention) = (try inputs.tensor("features"), try inputs.tensor("attention"))
  let (batch, keep) = (features.shape[0], inputs.config["visual_token_num"]!.int!)
  let chosen = (0..<batch).map { image in
    var notes = Notes()
    let heads = attention[plane: image]
    var sum = [Float](repeating: 0, count: heads.width)
    for head in 0..<heads.rows {
      for (column, value) in heads.row(head).enumerated() { sum[column] += value }
    }
    let mean = sum.map { $0 / Float(heads.rows) }
    return VisPruner.select(features[plane: image], attention: mean, keep: keep, important: share, notes: &notes)
  }
  return [
    "kept": GoldenValue(chosen.flatMap { $0.sorted() }, [batch, keep]),
    "selected_in_order": GoldenValue(chosen.flatMap { $0 }, [batch, keep]),
  ]
}

/// Attention that every token receives, `[tiles, 1 + n]`, the class token first.
private func hiPrune(_ inputs: Inputs, _ object: Tensor, _ deep: Tensor) throws -> GoldenValue {
  let config = inputs.config
  let (tiles, side) = (object.shape[0], config["side"]!.int!)
  let method = HiPrune(.total(config["retention"]!.int!), alpha: config["alpha"]!.double!)
  let kept = try (0..<tiles).map { tile in
    var notes = Notes()
    return try method.select(
      objects: Array(object.row(tile).dropFirst()), deep: Array(deep.row(tile).dropFirst()),
      keep: config["retention"]!.int! / tiles, columns: side, notes: &notes)
  }
  return GoldenValue(kept.flatMap { $0 }, [tiles, kept[0].count])
}

/// By a manifest's `variant`, `adaptive` and `reduction_ratio`.
func pruMerge(_ inputs: Inputs) throws -> PruMerge {
  let config = inputs.config
  return PruMerge(
    config["adaptive"]!.bool! ? .adaptive : .ratio(config["reduction_ratio"]!.double!),
    version: config["variant"]!.string! == "prumerge+" ? .plus : .base, neighbours: config["neighbours"]!.int!)
}

func graph(_ config: JSON) -> GPrune.Graph {
  var graph = GPrune.Graph()
  graph.similarity = Float(config["similarity"]!.double!)
  graph.temperature = Float(config["temperature"]!.double!)
  graph.iterations = config["iterations"]!.int!
  return graph
}

func coverage(_ config: JSON) -> MMTok.Coverage {
  var coverage = MMTok.Coverage()
  coverage.alpha = Float(config["alpha"]!.double!)
  coverage.words = Float(config["tv_temperature"]!.double!)
  coverage.features = Float(config["vv_temperature"]!.double!)
  return coverage
}

extension Tensor {
  /// Attention `[heads, keys]` of one row.
  fileprivate var oneRow: Tensor { reshaped([rows, 1, width]) }
}
