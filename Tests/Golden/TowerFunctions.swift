import Foundation
import VTok

/// `vit.hf_siglip2_naflex.*`, `vit.naflex-sizes`, `preprocess.hf_siglip2_naflex`: patches that official code cuts and pads.
let towerFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "vit.hf_siglip2_naflex.forward": { inputs in
    let model = try VisionModel.load(inputs.checkpoint())
    var outputs: [String: GoldenValue] = [:]
    var pooled: [Tensor] = []
    for (index, image) in try cutPictures(inputs, patch: model.tower.shape.patch).enumerated() {
      let (seen, output) = try probed(model, image)
      for (name, tensor) in seen { outputs["\(name).image\(index)"] = GoldenValue(tensor) }
      outputs["last_hidden_state.image\(index)"] = GoldenValue(output.tokens.x)
      pooled.append(row(output.pooled))
    }
    outputs["pooler_output"] = GoldenValue(stacking: pooled)
    return outputs
  },

  "vit.hf_siglip2_naflex.zero_shot": { inputs in
    let siglip = try SigLIP.load(inputs.checkpoint())
    return try zeroShot(
      siglip, inputs, images: cutPictures(inputs, patch: siglip.vision.tower.shape.patch))
  },

  "vit.naflex-sizes": { inputs in
    let rows = try inputs.rows.map { row -> JSON in
      let patch = row["patch_size"]!.int!
      let processor = ImageProcessor(
        resize: .patches(side: patch, most: row["max_num_patches"]!.int!), filter: .bilinear)
      let size = processor.preparedSize(width: row["width"]!.int!, height: row["height"]!.int!)
      var answer = row.object!
      answer["target_height_width"] = JSON([size.height, size.width])
      answer["grid"] = JSON([size.height / patch, size.width / patch])
      return .object(answer)
    }
    return ["rows": GoldenValue(rows: rows)]
  },

  "preprocess.hf_siglip2_naflex": { inputs in
    let file = inputs.file(inputs.case.manifest["files"]!["preprocessor_config.json"]!.string!)
    var values = try JSON(parsing: [UInt8](FileManager.default.contents(atPath: file)!)).object!
    // An option of the call.
    values["max_num_patches"] = inputs.config["max_num_patches"] ?? values["max_num_patches"]
    let processor = try TowerProcessor.read(
      ProcessorFile(.object(values)), standard: .siglip2, among: TowerProcessor.all)!
    guard case .patches(let patch, let most) = processor.resize else {
      preconditionFailure("it cuts no patches")
    }
    let pixels = processor(try inputs.image("rgb_u8"))
    let (rows, columns) = (pixels.shape[1] / patch, pixels.shape[2] / patch)
    let width = 3 * patch * patch
    var cut = [Float](repeating: 0, count: most * width)
    for (pixel, target) in patchOrder(rows: rows, columns: columns, patch: patch) {
      cut[target] = pixels.values[pixel]
    }
    return [
      "pixel_values": GoldenValue(Tensor(cut, shape: [most, width])),
      "pixel_attention_mask": GoldenValue((0..<most).map { $0 < rows * columns ? 1 : 0 }, [most]),
      "spatial_shapes": GoldenValue([rows, columns], [2]),
    ]
  },
]

/// The images of a padded batch of cut patches, `[3, height, width]` each.
private func cutPictures(_ inputs: Inputs, patch: Int) throws -> [Tensor] {
  let batch = try inputs.tensor("pixel_values")
  let sizes = try inputs.integers("spatial_shapes").map(Int.init)
  let stride = batch.shape[1] * batch.shape[2]
  return (0..<batch.shape[0]).map { image in
    let (rows, columns) = (sizes[2 * image], sizes[2 * image + 1])
    return Tensor(shape: [3, rows * patch, columns * patch]) { out in
      for (pixel, source) in patchOrder(rows: rows, columns: columns, patch: patch) {
        out[pixel] = batch.values[image * stride + source]
      }
    }
  }
}

/// Places of every sample of a picture: `[3, height, width]`, and in patches of (row, column, channel).
private func patchOrder(rows: Int, columns: Int, patch: Int) -> [(pixel: Int, cut: Int)] {
  let (height, width) = (rows * patch, columns * patch)
  return (0..<3).flatMap { channel in
    (0..<height).flatMap { y in
      (0..<width).map { x in
        let cell = y / patch * columns + x / patch
        return (
          (channel * height + y) * width + x,
          ((cell * patch + y % patch) * patch + x % patch) * 3 + channel
        )
      }
    }
  }
}
