import VTok

/// `lvlm.preprocess.*`, `lvlm.size-arithmetic*`
let processorFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "lvlm.preprocess.clip": { ["pixel_values_pil": GoldenValue(try tiles($0, "CLIP").tiles[0])] },
  "lvlm.preprocess.llava_pad": { ["pixel_values_pil": GoldenValue(try tiles($0, "Llava").tiles[0])] },

  "lvlm.preprocess.llava_next": { inputs in
    let prepared = try tiles(inputs, "LlavaNext")
    let tile = try inputs.config.int("tile", default: prepared.tiles[0].shape[1])
    var layout: [[Int]] = []
    if let patch = inputs.config["patch_size"]?.int {
      // The thumbnail, then the grid row by row, a newline behind every row.
      let side = tile / patch
      let grid = AnyresGrid(
        rows: prepared.rows, columns: prepared.columns, side: side, width: prepared.original.width,
        height: prepared.original.height)
      layout = (0..<side * side).map { [0, $0 / side, $0 % side] }
      for row in grid.visible.rows {
        layout += grid.visible.columns.map { column in
          [1 + row / side * prepared.columns + column / side, row % side, column % side]
        }
        layout.append([-1, -1, -1])
      }
    }
    return [
      "token_layout": GoldenValue(layout.flatMap { $0 }, [layout.count, 3]),
      "pixel_values_pil": GoldenValue(stacking: prepared.tiles),
      "image_size_hw": GoldenValue([prepared.original.height, prepared.original.width], [2]),
      "best_resolution_hw": GoldenValue([prepared.rows * tile, prepared.columns * tile], [2]),
      "grid_hw": GoldenValue([prepared.rows, prepared.columns], [2]),
      "num_crops": GoldenValue([prepared.tiles.count], [1]),
    ]
  },

  "lvlm.size-arithmetic": { inputs in
    let config = inputs.config
    let (tile, patch) = (config["tile"]!.int!, config["patch"]!.int!)
    var pixels = ImageProcessor(resize: .none, filter: .bicubic)
    let next = AnyResolutionProcessor(
      tile: pixels, thumbnail: Size(tile), side: tile,
      pinpoints: config["llavanext_pinpoints"]!.array!.map { Size(width: $0[1]!.int!, height: $0[0]!.int!) })
    pixels.filter = .lanczos
    let split = SplittingProcessor(
      pixels: pixels, longestEdge: config["smolvlm"]!["longest_edge"]!.int!,
      side: config["smolvlm"]!["max_image_size"]!.int!)
    let qwen = config["qwen"]!
    let patches = MergedPatchProcessor(
      pixels: pixels, patch: qwen["factor"]!.int! / 2, merge: 2, frames: 2,
      area: qwen["min_pixels"]!.int!...qwen["max_pixels"]!.int!)
    func pair(_ size: Size) -> JSON { JSON([size.height, size.width]) }

    let rows = try inputs.rows.map { row -> JSON in
      let size = Size(width: row["width"]!.int!, height: row["height"]!.int!)
      let best = next.resolution(for: size)
      let fitted = next.fitted(size, in: best)
      let (left, top) = next.margins(of: fitted, in: best)
      let (tiles, side) = ([best.height / tile, best.width / tile], tile / patch)
      let grid = AnyresGrid(rows: tiles[0], columns: tiles[1], side: side, width: size.width, height: size.height)
      let unpadded = [grid.visible.rows.count, grid.visible.columns.count]
      let (frameRows, frameColumns) = split.grid(for: size)
      let smart = Result { try patches.resized(size) }
      return [
        "height": JSON(size.height), "width": JSON(size.width),
        "llavanext": [
          "best_resolution": pair(best), "grid": JSON(tiles), "resized": pair(fitted),
          "pad_left_top_right_bottom": JSON([
            left, top, best.width - fitted.width - left, best.height - fitted.height - top,
          ]),
          "unpadded_grid": JSON(unpadded), "image_tokens": JSON(side * side + unpadded[0] * (unpadded[1] + 1)),
        ],
        "qwen2vl": (try? smart.get()).map { ["resized": pair($0)] } ?? ["error": "refused"],
        "smolvlm_2048_512": [
          "resized": pair(split.enlarged(size)), "rows": JSON(frameRows), "cols": JSON(frameColumns),
          "frames": JSON(frameRows * frameColumns + 1),
        ],
      ]
    }
    return ["rows": GoldenValue(rows: rows)]
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

  "lvlm.preprocess.gemma3": { inputs in
    let prepared = try tiles(inputs, "Gemma3")
    return [
      "pixel_values_pil": GoldenValue(stacking: prepared.tiles),
      "num_crops": GoldenValue([prepared.tiles.count - 1], [1]),
    ]
  },

  "lvlm.pan-and-scan": { inputs in
    let tokens = try inputs.config.int("tokens_per_image")
    let rows = try inputs.rows.map { row -> JSON in
      let size = Size(width: row["width"]!.int!, height: row["height"]!.int!)
      let processor = PanAndScanProcessor(
        pixels: ImageProcessor(resize: .none, filter: .bilinear),
        crops: .init(
          edge: row["min_crop_size"]!.int!, most: row["max_num_crops"]!.int!, ratio: row["min_ratio"]!.double!))
      let boxes = processor.boxes(of: size).map { JSON([$0.top, $0.left, $0.size.height, $0.size.width]) }
      var made = row.object!
      made["num_crops"] = JSON(boxes.count)
      made["boxes_top_left_height_width"] = .array(boxes)
      made["image_tokens"] = JSON(tokens * (1 + boxes.count))
      return .object(made)
    }
    return ["rows": GoldenValue(rows: rows)]
  },

  "lvlm.preprocess.qwen3vl": { inputs in
    let folder = try inputs.file(inputs.config.string("processor_dir"))
    let processor = try ProcessorConfig.read(
      ProcessorFile(directory: folder), config: JSON(contentsOf: folder + "/config.json"))
    let prepared = try inputs.config["images"]!.strings!.map {
      try processor.tiles(of: Image.decode(contentsOf: inputs.file($0)).image)
    }
    let rows = prepared.map(\.tiles[0])
    return [
      "pixel_values_pil": GoldenValue(
        Tensor(rows.flatMap(\.values), shape: [rows.reduce(0) { $0 + $1.rows }, rows[0].width])),
      "image_grid_thw": GoldenValue(prepared.flatMap { [1, $0.rows, $0.columns] }, [prepared.count, 3]),
    ]
  },

  "lvlm.size-arithmetic.qwen3vl": { inputs in
    let config = inputs.config
    let processor = MergedPatchProcessor(
      pixels: ImageProcessor(resize: .none, filter: .bicubic), patch: config["patch"]!.int!,
      merge: config["merge"]!.int!, frames: 2, area: config["min_pixels"]!.int!...config["max_pixels"]!.int!)
    let (patch, cell) = (processor.patch, processor.merge * processor.merge)
    let rows = try inputs.rows.map { row -> JSON in
      let size = Size(width: row["width"]!.int!, height: row["height"]!.int!)
      let found: JSON
      do {
        let resized = try processor.resized(size)
        let grid = [resized.height / patch, resized.width / patch]
        found = [
          "resized": JSON([resized.height, resized.width]), "grid": JSON(grid),
          "image_tokens": JSON(grid[0] * grid[1] / cell),
        ]
      } catch { found = ["error": "refused"] }
      return ["height": JSON(size.height), "width": JSON(size.width), "qwen3vl": found]
    }
    return ["rows": GoldenValue(rows: rows)]
  },
]

/// The picture through the processor that the manifest's parameters make, read as from a checkpoint.
func tiles(_ inputs: Inputs, _ name: String) throws -> PreparedImage {
  var file = inputs.config.object ?? JSONObject()
  file["image_processor_type"] = JSON(name + "ImageProcessor")
  let processor =
    if let folder = inputs.config["checkpoint_dir"]?.string.map(inputs.file) {
      // All values stand in the folder's own files; its weights need not be there.
      try ProcessorConfig.read(ProcessorFile(directory: folder), config: JSON(contentsOf: folder + "/config.json"))
    } else {
      try ProcessorConfig.read(ProcessorFile(.object(file)), config: [:])
    }
  // Pixels as stored, or the picture's file.
  let isStored = inputs.inputNames.contains("rgb")
  let image =
    try isStored
    ? inputs.image("rgb") : Image.decode(contentsOf: inputs.file(inputs.config.string("image"))).image
  return try processor.tiles(of: image)
}
