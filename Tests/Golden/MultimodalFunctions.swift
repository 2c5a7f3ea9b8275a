import Foundation
import VTok

/// Vision-language models: `lvlm.*`, and methods before the language model end to end, `*.e2e`.
let multimodalFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "lvlm.forward": { inputs in
    let golden = try MultimodalCase(inputs)
    var result = try golden.run()
    var outputs = try golden.visualOutputs(result)
    for (index, states) in result.hidden.enumerated() { outputs["hidden_states.\(index)"] = GoldenValue(states) }
    outputs["logits"] = result.logits
    let generated = try golden.generated(&result, count: inputs.config["max_new_tokens"]!.int!)
    outputs["generated_ids"] = GoldenValue(generated.ids, [generated.ids.count])
    outputs["generated_step_logits"] = generated.logits
    return outputs
  },

  "lvlm.logits": { inputs in
    let folder = inputs.config["checkpoint_dir"]!.string!
    let weights = inputs.config["weights_file"]!.string!
    let config = try JSON(
      parsing: [UInt8](FileManager.default.contents(atPath: inputs.file("\(folder)/config.json"))!))
    let checkpoint = try Checkpoint(file: inputs.file("\(folder)/\(weights)"), config: config)
    return ["logits": try MultimodalCase(inputs, checkpoint).run().logits]
  },

  "lvlm.video_features": { inputs in
    let model = try MultimodalModel.load(inputs.checkpoint())
    let pixels = try inputs.tensor("pixel_values_videos")[plane: 0]
    let frames = (0..<pixels.shape[0]).map { pixels[plane: $0] }
    let size = Size(width: frames[0].shape[2], height: frames[0].shape[1])
    var run = Run(.dense(model.shape))
    let video = PreparedImage(tiles: frames, original: size, isVideo: true)
    return ["video_features": GoldenValue(try model.encode([video], run: &run)[0][0].x)]
  },

  "lvlm.video_forward": { inputs in
    let checkpoint = try inputs.checkpoint()
    let model = try MultimodalModel.load(checkpoint)
    let video = try preparedVideo(inputs, model)
    let placeholder = checkpoint.config["video_token_id"]!.int!
    let ids = try inputs.integers("input_ids").map { Int($0) == placeholder ? model.placeholder : Int($0) }
    let golden = MultimodalCase(checkpoint, model, ids, [video])
    var result = try golden.run()
    var generated: [Int] = []
    for _ in 0..<inputs.config["max_new_tokens"]!.int! {
      if let last = generated.last { try model.language.step(last, &result.decoding, run: &result.run) }
      generated.append(argmax(result.decoding.logits)!)
    }
    return [
      "video_features": GoldenValue(result.visual), "logits": result.logits, "generated_ids": list(generated),
      "position_ids_3d": result.positions,
    ]
  },

  "divprune.e2e": { inputs in
    let result = try MultimodalCase(inputs).run([DivPrune(keep: .ratio(inputs.config["ratio"]!.double!))])
    return ["selected_sorted": list(result.patches), "logits": result.logits]
  },

  "hired.e2e_llava15": { inputs in
    let result = try MultimodalCase(inputs).run([HiRED(rate: inputs.config["token_budget_rate"]!.double!)])
    return ["selected_sorted": list(result.patches), "logits": result.logits]
  },

  "hired.e2e_next": { inputs in
    let config = inputs.config
    let result = try MultimodalCase(inputs).run([
      HiRED(rate: config["token_budget_rate"]!.double!, alpha: config["alpha"]!.double!)
    ])
    let mask = result.notes("mask")
    let tiles = inputs.shape("pixel_values")[0]
    return [
      "mask": GoldenValue(mask, [tiles, mask.count / tiles]), "packed": GoldenValue(result.visual),
      "logits": result.logits,
    ]
  },

  "globalcom2.e2e": { inputs in
    let result = try MultimodalCase(inputs).run([
      GlobalCom2(retention: inputs.config["retention_ratio"]!.double!)
    ])
    let (scores, tiles) = (result.notes("cls_scores"), inputs.shape("pixel_values")[0])
    return [
      "cls_scores": GoldenValue(scores, [tiles, scores.count / tiles]),
      "crop_scales": GoldenValue(result.notes("crop_scales"), [tiles - 1]),
      "thumbnail_indices": list(result.notes("thumbnail_indices").map { Int($0) }),
      "packed": GoldenValue(result.visual), "logits": result.logits,
    ]
  },

  "visionzip.e2e": { inputs in
    let golden = try MultimodalCase(inputs)
    let method = VisionZip(
      dominant: inputs.config["dominant"]!.int!, contextual: inputs.config["contextual"]!.int!)
    let result = try golden.run([method])
    var run = Run(try Composition([method], for: golden.model.shape))
    return [
      "dominant_sorted": list(result.notes("dominant").map { Int($0) }.sorted()),
      "tokens": GoldenValue(try golden.model.tower(golden.images[0], run: &run).leaving[0]),
      "projected": GoldenValue(result.visual), "logits": result.logits,
    ]
  },

  // The companion CLIP is the tower itself with a projection that the manifest holds.
  "cdpruner.e2e": { inputs in
    var golden = try MultimodalCase(inputs)
    let width = golden.model.shape.tower!.width
    let norm = golden.checkpoint["vision_tower"]["post_layernorm"]
    let joint = JointSpace(
      norm: LayerNorm(
        weight: try norm.vector("weight", [width]), bias: try norm.vector("bias", [width]), epsilon: 1e-5),
      projection: Linear(weight: Weight(try inputs.tensor("visual_projection_weight")), bias: nil))
    golden.model.joint = joint
    let result = try golden.run(
      [CDPruner(perTile: inputs.config["visual_token_num"]!.int!)], question: try inputs.tensor("clip_text_embeds"))
    var run = Run(.dense(golden.model.shape))
    let features = try golden.model.tower(golden.images[0], run: &run).leaving[0]
    let embedded = joint(features)
    let lengths = (1..<embedded.rows).map { Array(embedded.row($0)) }
    return [
      "clip_image_embeds": GoldenValue(Tensor(lengths.flatMap { $0 }, shape: [lengths.count, embedded.width])),
      "selected_sorted": list(result.patches), "logits": result.logits,
    ]
  },

  "dart.e2e": { inputs in
    let config = inputs.config
    let result = try MultimodalCase(inputs).run([
      DART(
        .tokens(config["max_num_trunction"]!.int!), layer: config["K"]!.int!,
        visualPivots: config["pivot_image_token"]!.int!, textPivots: config["pivot_text_token"]!.int!)
    ])
    return ["keep_positions": list(result.decoding.tokens.id.map(Int.init)), "logits": result.logits]
  },
]

private func list(_ values: [Int]) -> GoldenValue { GoldenValue(values, [values.count]) }

/// A checkpoint of a vision-language model with a prompt and its prepared images.
struct MultimodalCase {
  let checkpoint: Checkpoint
  var model: MultimodalModel
  let ids: [Int], images: [PreparedImage]

  init(_ inputs: Inputs, _ checkpoint: Checkpoint? = nil) throws {
    self.checkpoint = try checkpoint ?? inputs.checkpoint()
    model = try MultimodalModel.load(self.checkpoint)
    ids = try inputs.integers("input_ids").map(Int.init)
    images = try preparedImages(inputs, model, self.checkpoint.config)
  }

  init(_ checkpoint: Checkpoint, _ model: MultimodalModel, _ ids: [Int], _ images: [PreparedImage]) {
    self.checkpoint = checkpoint
    self.model = model
    self.ids = ids
    self.images = images
  }

  /// The prefill under `methods`.
  /// - Parameter words: ids of the tokens of the question's words.
  func run(_ methods: [any Compressor] = [], question: Tensor? = nil, words: [Int] = []) throws -> MultimodalResult {
    var run = Run(try Composition(methods, for: model.shape), keepingNotes: true)
    run.question = question
    try run.read(question: "") { _ in try model.language.embeddings(of: words) }
    let prompt = try model.prompt(ids, images, run: &run)
    var hidden: [Tensor] = []
    let decoding = try model.language.prefill(prompt, run: &run) { hidden.append($1) }
    return MultimodalResult(
      prompt: prompt, run: run, decoding: decoding, hidden: hidden,
      logits: GoldenValue(model.language.logits(hidden.last!)))
  }
}

extension MultimodalCase {
  /// The most likely tokens after a prefill, and the logits that they were chosen by.
  func generated(_ result: inout MultimodalResult, count: Int) throws -> (ids: [Int], logits: GoldenValue) {
    var ids: [Int] = []
    var logits: [Tensor] = []
    repeat {
      if let last = ids.last { try model.language.step(last, &result.decoding, run: &result.run) }
      logits.append(row(result.decoding.logits))
      ids.append(argmax(result.decoding.logits)!)
    } while ids.count < count && !model.stops.contains(ids.last!)
    return (ids, GoldenValue(stacking: logits))
  }
}

/// What happened to a prompt.
struct MultimodalResult {
  /// Entering the language model.
  let prompt: TokenSequence
  var run: Run, decoding: Decoding
  /// Entering every layer, then after the final norm.
  let hidden: [Tensor]
  /// Of every row that left the last layer.
  let logits: GoldenValue

  /// Visual rows as they enter the language model.
  var visual: Tensor { prompt.x.gathered(run.images.flatMap(\.spans).flatMap { $0.map(Int.init) }) }

  /// Rotary positions of the prompt, one axis after the other.
  var positions: GoldenValue {
    GoldenValue(
      [\Position.t, \.h, \.w].flatMap { axis in prompt.position.map { Int($0[keyPath: axis]) } },
      [3, prompt.position.count])
  }

  /// The patches that the surviving visual rows stand on.
  var patches: [Int] {
    let tokens = decoding.tokens
    return tokens.rows(.patch).map { Int(tokens.origin.patches[tokens.origin.range($0).lowerBound]) }
  }

  /// Visual rows behind the cut before each of these layers, counted among those that entered the language model.
  func keptImageIndices(_ layers: [Int]) -> [[Int]] {
    func anchors(_ origin: Origin) -> [Int32] {
      (0..<origin.offsets.count - 1).compactMap { row in origin.range(row).first.map { origin.patches[$0] } }
    }
    let places = Dictionary(uniqueKeysWithValues: anchors(prompt.origin).enumerated().map { ($1, $0) })
    return layers.map { layer in
      anchors(run.trace.acts.first { $0.site == .layer(layer) }!.origins[0]).map { places[$0]! }
    }
  }

  /// What the methods noted under a name, the first time and every time.
  func notes(_ name: String) -> [Float] { allNotes(name).first! }
  func allNotes(_ name: String) -> [[Float]] { run.trace.acts.compactMap { $0.notes.kept[name] } }
}

extension MultimodalCase {
  /// What comes before the language model.
  func visualOutputs(_ result: MultimodalResult) throws -> [String: GoldenValue] {
    let layouts = result.run.images
    let positions = result.prompt.position
    let last = positions.map { Int(max($0.t, $0.h, $0.w)) }.max()!
    var outputs = [
      "image_features": GoldenValue(result.visual),
      "position_ids_3d": result.positions,
      "rope_delta": GoldenValue([last + 1 - positions.count], [1]),
      "feature_lens": GoldenValue(layouts.map { $0.spans.reduce(0) { $0 + $1.count } }, [images.count]),
      "num_crops": GoldenValue(images.map(\.tiles.count), [images.count]),
      // An image of one tile is a grid of one.
      "grid_hw": GoldenValue(images.flatMap { [max($0.rows, 1), max($0.columns, 1)] }, [images.count, 2]),
    ]
    for (index, rows) in result.prompt.pending.enumerated() {
      outputs["deepstack_features.\(index)"] = GoldenValue(
        rows.gathered(layouts.flatMap(\.spans).flatMap { $0.map(Int.init) }))
    }
    if let limit = checkpoint.config["vision_aspect_ratio"]?.string?.split(separator: "_").last.flatMap({ Int($0) }) {
      let packed = images.map { image -> (rows: Int, columns: Int) in
        if image.tiles.count == 1 { return (0, 0) }
        return AnyresGrid(
          rows: image.rows, columns: image.columns, side: model.shape.tower!.rows, width: image.original.width,
          height: image.original.height
        ).packed(limit: limit)
      }
      outputs["packed_hw"] = GoldenValue(packed.flatMap { [$0.rows, $0.columns] }, [images.count, 2])
    }
    if model.shape.layout?.tiling == .native {
      var run = Run(.dense(model.shape))
      let leaving = try images.flatMap { try model.tower($0, run: &run).leaving }
      outputs["vision_last_hidden_state"] = GoldenValue(
        Tensor(leaving.flatMap(\.values), shape: [leaving.reduce(0) { $0 + $1.rows }, leaving[0].width]))
    } else {  // tiles of one size
      var run = Run(.dense(model.shape))
      let tower = try images.map { try model.tower($0, run: &run) }
      let leaving = GoldenValue(stacking: tower.flatMap(\.leaving))
      outputs["vision_hidden_states.0"] = GoldenValue(stacking: tower.flatMap(\.entering))
      outputs["vision_hidden_states.selected"] = leaving
      outputs["vision_last_hidden_state"] = leaving
    }
    return outputs
  }
}

/// The video of a case: a tile for every pair of frames.
private func preparedVideo(_ inputs: Inputs, _ model: MultimodalModel) throws -> PreparedImage {
  let pixels = try inputs.tensor("pixel_values_videos")
  let grid = try inputs.integers("video_grid_thw").map(Int.init)
  let (patch, size) = (model.shape.tower!.patch, grid[1] * grid[2])
  return PreparedImage(
    tiles: (0..<grid[0]).map { pixels.gathered(Array($0 * size..<($0 + 1) * size)) }, rows: grid[1], columns: grid[2],
    original: Size(width: grid[2] * patch, height: grid[1] * patch), isVideo: true,
    pace: inputs.config["second_per_grid"]!.double!)
}

/// The images of a case as a processor would hand them over.
private func preparedImages(_ inputs: Inputs, _ model: MultimodalModel, _ config: JSON) throws -> [PreparedImage] {
  let pixels = try inputs.tensor("pixel_values")
  func size(_ tile: Tensor) -> Size { Size(width: tile.shape[2], height: tile.shape[1]) }
  let planes = (0..<pixels.shape[0]).map { pixels[plane: $0] }
  let layout = model.shape.layout!
  switch layout.tiling {
  case .one: return planes.map { PreparedImage(tiles: [$0], original: size($0)) }
  case .cut where layout.hasNewline:
    let pinpoints = config["image_grid_pinpoints"]!.array!.map { $0.ints! }
    let sizes = try inputs.integers("image_sizes").map(Int.init)
    return (pixels.shape.count == 5 ? planes : [pixels]).enumerated().map { index, crops in
      let (height, width) = (sizes[2 * index], sizes[2 * index + 1])
      // Several images of a prompt are not tiled where the batch says so.
      if let counts = try? inputs.integers("batch_num_images"), counts != [1] {
        return PreparedImage(tiles: [crops[plane: 0]], original: Size(width: width, height: height))
      }
      let best = bestResolution(height: height, width: width, pinpoints)
      let (rows, columns) = (best[0] / crops.shape[2], best[1] / crops.shape[3])
      return PreparedImage(
        tiles: (0...rows * columns).map { crops[plane: $0] }, rows: rows, columns: columns,
        original: Size(width: width, height: height))
    }
  case .cut where !layout.hasSpanPerTile:
    // The tiles of all images behind each other, each image with the whole behind several.
    var first = 0
    guard let grids = inputs.config["grid_hw"]?.array else {  // one image of nothing but tiles
      return [PreparedImage(tiles: planes, rows: 1, columns: planes.count, original: size(planes[0]))]
    }
    return grids.map { grid in
      let (rows, columns) = (grid[0]!.int!, grid[1]!.int!)
      let count = rows * columns + (rows * columns > 1 ? 1 : 0)
      defer { first += count }
      return PreparedImage(
        tiles: Array(planes[first..<first + count]), rows: rows, columns: columns, original: size(planes[0]))
    }
  case .cut:
    // The frames of all images behind each other; frames of zeros fill up a batch. Every frame is a span of its own.
    let masks = try? inputs.integers("pixel_attention_mask")
    return planes.enumerated().compactMap { index, tile in
      guard tile.values.contains(where: { $0 != 0 }) else { return nil }
      let (height, width) = (tile.shape[1], tile.shape[2])
      let visible = masks.map { mask in
        let own = mask[index * height * width..<(index + 1) * height * width]
        let across = own.prefix(width).count { $0 != 0 }
        return [Size(width: across, height: own.count { $0 != 0 } / across)]
      }
      return PreparedImage(tiles: [tile], original: size(tile), visible: visible)
    }
  case .native:
    let grids = try inputs.integers("image_grid_thw").map(Int.init)
    let patches = pixels.reshaped([pixels.shape[0], pixels.shape.dropFirst().reduce(1, *)])
    var first = 0
    return (0..<grids.count / 3).map { index in
      let (rows, columns) = (grids[3 * index + 1], grids[3 * index + 2])
      defer { first += rows * columns }
      let patch = model.shape.tower!.patch
      return PreparedImage(
        tiles: [patches.gathered(Array(first..<first + rows * columns))], rows: rows, columns: columns,
        original: Size(width: columns * patch, height: rows * patch))
    }
  }
}
