import VTok

/// `mctf.*`, `pitome.*`, `pixelprune.*`
let fusionFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "mctf.fuse": { inputs in
    let config = inputs.config
    let criteria = criteria(config)
    let method = MCTF(r: config["r"]!.double!, criteria: criteria)
    let prefix = config["num_protected"]!.int!
    let x = try inputs.tensor("x")
    let attention = try inputs.tensor("attention")  // [batch, heads, n, n]
    let size = inputs.inputNames.contains("size") ? try inputs.tensor("size") : nil
    return try fused(x, size, prefix: prefix, attention: attention) { x, attention, size in
      var notes = Notes()
      return MCTF.fuse(
        x, attention: attention!, size: size, removing: method.removed(of: x.rows, prefix: prefix), prefix: prefix,
        criteria, notes: &notes)
    }
  },

  "mctf.vit": { inputs in
    let config = inputs.config
    let ahead: [MCTF.Ahead] = [.none, .carried, .precise]
    let method = MCTF(
      r: config["r"]!.double!, blocks: config["activate"]!.ints!, ahead: ahead[config["one_step_ahead"]!.int!],
      criteria: criteria(config), proportionalAttention: config["prop_attn"]!.double! != 0)
    return try compressed(
      inputs, timm(inputs), [method],
      early: method.plan(for: timm(inputs).shape).record.values.contains { $0.probe != .none })
  },

  "pixelprune.select": { inputs in
    let config = inputs.config
    let picture = try inputs.image("rgb")
    let (patch, merge) = (config["patch_size"]!.int!, config["spatial_merge_size"]!.int!)
    let processor = MergedPatchProcessor(
      pixels: ImageProcessor(resize: .exact(width: picture.width, height: picture.height), filter: .bicubic),
      patch: patch, merge: merge, frames: 2, area: nil)
    let image = try processor.tiles(of: picture)
    let pixels = image.patchPixels(frames: 2)
    let fuse = merge * merge
    let kept = PixelPrune.select(
      pixels.reshaped([pixels.rows / fuse, fuse * pixels.width]), columns: image.columns / merge, rule(config))
    let patches = kept.flatMap { cell in (0..<fuse).map { cell * fuse + $0 } }
    return ["kept_tokens": GoldenValue(kept, [kept.count]), "kept_patches": GoldenValue(patches, [patches.count])]
  },

  "pixelprune.e2e": { inputs in
    let golden = try MultimodalCase(inputs)
    let places: [Int: PixelPrune.Place] = [0: .patches, -1: .pack]
    let layer = try inputs.config.int("vit_layer")
    guard let place = places[layer] else { throw GoldenError("cuts behind \(layer) blocks are not built") }
    var result = try golden.run([PixelPrune(rule(inputs.config), at: place)])
    let positions = result.prompt.position
    let axes = [\Position.t, \.h, \.w].flatMap { axis in positions.map { Int($0[keyPath: axis]) } }
    var outputs = [
      "inputs_embeds": GoldenValue(result.prompt.x), "position_ids": GoldenValue(axes, [3, positions.count]),
      "logits": result.logits,
    ]
    for (image, kept) in result.allNotes("kept").enumerated() {
      outputs["kept_tokens.\(image)"] = GoldenValue(kept, [kept.count])
    }
    let generated = try golden.generated(&result, count: try inputs.config.int("max_new_tokens"))
    outputs["generated_ids"] = GoldenValue(generated.ids, [generated.ids.count])
    outputs["generated_step_logits"] = generated.logits
    return outputs
  },

  "pitome.merge": { inputs in
    let config = inputs.config
    let prefix = config["class_token"]!.bool! ? 1 : 0
    let metric = try inputs.tensor("metric")
    let method = PiToMe(ratio: config["ratio"]!.double!)
    var batch = 0
    return try fused(try inputs.tensor("x"), try inputs.tensor("size"), prefix: prefix) { x, _, _ in
      defer { batch += 1 }
      var notes = Notes()
      return PiToMe.merge(
        metric[plane: batch], removing: method.removed(of: x.rows - prefix), margin: Float(config["margin"]!.double!),
        prefix: prefix, isBipartite: config["bipartite"]!.bool!, notes: &notes)
    }
  },

  "pitome.vit": { inputs in
    try compressed(inputs, timm(inputs), [PiToMe(ratio: inputs.config["ratio"]!.double!)])
  },
]

/// PixelPrune's options under the official names.
func rule(_ config: JSON) -> PixelPrune.Rule {
  var rule = PixelPrune.Rule()
  rule.metric = PixelPrune.Metric(rawValue: config["metric"]!.string!)!
  rule.scan = PixelPrune.Scan(rawValue: config["scan"]!.string!)!
  rule.tau = Float(config["threshold"]!.double!)
  rule.isAnchored = config["anchored"]!.bool!
  return rule
}

private func criteria(_ config: JSON) -> MCTF.Criteria {
  var criteria = MCTF.Criteria()
  criteria.similarity = Float(config["tau_sim"]!.double!)
  criteria.information = Float(config["tau_info"]!.double!)
  criteria.size = Float(config["tau_size"]!.double!)
  criteria.bothWays = config["bidirection"]!.double! != 0
  criteria.pooling = config["pooling_type"]!.int! == 1 ? .importance : config["pooling_type"]!.int! == 0 ? .size : .none
  return criteria
}

/// Rows, sizes, members and attention of a batch after one step.
/// - Parameter step: from rows, attention and sizes of one of the batch.
private func fused(
  _ x: Tensor, _ size: Tensor?, prefix: Int, attention: Tensor? = nil,
  _ step: (Tensor, Tensor?, [Float]?) -> Reduction
) throws -> [String: GoldenValue] {
  var parts: [String: [Tensor]] = [:]
  for b in 0..<x.shape[0] {
    let n = x.shape[1]
    let kinds = (0..<n).map { $0 < prefix ? TokenKind.classifier : .patch }
    var tokens = TokenSequence(x: x[plane: b], kind: kinds, origin: Origin((0..<n).map { $0 }))
    let sizes = size?[plane: b].values
    if let sizes { tokens.apply(Reduction.masses(sizes)) }
    let own = attention.map { $0.plane(b) }
    let reduction = step(tokens.x, own, sizes)
    if let own { parts["attention", default: []].append(tokens.carrying(own, through: reduction)) }
    tokens.apply(reduction)
    parts["merged", default: []].append(tokens.x)
    parts["size", default: []].append(Tensor(tokens.mass, shape: [tokens.count, 1]))
    parts["source", default: []].append(sourceMatrix(tokens, prefix: 0, columns: n))
  }
  return parts.mapValues { GoldenValue(stacking: $0) }
}

extension Tensor {
  /// One of a batch `[batch, heads, n, n]`. `[heads, n, n]`
  fileprivate func plane(_ index: Int) -> Tensor {
    let size = shape.dropFirst().reduce(1, *)
    return Tensor(Array(values[index * size..<(index + 1) * size]), shape: Array(shape.dropFirst()))
  }
}
