import Synchronization
import VTok

/// `vit.*`
let visionFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "vit.timm.forward": { inputs in
    try forward(inputs) { outputs, add in
      add("features", outputs.map(\.tokens.x))
      add("pre_logits", outputs.map { row($0.pooled) })
      add("logits", outputs.compactMap { $0.logits.map(row) })
    }
  },
  "vit.hf_clip_vision.forward": { inputs in
    try forward(inputs) { outputs, add in
      add("last_hidden_state", outputs.map(\.tokens.x))
      add("pooler_output", outputs.map { row($0.pooled) })
    }
  },
  "vit.hf_siglip_vision.forward": { inputs in
    try forward(inputs) { outputs, add in
      add("last_hidden_state", outputs.map(\.tokens.x))
      add("pooler_output", outputs.map { row($0.pooled) })
    }
  },
  "vit.hf_dinov2.forward": { inputs in
    try forward(inputs) { outputs, add in
      add("last_hidden_state", outputs.map(\.tokens.x))
      add("pooler_output", outputs.map { row($0.pooled) })
    }
  },
  "vit.hf_dinov3.forward": { inputs in
    try forward(inputs) { outputs, add in
      add("last_hidden_state", outputs.map(\.tokens.x))
      add("pooler_output", outputs.map { row($0.pooled) })
    }
  },
  "vit.hf_dinov2_cls.forward": { try forward($0) { outputs, add in add("logits", outputs.map { row($0.logits!) }) } },
  "vit.hf_vit.forward": { try forward($0) { outputs, add in add("logits", outputs.map { row($0.logits!) }) } },
  "vit.hf_deit.forward": { inputs in
    try forward(inputs) { outputs, add in
      add("logits", outputs.map { row($0.logits!) })
      add("cls_logits", outputs.compactMap { $0.parts.first.map(row) })
      add("distillation_logits", outputs.compactMap { $0.parts.last.map(row) })
    }
  },

  "vit.hf_clip.zero_shot": { inputs in
    let clip = try CLIP.load(inputs.checkpoint())
    let texts = try idRows(inputs).map { clip.text($0) }
    var outputs: [String: GoldenValue] = [:]
    for layer in texts[0].hidden.indices {
      outputs["text_hidden.\(layer)"] = GoldenValue(stacking: texts.map { $0.hidden[layer] })
    }
    outputs["text_last_hidden_state"] = GoldenValue(stacking: texts.map(\.last))
    outputs["text_pooler_output"] = GoldenValue(stacking: texts.map { row($0.pooled) })
    let classes = texts.map { normalised($0.projected) }
    let pooled = try pixels(inputs).map { clip.vision($0).pooled }
    outputs["vision_pooler_output"] = GoldenValue(stacking: pooled.map(row))
    let images = pooled.map { clip.project($0) }
    outputs["text_embeds"] = GoldenValue(stacking: classes.map(row))
    outputs["image_embeds"] = GoldenValue(stacking: images.map(row))
    let logits = images.map { clip.logits(image: $0, classes: classes) }
    outputs["logits_per_image"] = GoldenValue(stacking: logits.map(row))
    outputs["probs"] = GoldenValue(stacking: logits.map { row(softmax($0)) })
    return outputs
  },

  "vit.hf_siglip.zero_shot": { inputs in
    let siglip = try SigLIP.load(inputs.checkpoint())
    return try zeroShot(siglip, inputs, images: pixels(inputs))
  },

  "vit.pos_embed_resample": { inputs in
    let prefix = inputs.config["num_prefix_tokens"]!.int!
    let kernel: PositionGrid.Kernel = inputs.config["antialias"]?.bool == false ? .plain : .antialiased
    var outputs: [String: GoldenValue] = [:]
    for (index, pair) in inputs.config["pairs"]!.array!.enumerated() {
      let table = try inputs.tensor("pos_embed.\(index)")
      let (old, new) = (pair["old"]!.ints!, pair["new"]!.ints!)
      let grid = PositionGrid(
        table.gathered(Array(prefix..<table.rows)), rows: old[0], columns: old[1], kernel: kernel)
      let resized = grid.table(rows: new[0], columns: new[1])
      let values = table.values[..<(prefix * table.width)] + resized.values
      outputs["resampled.\(index)"] = GoldenValue(Array(values), [1, prefix + resized.rows, table.width])
    }
    return outputs
  },
]

func row(_ values: [Float]) -> Tensor { Tensor(values, shape: [values.count]) }

/// The images of a batch `[B, 3, h, w]`.
func pixels(_ inputs: Inputs) throws -> [Tensor] {
  let batch = try inputs.tensor("pixel_values")
  return (0..<batch.shape[0]).map { batch[plane: $0] }
}

private func idRows(_ inputs: Inputs) throws -> [[Int]] {
  let shape = inputs.shape("input_ids")
  let ids = try inputs.integers("input_ids").map(Int.init)
  return (0..<shape[0]).map { Array(ids[$0 * shape[1]..<($0 + 1) * shape[1]]) }
}

func zeroShot(_ siglip: SigLIP, _ inputs: Inputs, images: [Tensor]) throws -> [String: GoldenValue] {
  let texts = try idRows(inputs).map { siglip.embed($0) }
  let images = images.map { siglip.embed($0) }
  let logits = images.map { siglip.logits(image: $0, texts: texts) }
  return [
    "text_embeds": GoldenValue(stacking: texts.map(row)), "image_embeds": GoldenValue(stacking: images.map(row)),
    "logits_per_image": GoldenValue(stacking: logits.map(row)),
    "probs": GoldenValue(stacking: logits.map { row($0.map { SigLIP.probability($0) }) }),
  ]
}

/// Hidden states and attention of every block of a dense run, by their names in goldens.
func probed(_ model: VisionModel, _ image: Tensor) throws -> (seen: [String: Tensor], output: VisionModel.Output) {
  let probe = Probe()
  var run = Run(try Composition([probe], for: model.shape))
  let output = try model(image, run: &run)
  var seen = probe.box.seen.withLock { $0 }
  seen["hidden.0"] = model.tower.embed(image).x
  return (seen, output)
}

/// Runs every image of the batch densely, with a probe at the end of every block.
private func forward(
  _ inputs: Inputs, _ finish: ([VisionModel.Output], (String, [Tensor]) -> Void) -> Void
) throws -> [String: GoldenValue] {
  let model = try VisionModel.load(inputs.checkpoint())
  var outputs: [String: GoldenValue] = [:]
  var results: [VisionModel.Output] = []
  var seen: [[String: Tensor]] = []
  for image in try pixels(inputs) {
    let (states, output) = try probed(model, image)
    results.append(output)
    seen.append(states)
    if let layer = inputs.config["llava_feature_layer"]?.int {
      let hidden = seen.last!["hidden.\(model.tower.shape.blocks + 1 + layer)"]!
      seen[seen.count - 1]["llava_features"] = hidden.gathered(Array(1..<hidden.rows))
    }
  }
  for name in seen[0].keys { outputs[name] = GoldenValue(stacking: seen.map { $0[name]! }) }
  finish(results) { name, tensors in
    if tensors.count == results.count { outputs[name] = GoldenValue(stacking: tensors) }
  }
  return outputs
}

/// A method that only looks: hidden states and attention of every block.
struct Probe: Compressor {
  static let name = "probe"
  static let summary = "records hidden states and attention"
  final class Box: Sendable {
    let seen = Mutex<[String: Tensor]>([:])
    let masses = Mutex<[String: [Float]]>([:])
    let ids = Mutex<[String: [Int]]>([:])
    let last = Mutex<TokenSequence?>(nil)
  }
  let box = Box()

  init() {}
  init(_ options: inout Options) throws(OptionError) {}

  func plan(for model: Shape) -> Plan {
    var plan = Plan()
    for block in 0..<model.tower!.depth {
      plan.record[.block(block, .end)] = Request(attention: .all)
      plan.act.insert(.block(block, .end))
    }
    return plan
  }

  mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) -> [Reduction]? {
    guard case .block(let block, _) = site else { return nil }
    let tokens = view.sequences[0]
    let attention = view.recording(site).attention!
    box.seen.withLock {
      $0["hidden.\(block + 1)"] = tokens.x
      $0["attn.\(block)"] = attention
    }
    box.masses.withLock { $0["size.\(block + 1)"] = tokens.mass }
    box.ids.withLock { $0["token_ids.\(block + 1)"] = tokens.id.map(Int.init) }
    box.last.withLock { $0 = tokens }
    return nil
  }
}
