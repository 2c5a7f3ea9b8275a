import VTok

/// `lvlm.preprocess.*`
let processorFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "lvlm.preprocess.clip": { ["pixel_values_pil": GoldenValue(try tiles($0, "CLIP").tiles[0])] },
  "lvlm.preprocess.llava_pad": { ["pixel_values_pil": GoldenValue(try tiles($0, "Llava").tiles[0])] },

  "lvlm.preprocess.llava_next": { inputs in
    let prepared = try tiles(inputs, "LlavaNext")
    let tile = inputs.config["tile"]!.int!
    return [
      "pixel_values_pil": GoldenValue(stacking: prepared.tiles),
      "image_size_hw": GoldenValue([prepared.original.height, prepared.original.width], [2]),
      "best_resolution_hw": GoldenValue([prepared.rows * tile, prepared.columns * tile], [2]),
      "grid_hw": GoldenValue([prepared.rows, prepared.columns], [2]),
      "num_crops": GoldenValue([prepared.tiles.count], [1]),
    ]
  },

  "lvlm.preprocess.idefics3": { inputs in
    let prepared = try tiles(inputs, "Idefics3")
    let shape = [prepared.tiles.count] + prepared.tiles[0].shape.dropFirst()
    return [
      "pixel_values_pil": GoldenValue(stacking: prepared.tiles),
      "pixel_attention_mask": GoldenValue([Int](repeating: 1, count: shape.reduce(1, *)), shape),
      "rows_cols": GoldenValue([prepared.rows, prepared.columns], [2]),
    ]
  },

  "lvlm.preprocess.qwen2vl": { inputs in
    let prepared = try tiles(inputs, "Qwen2VL")
    return [
      "pixel_values_pil": GoldenValue(prepared.tiles[0]),
      "image_grid_thw": GoldenValue([1, prepared.rows, prepared.columns], [1, 3]),
    ]
  },
]

/// The picture through the processor that the manifest's parameters make, read as from a checkpoint.
private func tiles(_ inputs: Inputs, _ name: String) throws -> PreparedImage {
  var file = inputs.config.object!
  file["image_processor_type"] = JSON(name + "ImageProcessor")
  let processor = try ProcessorConfig.read(.object(file), config: [:])
  return try processor.tiles(of: inputs.image("rgb"))
}
