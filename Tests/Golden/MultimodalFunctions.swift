import Foundation
import VTok

/// `lvlm.forward`, `lvlm.logits`
let multimodalFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "lvlm.forward": { inputs in
    let model = try MultimodalModel.load(inputs.checkpoint())
    let ids = try inputs.integers("input_ids").map(Int.init)
    let images = try preparedImages(inputs, model)
    var run = Run(.dense(model.shape))
    let prompt = try model.prompt(ids, images, run: &run)
    var outputs = visualOutputs(model, ids, images, prompt, run)
    var hidden: [Tensor] = []
    var decoding = try model.language.prefill(prompt, run: &run) { hidden.append($1) }
    for (index, states) in hidden.enumerated() { outputs["hidden_states.\(index)"] = GoldenValue(states) }
    outputs["logits"] = GoldenValue(model.language.logits(hidden.last!))
    var generated: [Int] = []
    var logits: [Tensor] = []
    repeat {
      if let last = generated.last { try model.language.step(last, &decoding, run: &run) }
      logits.append(row(decoding.logits))
      generated.append(argmax(decoding.logits)!)
    } while generated.count < inputs.config["max_new_tokens"]!.int! && !model.stops.contains(generated.last!)
    outputs["generated_ids"] = GoldenValue(generated, [generated.count])
    outputs["generated_step_logits"] = GoldenValue(stacking: logits)
    return outputs
  },

  "lvlm.logits": { inputs in
    let folder = inputs.config["checkpoint_dir"]!.string!
    let weights = inputs.config["weights_file"]!.string!
    let config = try JSON(
      parsing: [UInt8](FileManager.default.contents(atPath: inputs.file("\(folder)/config.json"))!))
    let model = try MultimodalModel.load(Checkpoint(file: inputs.file("\(folder)/\(weights)"), config: config))
    var run = Run(.dense(model.shape))
    var hidden: [Tensor] = []
    _ = try model.prefill(
      inputs.integers("input_ids").map(Int.init), preparedImages(inputs, model), run: &run
    ) { hidden.append($1) }
    return ["logits": GoldenValue(model.language.logits(hidden.last!))]
  },
]

/// What comes before the language model.
private func visualOutputs(
  _ model: MultimodalModel, _ ids: [Int], _ images: [PreparedImage], _ prompt: TokenSequence, _ run: Run
) -> [String: GoldenValue] {
  let spans = run.images.flatMap(\.spans)
  let last = prompt.position.map { Int(max($0.t, $0.h, $0.w)) }.max()!
  var outputs = [
    "image_features": GoldenValue(prompt.x.gathered(spans.flatMap { $0.map(Int.init) })),
    "position_ids_3d": GoldenValue(
      [\Position.t, \.h, \.w].flatMap { axis in prompt.position.map { Int($0[keyPath: axis]) } }, [3, ids.count]),
    "rope_delta": GoldenValue([last + 1 - ids.count], [1]),
    "feature_lens": GoldenValue(run.images.map { $0.spans.reduce(0) { $0 + $1.count } }, [images.count]),
    "num_crops": GoldenValue(images.map(\.tiles.count), [images.count]),
    "grid_hw": GoldenValue(images.flatMap { [$0.rows, $0.columns] }, [images.count, 2]),
  ]
  if model.shape.layout != .dynamic {  // tiles of one size
    let tower = images.map { model.tower($0) }
    let leaving = GoldenValue(stacking: tower.flatMap(\.leaving))
    outputs["vision_hidden_states.0"] = GoldenValue(stacking: tower.flatMap(\.entering))
    outputs["vision_hidden_states.selected"] = leaving
    outputs["vision_last_hidden_state"] = leaving
  }
  return outputs
}

/// The images of a case as a processor would hand them over.
func preparedImages(_ inputs: Inputs, _ model: MultimodalModel) throws -> [PreparedImage] {
  let pixels = try inputs.tensor("pixel_values")
  func size(_ tile: Tensor) -> Size { Size(width: tile.shape[2], height: tile.shape[1]) }
  let planes = (0..<pixels.shape[0]).map { pixels[plane: $0] }
  switch model.shape.layout {
  case .plain: return []
  case .single: return planes.map { PreparedImage(tiles: [$0], original: size($0)) }
  case .anyres:
    let pinpoints = inputs.config["image_grid_pinpoints"]!.array!.map { $0.ints! }
    let sizes = try inputs.integers("image_sizes").map(Int.init)
    return planes.enumerated().map { index, crops in
      let (height, width) = (sizes[2 * index], sizes[2 * index + 1])
      let (rows, columns) = tileGrid(height: height, width: width, pinpoints, tile: crops.shape[2])
      return PreparedImage(
        tiles: (0...rows * columns).map { crops[plane: $0] }, rows: rows, columns: columns,
        original: Size(width: width, height: height))
    }
  case .split:
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
  case .dynamic:
    let grids = try inputs.integers("image_grid_thw").map(Int.init)
    var first = 0
    return (0..<grids.count / 3).map { index in
      let (rows, columns) = (grids[3 * index + 1], grids[3 * index + 2])
      defer { first += rows * columns }
      let patch = model.shape.tower!.patch
      return PreparedImage(
        tiles: [pixels.gathered(Array(first..<first + rows * columns))], rows: rows, columns: columns,
        original: Size(width: columns * patch, height: rows * patch))
    }
  }
}

/// `select_best_resolution`, in tiles.
private func tileGrid(height: Int, width: Int, _ pinpoints: [[Int]], tile: Int) -> (Int, Int) {
  var best = (effective: -1, waste: Int.max, grid: (0, 0))
  for point in pinpoints {
    let scale = min(Double(point[1]) / Double(width), Double(point[0]) / Double(height))
    let area = Int(Double(width) * scale) * Int(Double(height) * scale)
    let effective = min(area, width * height)
    let waste = point[0] * point[1] - effective
    if effective > best.effective || (effective == best.effective && waste < best.waste) {
      best = (effective, waste, (point[0] / tile, point[1] / tile))
    }
  }
  return best.grid
}
