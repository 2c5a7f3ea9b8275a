import VTok

/// Methods between vision tower and language model, without a model: `divprune.prepare`, `hired.*`, `globalcom2.*`,
/// `visionzip.*`, `cdpruner.*`, `dart.*`, `tokencorr.*`. Views are built from the recordings that the manifests hold.
let compressorFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "divprune.prepare": { inputs in
    let table = try inputs.tensor("embed_tokens")
    let ids = try inputs.integers("input_ids").map(Int.init)
    let image = try inputs.tensor("image_features")
    let start = ids.firstIndex(of: inputs.config["image_token"]!.int!)!
    let rows =
      table.gathered(Array(ids[..<start])).values + image.values
      + table.gathered(Array(ids[(start + 1)...])).values
    let prompt = Tensor(rows, shape: [ids.count - 1 + image.rows, table.width])
    var tokens = Stage.prompt(prompt, visual: start..<start + image.rows)
    var method = DivPrune(keep: .ratio(inputs.config["ratio"]!.double!))
    let view = View(
      sequences: [tokens], images: [Stage.image(spans: [start..<start + image.rows])],
      shape: Stage.shape(Shape.Layout(tiling: .one)))
    tokens.apply(try Stage.act(&method, view, .layer(0)).reduction)
    return ["inputs_embeds": GoldenValue(tokens.x)]
  },

  "hired.select_and_pack": { inputs in
    let config = inputs.config
    let side = config["image_size"]!.int! / config["patch_size"]!.int!
    let pinpoints = config["image_grid_pinpoints"]!.array!.map { $0.ints! }
    let sizes = try inputs.integers("image_sizes").map(Int.init)
    let (first, final) = (try inputs.tensor("cls_attn_first"), try inputs.tensor("cls_attn_final"))
    let features = try inputs.tensor("image_features")
    var (masks, counts, packed, lengths): ([Float], [Float], [Tensor], [Int]) = ([], [], [], [])
    var start = 0
    for (image, partitions) in config["num_partitions"]!.ints!.enumerated() {
      let (height, width) = (sizes[2 * image], sizes[2 * image + 1])
      let best = bestResolution(height: height, width: width, pinpoints)
      let layout = Stage.image(
        rows: best[0] / (side * config["patch_size"]!.int!), columns: best[1] / (side * config["patch_size"]!.int!),
        side: side, thumbnail: 0, width: width, height: height)
      let range = start..<start + partitions
      start += partitions
      var method = HiRED(rate: config["token_budget_rate"]!.double!, alpha: config["alpha"]!.double!)
      let stage = Stage(
        tiles: range.map { features[plane: $0] }, layout: layout, kind: Shape.Layout(tiling: .cut, hasNewline: true))
      var recordings: [Site: [Recording]] = [:]
      for (block, attention) in [(0, first), (Stage.feature, final)] {
        recordings[.block(block, .end)] = range.map { Stage.classifier(attention[plane: $0]) }
      }
      let (reduction, notes) = try Stage.act(&method, stage.view(recordings), .pack)
      masks += notes.kept["mask"]!
      counts += notes.kept["per_partition_kept"]!
      packed.append(stage.sources.gathered(reduction.members.map(Int.init)))
      lengths.append(reduction.count)
    }
    return [
      "mask": GoldenValue(masks, [start, features.shape[1]]), "per_partition_kept": GoldenValue(counts, [start]),
      "packed": GoldenValue(packed.flatMap(\.values), [lengths.reduce(0, +), features.width]),
      "packed_lens": GoldenValue(lengths, [lengths.count]),
    ]
  },

  "hired.select_llava15": { inputs in
    let attention = try inputs.tensor("cls_attn_final")
    let stage = Stage(
      tiles: [Tensor(zeros: [attention.width - 1, 1])], layout: Stage.image(spans: []), kind: Shape.Layout(tiling: .one)
    )
    var method = HiRED(rate: inputs.config["token_budget_rate"]!.double!)
    let view = stage.view([.block(Stage.feature, .end): [Stage.classifier(attention[plane: 0])]])
    let (_, notes) = try Stage.act(&method, view, .pack)
    return [
      "mask": GoldenValue(notes.kept["mask"]!, [attention.width - 1]),
      "kept": GoldenValue(notes.kept["per_partition_kept"]!, [1]),
    ]
  },

  "globalcom2.compress": { inputs in
    let config = inputs.config
    let (grid, size) = (config["grid_wh"]!.ints!, config["original_size_wh"]!.ints!)
    let features = try inputs.tensor("image_features")
    let (scores, newline) = (try inputs.tensor("cls_scores"), try inputs.tensor("image_newline"))
    let layout = Stage.image(
      rows: grid[1], columns: grid[0], side: config["side"]!.int!, thumbnail: 0, width: size[0], height: size[1])
    let stage = Stage(
      tiles: (0..<features.shape[0]).map { features[plane: $0] }, newline: newline, layout: layout,
      kind: Shape.Layout(tiling: .cut, hasNewline: true))
    let recordings = (0..<features.shape[0]).map { tile in
      let row = [0] + Array(scores.row(tile))  // the class token's own logit, which nobody reads
      return Recording(
        ids: row.indices.map { Int32($0) }, rowIDs: [0], probe: Tensor(row, shape: [1, 1, row.count]))
    }
    var method = GlobalCom2(
      retention: config["retention_ratio"]!.double!, temperature: config["temperature"]!.double!)
    let view = stage.view([.block(Stage.feature, .end): recordings])
    let (reduction, notes) = try Stage.act(&method, view, .pack)
    let packed = stage.sources.gathered(reduction.members.map(Int.init))
    let thumbnail = notes.kept["thumbnail_indices"]!
    return [
      "thumbnail_indices": GoldenValue(thumbnail, [thumbnail.count]),
      "thumbnail_features": GoldenValue(packed.gathered(Array(0..<thumbnail.count))),
      "crop_scales": GoldenValue(notes.kept["crop_scales"]!, [features.shape[0] - 1]),
      "crop_tokens": GoldenValue(packed.gathered(Array(thumbnail.count..<packed.rows))),
      "packed": GoldenValue(packed), "packed_len": GoldenValue([packed.rows], [1]),
    ]
  },

  "visionzip.compress": { inputs in
    let config = inputs.config
    let (attention, hidden) = (try inputs.tensor("cls_attention"), try inputs.tensor("hidden_states"))
    let metric = try inputs.tensor("key_metric")
    let batch = attention.shape[0]
    let dominant = config["dominant"]!.int!
    var method = VisionZip(dominant: dominant, contextual: config["contextual"]!.int!)
    var tiles = (0..<batch).map { Stage.tile(hidden[plane: $0], prefix: 1) }
    let recordings = (0..<batch).map { tile in
      let keys = metric[plane: tile]
      return Stage.classifier(attention[plane: tile], keys: keys.reshaped([1] + keys.shape))
    }
    var notes = Notes(keeping: true)
    let view = View(
      sequences: tiles, shape: Stage.shape(Shape.Layout(tiling: .cut, hasNewline: true)),
      recordings: [.block(Stage.feature, .end): recordings])
    for (tile, reduction) in try method.reduce(view, at: .features, notes: &notes)!.enumerated() {
      tiles[tile].apply(reduction)
    }
    let indices = notes.kept["dominant"]!  // best first, tile by tile
    let sorted = (0..<batch).flatMap { indices[$0 * dominant..<($0 + 1) * dominant].sorted() }
    return [
      "tokens": GoldenValue(stacking: tiles.map(\.x)), "all_indices": GoldenValue(indices, [batch, dominant]),
      "dominant_sorted": GoldenValue(sorted, [batch, dominant]),
    ]
  },

  // The caller's thumbnail is not part of this case.
  "visionzip.pack_anyres": { inputs in
    let config = inputs.config
    let tokens = try inputs.tensor("crop_tokens")
    let (dominant, contextual) = (config["dominant"]!.int!, config["contextual"]!.int!)
    let (grid, ids) = (config["grid_wh"]!.ints!, try inputs.integers("all_indices").map { Int32($0) })
    let layout = Stage.image(
      rows: grid[1], columns: grid[0], side: config["side"]?.int ?? 24, thumbnail: nil, width: 1, height: 1)
    let tiles = (0..<tokens.shape[0]).map { tile in
      let own = ids[tile * dominant..<(tile + 1) * dominant].sorted()
      return Stage.tile(tokens[plane: tile], prefix: 1, ids: own + [Int32](repeating: 1, count: contextual))
    }
    let stage = Stage(tiles: tiles, layout: layout, kind: Shape.Layout(tiling: .cut, hasNewline: true))
    var method = VisionZip(dominant: dominant, contextual: contextual)
    let (reduction, _) = try Stage.act(&method, stage.view(), .pack)
    return ["packed": GoldenValue(stage.sources.gathered(reduction.members.map(Int.init)))]
  },

  "cdpruner.select": { inputs in
    let (features, joint) = (try inputs.tensor("projected_features"), try inputs.tensor("clip_image_embeds"))
    let (batch, n) = (features.shape[0], features.shape[1])
    let count = inputs.config["visual_token_num"]!.int!
    let layout = Stage.image(
      rows: 1, columns: max(1, batch - 1), side: Int(Double(n).squareRoot()), thumbnail: 0, width: 1, height: 1)
    let stage = Stage(
      tiles: (0..<batch).map { features[plane: $0] }, layout: layout,
      kind: batch > 1 ? Shape.Layout(tiling: .cut, hasNewline: true) : Shape.Layout(tiling: .one))
    let recordings = (0..<batch).map { Recording(ids: stage.tiles[$0].id, joint: joint[plane: $0]) }
    var method = CDPruner(perTile: count)
    let question = try inputs.tensor("clip_text_embeds")
    let (reduction, notes) = try Stage.act(&method, stage.view([.features: recordings], question: question), .pack)
    let chosen = notes.kept["selected"]!
    var mask = [Int](repeating: 0, count: batch * n)
    for (index, row) in chosen.enumerated() { mask[index / count * n + Int(row)] = 1 }
    guard reduction.count == batch * count else { return [:] }
    return [
      "mask": GoldenValue(mask, [batch, n]), "selected_sorted": GoldenValue(chosen, [batch, count]),
      "relevance": GoldenValue(notes.kept["relevance"]!, [batch, n]),
    ]
  },

  "dart.select": { inputs in
    let config = inputs.config
    let (hidden, keys) = (try inputs.tensor("normed_hidden"), try inputs.tensor("keys"))
    let span = config["image_token_start_index"]!.int!
    // LLaVA-NeXT counts its image tokens from the length of the text and has an amount of its own.
    let text = config["text_length"]?.int
    let visual = span..<span + (text.map { hidden.rows - $0 } ?? config["image_token_length"]!.int!)
    let tokens = Stage.prompt(hidden, visual: visual)
    let picked = config[text == nil ? "max_num_trunction" : "retain_token_num_for_llava_next"]?.int
    let layer = config["K"]!.int!
    var method = DART(
      picked.map { .tokens($0) } ?? .reduction(config["reduction_ratio"]!.double!), layer: layer,
      visualPivots: config["pivot_image_token"]!.int!, textPivots: config["pivot_text_token"]!.int!)
    let recording = Recording(ids: tokens.id, keys: keys, finalNorm: hidden)
    let view = View(
      sequences: [tokens], images: [Stage.image(spans: [visual])], shape: Stage.shape(Shape.Layout(tiling: .one)),
      recordings: [.layer(layer): [recording]])
    let (_, notes) = try Stage.act(&method, view, .layer(layer))
    let names = [
      "retained": "retained_sorted", "image_pivots": "image_pivots", "text_pivots": "text_pivots",
      "pivot_visit_order": "pivot_visit_order",
    ]
    return Dictionary(
      uniqueKeysWithValues: names.map { ($1, GoldenValue(notes.kept[$0]!, [notes.kept[$0]!.count])) })
  },

  "tokencorr.select": { inputs in
    let config = inputs.config
    var rule = TokenCorr.Rule()
    rule.similarity = Float(config["tau_sim"]!.double!)
    rule.repeats = config["beta"]!.double!
    rule.spread = Float(config["iqr_multiplier"]!.double!)
    var notes = Notes()
    let found = TokenCorr.select(
      keys: try inputs.tensor("keys_low"), low: try inputs.tensor("cls_attn_low").values,
      deep: try inputs.tensor("cls_attn_deep").values, rule, notes: &notes)
    func list(_ values: [Int]) -> GoldenValue { GoldenValue(values, [values.count]) }
    return [
      "repeat_count": list(found.repeats), "redundant": list(found.redundant.map { $0 ? 1 : 0 }),
      "local_indices": list(found.local), "global_indices": list(found.global), "kept": list(found.kept),
      "information_density": GoldenValue([found.density], [1]),
    ]
  },
]

/// What a method between tower and language model sees, built by hand.
struct Stage {
  /// The block whose output is used, of a tower of three.
  static let feature = 1

  let tiles: [TokenSequence]
  /// Rows of all tiles, then the newline: what a reduction at `.pack` counts.
  let sources: Tensor
  let layout: ImageLayout
  private let newline: Bool, kind: Shape.Layout

  /// Complete tiles `[n, width]`, without class token but numbered as if behind one.
  init(tiles: [Tensor], newline: Tensor? = nil, layout: ImageLayout, kind: Shape.Layout) {
    self.init(
      tiles: tiles.map { x in Stage.tile(x, prefix: 0, ids: (1...x.rows).map { Int32($0) }) }, newline: newline,
      layout: layout, kind: kind)
  }

  init(tiles: [TokenSequence], newline: Tensor? = nil, layout: ImageLayout, kind: Shape.Layout) {
    self.tiles = tiles
    let values = tiles.flatMap(\.x.values) + (newline?.values ?? [])
    sources = Tensor(values, shape: [values.count / tiles[0].x.width, tiles[0].x.width])
    (self.newline, self.layout, self.kind) = (newline != nil, layout, kind)
  }

  func view(_ recordings: [Site: [Recording]] = [:], question: Tensor? = nil) -> View {
    View(
      sequences: tiles, standard: [.keep(Array(0..<sources.rows), of: sources.rows)],
      newline: newline ? Int32(sources.rows - 1) : nil, images: [layout], image: 0, shape: Stage.shape(kind),
      question: question, recordings: recordings)
  }

  static func shape(_ kind: Shape.Layout) -> Shape {
    Shape(
      tower: Shape.Tower(
        blocks: 3, featureBlock: feature, width: 4, heads: 1, ffn: 4, prefix: 1, hasClassifier: true, rows: 4,
        columns: 4, patch: 1),
      decoder: Shape.Decoder(
        layers: 8, width: 4, heads: 1, kvHeads: 1, headDim: 4, ffn: 4, vocabulary: 4, frequencies: [1, 0.1]),
      layout: kind)
  }

  static func image(
    rows: Int = 1, columns: Int = 1, side: Int = 1, thumbnail: Int? = nil, width: Int = 1, height: Int = 1,
    spans: [Range<Int>] = []
  ) -> ImageLayout {
    ImageLayout(
      tileRows: rows, tileColumns: columns, side: side, thumbnail: thumbnail, width: width, height: height,
      spans: spans.map { Int32($0.lowerBound)..<Int32($0.upperBound) })
  }

  static func tile(_ x: Tensor, prefix: Int, ids: [Int32]? = nil) -> TokenSequence {
    TokenSequence(
      x: x, kind: (0..<x.rows).map { $0 < prefix ? .classifier : .patch },
      origin: Origin((0..<x.rows).map { $0 < prefix ? nil : $0 - prefix }), id: ids)
  }

  static func prompt(_ x: Tensor, visual: Range<Int>) -> TokenSequence {
    TokenSequence(
      x: x, kind: (0..<x.rows).map { visual.contains($0) ? .patch : .text },
      origin: Origin((0..<x.rows).map { visual.contains($0) ? $0 - visual.lowerBound : nil }))
  }

  /// The class token's attention `[heads, n + 1]`.
  static func classifier(_ attention: Tensor, keys: Tensor? = nil) -> Recording {
    Recording(
      ids: (0..<attention.width).map { Int32($0) }, rowIDs: [0],
      attention: attention.reshaped([attention.rows, 1, attention.width]), keys: keys)
  }

  /// The one reduction of a method at a site, and what it noted.
  static func act<Method: Compressor>(_ method: inout Method, _ view: View, _ site: Site) throws -> (
    reduction: Reduction, notes: Notes
  ) {
    var notes = Notes(keeping: true)
    let reductions = try method.reduce(view, at: site, notes: &notes)
    return (reductions?[0] ?? view.standard![0], notes)
  }
}

/// LLaVA-NeXT's choice of a grid: the largest effective area, then the least waste, then the first. (height, width)
func bestResolution(height: Int, width: Int, _ pinpoints: [[Int]]) -> [Int] {
  var (best, area, waste) = (pinpoints[0], -1, Int.max)
  for candidate in pinpoints {
    let scale = min(Double(candidate[1]) / Double(width), Double(candidate[0]) / Double(height))
    let inside = Int(Double(width) * scale) * Int(Double(height) * scale)
    let effective = min(inside, width * height)
    let wasted = candidate[0] * candidate[1] - effective
    guard effective > area || (effective == area && wasted < waste) else { continue }
    (best, area, waste) = (candidate, effective, wasted)
  }
  return best
}
