import VTok

/// `one-d-piece.checks`, `titok.checks`, `vq.nearest`, `tokenbridge.ptq`
let tokenizerFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "one-d-piece.checks": oneDPiece,
  "titok.checks": oneDPiece,

  "vq.nearest": { inputs in
    var outputs: [String: GoldenValue] = [:]
    for part in inputs.case.manifest["cases"]!.array! {
      let tag = part["tag"]!.string!
      let quantizer = VectorQuantizer(
        try inputs.tensor("\(tag).codebook"), isNormalised: part["use_l2_norm"]!.bool!)
      let batch = try inputs.tensor("\(tag).z")  // [B, dimensions, 1, N]
      let shape = batch.shape
      var ids: [Int] = []
      var codes: [Tensor] = []
      var error = 0.0
      for index in 0..<shape[0] {
        let z = batch[plane: index].reshaped([shape[1], shape[3]]).transposed
        let found = quantizer(z)
        let nearest = quantizer.codes.gathered(found)
        ids += found
        codes.append(nearest.transposed.reshaped([shape[1], 1, shape[3]]))
        error += zip(nearest.values, quantizer.prepared(z).values).reduce(0) {
          $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1))
        }
      }
      let cost = part["commitment_cost"]!.double!
      outputs["\(tag).tokens"] = GoldenValue(ids, [shape[0], 1, shape[3]])
      outputs["\(tag).z_quantized"] = GoldenValue(stacking: codes)
      outputs["\(tag).commitment_loss"] = GoldenValue([Float(cost * error / Double(batch.values.count))], [1])
    }
    return outputs
  },

  "tokenbridge.ptq": { inputs in
    var outputs: [String: GoldenValue] = [:]
    for part in inputs.case.manifest["cases"]!.array! {
      let range = Float(part["range"]!.double!)
      let quantizer = GaussianQuantizer(
        bits: part["bits"]!.int!, range: -range...range,
        deviations: inputs.case.manifest["std_range"]?.double ?? 3)
      let x = try inputs.tensor(part["input"]!.string!)
      let indices = quantizer(x.values)
      outputs[part["indices"]!.string!] = GoldenValue(indices, x.shape)
      outputs[part["dequant"]!.string!] = GoldenValue(quantizer.values(indices), x.shape)
      outputs[part["table"]!.string!] = GoldenValue(quantizer.table, [quantizer.table.count])
    }
    return outputs
  },
]

private func oneDPiece(_ inputs: Inputs) throws -> [String: GoldenValue] {
  let manifest = inputs.case.manifest
  // The official code takes heads from a table by the size's name.
  func heads(_ side: String) -> Int {
    manifest["sizes"]![inputs.config["model"]!["vq_model"]![side]!.string!]!.ints![2]
  }
  let model = try OneDPiece(
    inputs.checkpoint(), heads: (heads("vit_enc_model_size"), heads("vit_dec_model_size")))
  var outputs: [String: GoldenValue] = [:]
  for check in manifest["checks"]!.array! {
    func output(_ key: String, _ parts: @autoclosure () throws -> [Tensor]) rethrows {
      if let name = check[key]?.string { outputs[name] = GoldenValue(stacking: try parts()) }
    }
    switch check["kind"]!.string! {
    case "encode":
      let batch = try inputs.tensor(check["input"]!.string!)
      let encoded = (0..<batch.shape[0]).map { model.encoded(batch[plane: $0]) }
      let vectors = encoded.map { model.latents($0) }
      let ids = vectors.map { model.quantizer($0) }
      func planes(_ rows: Tensor) -> Tensor { rows.transposed.reshaped([rows.width, 1, rows.rows]) }
      output("ln_post", encoded)
      output("z", vectors.map(planes))
      output("z_quantized", ids.map { planes(model.quantizer.codes.gathered($0)) })
      outputs[check["tokens"]!.string!] = GoldenValue(ids.flatMap { $0 }, [ids.count, 1, ids[0].count])
    case "decode_tokens":
      let name = check["tokens"]!.string!
      let shape = inputs.shape(name)
      let all = try inputs.integers(name).map(Int.init)
      let count = check["length"]!.int!
      let cells = (0..<shape[0]).map { model.cells(Array(all[$0 * shape[2]..<$0 * shape[2] + count])) }
      let images = cells.map { planes(model.painted($0)) }
      output("image", images)
      for (key, isRounded) in [("image_u8_floor", false), ("image_u8_round", true)] {
        output(
          key,
          images.map { image in
            Tensor(
              image.values.map {
                let value = min(max($0, 0), 1) * 255
                return value.rounded(isRounded ? .toNearestOrEven : .down)
              }, shape: image.shape)
          })
      }
      let logits = cells.compactMap { model.logits($0) }
      output("logits", logits.map(square))
      output("pixel_decoder_in", logits.map { square(model.mixture($0)!) })
    default: break  // what it should have produced will be missed
    }
  }
  return outputs
}
