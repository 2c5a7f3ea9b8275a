import VTok

/// `bae.encode`, `bae.decode`, `bae.bits`, `gigatok.encode`, `gigatok.decode`, `gigatok.quantise`, `gigatok.preprocess`,
/// `seed.encode`, `seed.feature`, `seed.preprocess`, `divot.encode`
let imageTokenizerFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "bae.encode": { inputs in
    guard let model = try ImageTokenizers.load(inputs.checkpoint()) as? BAE else { throw GoldenError("no BAE") }
    let found = try inputs.batch("pixels").map { model.encoded($0) }
    var outputs = bits(found.map { planes($0.logits) }, try Grouping(inputs))
    outputs["features"] = GoldenValue(stacking: found.map { planes($0.features) })
    outputs["logits"] = GoldenValue(stacking: found.map { planes($0.logits) })
    return outputs
  },

  "bae.decode": { inputs in
    guard let model = try ImageTokenizers.load(inputs.checkpoint()) as? BAE else { throw GoldenError("no BAE") }
    let grouping = try Grouping(inputs)
    let ids = try inputs.idRows("ids").map {
      BinaryQuantizer.joined($0, bits: grouping.bits, width: grouping.width)
    }
    let vectors = ids.map { model.quantizer($0) }
    let pixels = vectors.map { model.painted($0) }
    let side = pixels[0].shape[1]
    return [
      "vectors": GoldenValue(stacking: vectors.map { square($0) }),
      "pixels": GoldenValue(stacking: pixels),
      "image_u8": GoldenValue(
        stacking: try ids.map { planes(try model.decode(ImageTokens(ids: $0, size: Size(side)))) }),
    ]
  },

  "bae.bits": { inputs in bits(try inputs.batch("logits"), try Grouping(inputs)) },

  "gigatok.encode": { inputs in
    let model = try gigaTok(inputs)
    let found = try inputs.batch("pixels").map { model.encoded($0) }
    let ids = found.map { model.quantizer($0.vectors) }
    return [
      "cnn": GoldenValue(stacking: found.map { planes($0.cells) }),
      "queries": GoldenValue(stacking: found.map(\.queries)), "encoded": GoldenValue(stacking: found.map(\.latents)),
      "z": GoldenValue(stacking: found.map(\.vectors)),
      "ids": GoldenValue(ids.flatMap { $0 }, [ids.count, ids[0].count]),
    ]
  },

  "gigatok.decode": { inputs in
    let model = try gigaTok(inputs)
    let ids = try inputs.idRows("ids")
    let found = ids.map { model.decoded($0) }
    let tokens = ids.map { ImageTokens(ids: $0, size: Size(found[0].pixels.shape[1])) }
    return [
      "codes": GoldenValue(stacking: try tokens.map { try model.embeddings(of: $0)! }),
      "spatial": GoldenValue(stacking: found.map { planes($0.map) }),
      "pixels": GoldenValue(stacking: found.map(\.pixels)),
      "image_u8": GoldenValue(stacking: try tokens.map { planes(try model.decode($0)) }),
    ]
  },

  "gigatok.quantise": { inputs in
    let isNormalised = inputs.config["codebook_l2_norm"]?.bool ?? true
    let quantizer = VectorQuantizer(try inputs.tensor("codebook"), isNormalised: isNormalised)
    let ids = quantizer(try inputs.tensor("z"))
    // The rotation changes gradients alone: forwards it is the code, up to rounding.
    let codes = GoldenValue(quantizer.codes.gathered(ids))
    return ["ids": GoldenValue(ids, [ids.count]), "codes": codes, "codes_rotated": codes]
  },

  "gigatok.preprocess": { inputs in
    let side = try inputs.config.int("image_size")
    var processor = ImageProcessor(resize: .halvingToShortestEdge(side), filter: .bicubic, crop: Size(side))
    processor.passes = .cheaperFirst  // these goldens are Pillow 13's
    let image = try inputs.image("rgb")
    return ["crop": GoldenValue(processor.prepare(image)), "pixels": GoldenValue(processor(image))]
  },

  "seed.encode": { inputs in
    guard let model = try ImageTokenizers.load(inputs.checkpoint()) as? SEED else { throw GoldenError("no SEED") }
    let seen = try inputs.batch("pixels").map { model.vision($0) }
    let embeddings = seen.map { model.causal($0.normed) }
    let vectors = embeddings.map { model.vectors($0) }
    let ids = vectors.map { model.quantizer($0) }
    var outputs = [
      "vit": GoldenValue(stacking: seen.map(\.last)), "vision": GoldenValue(stacking: seen.map(\.normed)),
      "causal_embeddings": GoldenValue(stacking: embeddings), "z": GoldenValue(stacking: vectors),
      "ids": GoldenValue(ids.flatMap { $0 }, [ids.count, ids[0].count]),
    ]
    for name in inputs.outputNames where name.hasPrefix("queries.") {
      guard let depth = Int(name.dropFirst(8)) else { continue }
      outputs[name] = GoldenValue(stacking: seen.map { model.causal($0.normed, depth: depth) })
    }
    return outputs
  },

  "seed.feature": { inputs in
    guard let model = try ImageTokenizers.load(inputs.checkpoint()) as? SEED else { throw GoldenError("no SEED") }
    let tokens = try inputs.idRows("ids").map { ImageTokens(ids: $0, size: Size(1)) }
    let features = try tokens.map { try model.feature(of: $0) }
    return [
      "codes": GoldenValue(stacking: tokens.map { model.quantizer.codes.gathered($0.ids) }),
      "embeddings": GoldenValue(stacking: try tokens.map { try model.embeddings(of: $0)! }),
      "image_feature": GoldenValue(features.flatMap { $0 }, [features.count, features[0].count]),
    ]
  },

  "seed.preprocess": { inputs in
    let side = try inputs.config.int("image_size")
    var processor = ImageProcessor(
      resize: .exact(width: side, height: side), filter: .bicubic, mean: ImageProcessor.clipMean,
      std: ImageProcessor.clipStd)
    processor.passes = .cheaperFirst
    let image = try inputs.image("rgb")
    return ["resized": GoldenValue(processor.prepare(image)), "pixels": GoldenValue(processor(image))]
  },

  "divot.encode": { inputs in
    let model = try Divot(inputs.checkpoint())
    let clips = try inputs.batch("frames").map { clip in
      try model.encoded((0..<clip.shape[0]).map { clip[plane: $0] })
    }
    /// Equal tensors of every frame of every clip.
    func frames(_ part: (Divot.Encoded) -> [Tensor]) -> GoldenValue {
      let all = clips.flatMap(part)
      return GoldenValue(all.flatMap(\.values), [clips.count, all.count / clips.count] + all[0].shape)
    }
    return [
      "vit_pixels": frames(\.pixels), "vit": frames(\.patches), "temporal": frames(\.temporal),
      "pooled": GoldenValue(stacking: clips.map(\.pooled)), "mixed": GoldenValue(stacking: clips.map(\.mixed)),
      "features": GoldenValue(stacking: clips.map(\.features)),
    ]
  },
]

/// The official code takes heads from a table by the size's name.
private func gigaTok(_ inputs: Inputs) throws -> GigaTok {
  let heads = (try inputs.config.int("heads.encoder"), try inputs.config.int("heads.decoder"))
  return try GigaTok(inputs.checkpoint(), heads: heads)
}

/// How the bits of a cell become ids in a case.
private struct Grouping {
  let width: Int, count: Int
  var bits: Int { width * count }

  init(_ inputs: Inputs) throws {
    width = try inputs.config.int("code_dim")
    count = try inputs.config.int("token_each")
  }
}

/// Bits and ids of logits `[bits, rows, columns]`.
private func bits(_ logits: [Tensor], _ grouping: Grouping) -> [String: GoldenValue] {
  let ids = logits.map { logits in
    let cells = logits.reshaped([logits.shape[0], logits.shape[1] * logits.shape[2]]).transposed
    return BinaryQuantizer.groups(BinaryQuantizer.ids(cells), bits: grouping.bits, width: grouping.width)
  }
  return [
    "bits": GoldenValue(
      logits.flatMap { $0.values.map { BinaryQuantizer.isSet($0) ? 1 : 0 } }, [logits.count] + logits[0].shape),
    "ids": GoldenValue(ids.flatMap { $0 }, [ids.count, ids[0].count / grouping.count, grouping.count]),
  ]
}

extension Inputs {
  /// The tensors of a batch.
  func batch(_ name: String) throws -> [Tensor] {
    let all = try tensor(name)
    return (0..<all.shape[0]).map { all[plane: $0] }
  }

  /// The ids of every picture of a batch, `[batch, ...]`.
  func idRows(_ name: String) throws -> [[Int]] {
    let all = try integers(name).map(Int.init)
    let count = shape(name).dropFirst().reduce(1, *)
    return stride(from: 0, to: all.count, by: count).map { Array(all[$0..<$0 + count]) }
  }
}

/// A map with its channels first, `[channels, height, width]`.
func planes(_ map: Tensor) -> Tensor { map.transposed.reshaped([map.width, map.shape[0], map.shape[1]]) }

/// Rows of a square grid as a map with its channels first.
func square(_ rows: Tensor) -> Tensor {
  let side = Int(Double(rows.rows).squareRoot())
  return planes(rows.reshaped([side, side, rows.width]))
}

/// Samples with their channels first, `[3, height, width]`.
func planes(_ image: Image) -> Tensor {
  planes(Tensor(image.rgb.map(Float.init), shape: [image.height, image.width, 3]))
}
