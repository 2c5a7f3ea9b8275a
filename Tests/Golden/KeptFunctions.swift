import VTok

/// Vision-language models with visual rows cut by hand, and from files to an answer: `lvlm.forward_kept`, `lvlm.cut`,
/// `lvlm.from_files`.
let keptFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "lvlm.forward_kept": { inputs in
    let golden = try MultimodalCase(inputs)
    let config = inputs.config
    var result = try golden.run([RowKeeper(layer: config["layer"]!.int!, visual: config["keep"]!.ints!)])
    let kept = result.decoding.tokens
    var outputs: [String: GoldenValue] = [
      "logits": result.logits, "kept_sequence_index": GoldenValue(kept.id.map(Int.init), [kept.count]),
      "position_ids_3d": positions(kept.position, axes: 3),
    ]
    for (index, states) in result.hidden.enumerated() { outputs["hidden_states.\(index)"] = GoldenValue(states) }
    let generated = try golden.generated(&result, count: config["max_new_tokens"]!.int!)
    outputs["generated_ids"] = GoldenValue(generated.ids, [generated.ids.count])
    outputs["generated_step_logits"] = generated.logits
    outputs["cache_lengths"] = lengths(result.decoding)
    return outputs
  },

  "lvlm.cut": { inputs in
    let golden = try MultimodalCase(inputs)
    let rows = try inputs.integers("kept_sequence_index").map(Int.init)
    let result = try golden.run([RowKeeper(layer: inputs.config["K"]!.int!, rows: rows)])
    var (run, decoding) = (result.run, result.decoding)
    var outputs: [String: GoldenValue] = [
      "position_ids_after": positions(decoding.tokens.position, axes: 1),
      "kv_lengths_after_prefill": lengths(decoding), "prefill_logits_last": GoldenValue(row(decoding.logits)),
    ]
    var (tokens, logits): ([Int], [Tensor]) = ([argmax(decoding.logits)!], [])
    for _ in 0..<3 {
      try golden.model.language.step(tokens.last!, &decoding, run: &run)
      tokens.append(argmax(decoding.logits)!)
      logits.append(row(decoding.logits))
    }
    outputs["greedy_tokens"] = GoldenValue(tokens, [tokens.count])
    outputs["decode_logits"] = GoldenValue(stacking: logits)
    return outputs
  },

  "lvlm.gated_delta_net": { inputs in
    let model = try MultimodalModel.load(inputs.checkpoint()).language
    let x = try inputs.tensor("x")
    guard case .deltaNet(let net) = model.layers[try inputs.config.int("layer")].mixer else {
      throw GoldenError("the layer is no gated delta net")
    }
    var past = LayerPast()
    var (first, output): (Int, [Float]) = (0, [])
    for count in inputs.config["splits"]?.ints ?? [x.rows] {
      output += net(x.gathered(Array(first..<first + count)), &past).values
      first += count
    }
    return [
      "output": GoldenValue(Tensor(output, shape: x.shape)), "recurrent_state": GoldenValue(past.state!.memory),
      "conv_state": GoldenValue(past.state!.rows.transposed),
    ]
  },

  "lvlm.from_files": { inputs in
    let checkpoint = try inputs.checkpoint()
    let model = try MultimodalModel.load(checkpoint)
    let processor = try ProcessorConfig.load(checkpoint)
    let images = try inputs.config["images"]!.strings!.map {
      try processor.tiles(of: Image.decode(contentsOf: inputs.file($0)).image)
    }
    let text = try VisualText(of: checkpoint.config)!.writtenOut(
      inputs.config.string("text"), images: images.map { ($0.rows, $0.columns, try model.spans(of: $0)) })
    let golden = MultimodalCase(checkpoint, model, try TextTokenizer(checkpoint).encode(text), images)
    var result = try golden.run()
    let last = result.decoding.logits
    let generated = try golden.generated(&result, count: inputs.config["max_new_tokens"]!.int!)
    return [
      "input_ids": GoldenValue(golden.ids, [golden.ids.count]),
      "image_grid_thw": GoldenValue(images.flatMap { [1, $0.rows, $0.columns] }, [images.count, 3]),
      "position_ids_3d": positions(result.prompt.position, axes: 3),
      "logits_last": GoldenValue(last, [last.count]),
      "generated_ids": GoldenValue(generated.ids, [generated.ids.count]), "generated_step_logits": generated.logits,
    ]
  },
]

/// Keeps the visual rows, or the rows, that a case names.
private struct RowKeeper: Compressor {
  static let name = "row-keeper"
  static let summary = "keeps the rows that a golden case names, entering one layer"
  let layer: Int
  /// Indices among the visual rows of all images, or row numbers of the prompt.
  var visual: [Int] = [], rows: [Int]?

  init(layer: Int, visual: [Int] = [], rows: [Int]? = nil) {
    (self.layer, self.visual, self.rows) = (layer, visual, rows)
  }
  init(_ options: inout Options) throws(OptionError) { layer = 0 }

  func plan(for model: Shape) -> Plan {
    Plan(act: [.layer(layer)], positions: PositionRule(cut: .original, decode: .next))
  }

  mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) -> [Reduction]? {
    let tokens = view.sequences[0]
    if let rows { return [.keep(rows, of: tokens.count)] }
    let all = view.visual(tokens)
    let dropped = Set(all).subtracting(visual.map { all[$0] })
    return [.keep((0..<tokens.count).filter { !dropped.contains($0) }, of: tokens.count)]
  }
}

private func positions(_ positions: [Position], axes: Int) -> GoldenValue {
  let paths: [KeyPath<Position, Int32>] = [\.t, \.h, \.w]
  let values = paths.prefix(axes).flatMap { axis in positions.map { Int($0[keyPath: axis]) } }
  return GoldenValue(values, axes == 1 ? [positions.count] : [axes, positions.count])
}

/// Entries of every cache; -1 of a layer that has none.
private func lengths(_ decoding: Decoding) -> GoldenValue {
  let lengths = decoding.caches.map { $0.first?.count ?? -1 }
  return GoldenValue(lengths, [lengths.count])
}
