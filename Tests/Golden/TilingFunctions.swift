import VTok

/// `lvlm.preprocess.*`, `lvlm.size-arithmetic.*` and `lvlm.smart-resize` of families that cut pictures in ways of their own.
let tilingFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "lvlm.preprocess.internvl": { inputs in
    let prepared = try tiles(inputs, "GotOcr2")
    return [
      "pixel_values_pil": GoldenValue(stacking: prepared.tiles),
      "grid_hw": GoldenValue([prepared.rows, prepared.columns], [2]),
      "num_crops": GoldenValue([prepared.tiles.count], [1]),
      "image_size_hw": GoldenValue([prepared.original.height, prepared.original.width], [2]),
    ]
  },

  "lvlm.size-arithmetic.internvl": { inputs in
    let config = inputs.config
    let tile = config["tile"]!.int!
    let processor = AspectTilesProcessor(
      pixels: ImageProcessor(resize: .none, filter: .bicubic), tile: Size(tile),
      tiles: config["min_patches"]!.int!...config["max_patches"]!.int!)
    let rows = try inputs.rows.map { row -> JSON in
      var made = row.object!
      let grid = processor.grid(for: Size(width: row["width"]!.int!, height: row["height"]!.int!))
      let tiles = grid.rows * grid.columns
      let crops = tiles + (tiles > 1 ? 1 : 0)
      made["grid"] = JSON([grid.rows, grid.columns])
      made["resized"] = JSON([grid.rows * tile, grid.columns * tile])
      made["crops"] = JSON(crops)
      made["image_tokens"] = JSON(crops * config["tokens_per_tile"]!.int!)
      return .object(made)
    }
    return ["rows": GoldenValue(rows: rows)]
  },

  "lvlm.preprocess.llava_onevision": { inputs in
    let file = inputs.config.object!
    var values = file
    values["image_processor_type"] = JSON(file["processor"]!.string!)
    let names = inputs.inputNames.sorted()
    let images = try names.map { try inputs.image($0) }
    let processor = try ProcessorConfig.read(ProcessorFile(.object(values)), config: [:])
    let prepared = try images.map { try processor.tiles(of: $0, among: images.count) }
    let side = prepared[0].tiles[0].shape[1]
    let cells = side / file["patch_size"]!.int!
    let packed = prepared.map { image -> (rows: Int, columns: Int)? in
      image.tiles.count == 1 ? nil : oneVisionGrid(image, side: cells).packed(limit: oneVisionLimit(inputs))
    }
    return [
      "pixel_values_pil": GoldenValue(stacking: prepared.flatMap(\.tiles)),
      "image_size_hw": GoldenValue(prepared.flatMap { [$0.original.height, $0.original.width] }, [images.count, 2]),
      "num_crops": GoldenValue(prepared.map(\.tiles.count), [images.count]),
      "num_image_tokens": GoldenValue(
        packed.map { cells * cells + ($0.map { $0.rows * ($0.columns + 1) } ?? 1) }, [images.count]),
      "best_resolution_hw": GoldenValue([prepared[0].rows * side, prepared[0].columns * side], [2]),
      "grid_hw": GoldenValue([prepared[0].rows, prepared[0].columns], [2]),
      "packed_hw": GoldenValue([packed[0]?.rows ?? 0, packed[0]?.columns ?? 0], [2]),
    ]
  },

  "lvlm.size-arithmetic.llava_onevision": { inputs in
    let config = inputs.config
    let (tile, patch) = (config["tile"]!.int!, config["patch"]!.int!)
    let processor = AnyResolutionProcessor(
      tile: ImageProcessor(resize: .none, filter: .bicubic), thumbnail: Size(tile), side: tile,
      pinpoints: config["image_grid_pinpoints"]!.array!.map { Size(width: $0[1]!.int!, height: $0[0]!.int!) })
    let rows = try inputs.rows.map { row -> JSON in
      let size = Size(width: row["width"]!.int!, height: row["height"]!.int!)
      let best = processor.resolution(for: size)
      let fitted = processor.fitted(size, in: best)
      let (left, top) = processor.margins(of: fitted, in: best)
      let (tiles, side) = ([best.height / tile, best.width / tile], tile / patch)
      let grid = AnyresGrid(rows: tiles[0], columns: tiles[1], side: side, width: size.width, height: size.height)
      let packed = grid.packed(limit: oneVisionLimit(inputs))
      var made = row.object!
      made["best_resolution"] = JSON([best.height, best.width])
      made["grid"] = JSON(tiles)
      made["resized"] = JSON([fitted.height, fitted.width])
      made["pad_left_top_right_bottom"] = JSON([
        left, top, best.width - fitted.width - left, best.height - fitted.height - top,
      ])
      made["unpadded_grid"] = JSON([grid.visible.rows.count, grid.visible.columns.count])
      made["packed_grid"] = JSON([packed.rows, packed.columns])
      made["crops"] = JSON(1 + tiles[0] * tiles[1])
      made["image_tokens"] = JSON(side * side + packed.rows * (packed.columns + 1))
      return .object(made)
    }
    return ["rows": GoldenValue(rows: rows)]
  },

  "lvlm.preprocess.paddleocr_vl": { inputs in
    let prepared = try tiles(inputs, "PaddleOCRVL")
    let rows = prepared.tiles[0]
    let patch = inputs.config["patch_size"]!.int!
    return [
      "pixel_values_pil": GoldenValue(rows.reshaped([rows.rows, 3, patch, patch])),
      "image_grid_thw": GoldenValue([1, prepared.rows, prepared.columns], [1, 3]),
    ]
  },

  "lvlm.smart-resize": { inputs in
    let (patch, merge) = (inputs.config["patch"]!.int!, inputs.config["merge"]!.int!)
    let rows = try inputs.rows.map { row -> JSON in
      var made = row.object!
      let processor = MergedPatchProcessor(
        pixels: ImageProcessor(resize: .none, filter: .bicubic), patch: patch, merge: merge, frames: 1,
        area: row["min_pixels"]!.int!...row["max_pixels"]!.int!, order: .rows, enlargesThin: true)
      let size = try? processor.resized(Size(width: row["width"]!.int!, height: row["height"]!.int!))
      made["resized"] = size.map { JSON([$0.height, $0.width]) } ?? .null
      let cell = patch * patch * merge * merge
      made["image_tokens"] = size.map { JSON($0.width * $0.height / cell) } ?? .null
      return .object(made)
    }
    return ["rows": GoldenValue(rows: rows)]
  },
]

private func oneVisionGrid(_ image: PreparedImage, side: Int) -> AnyresGrid {
  AnyresGrid(
    rows: image.rows, columns: image.columns, side: side, width: image.original.width, height: image.original.height)
}

/// `anyres_max_9` of a manifest.
private func oneVisionLimit(_ inputs: Inputs) -> Int {
  inputs.config["vision_aspect_ratio"]?.string?.split(separator: "_").last.flatMap { Int($0) } ?? 9
}
