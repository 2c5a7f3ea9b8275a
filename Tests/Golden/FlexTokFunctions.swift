import VTok

/// `flextok.checks`, `flextok.fsq`
let flexTokFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "flextok.checks": { inputs in
    let manifest = inputs.case.manifest
    let model = try FlexTok.load(
      inputs.checkpoint(), groups: manifest["vae_config_overrides"]?["norm_num_groups"]?.int ?? 32)
    var outputs: [String: GoldenValue] = [:]
    for check in manifest["checks"]!.array! {
      let step = Step(inputs: inputs, check: check)
      for (key, value) in try step.run(model) {
        if let name = check[key]?.string { outputs[name] = value }
      }
    }
    return outputs
  },

  "flextok.fsq": { inputs in
    var outputs: [String: GoldenValue] = [:]
    for set in inputs.case.manifest["sets"]!.array! {
      let tag = set["tag"]!.string!
      let quantizer = FiniteScalarQuantizer(levels: set["levels"]!.ints!)
      guard quantizer.codebookSize == set["codebook_size"]!.int! else { continue }
      let z = try inputs.tensor("\(tag).z")
      let (codes, ids) = quantizer.quantize(z)
      outputs["\(tag).bound"] = GoldenValue(quantizer.bound(z))
      outputs["\(tag).quant"] = GoldenValue(codes)
      outputs["\(tag).index"] = GoldenValue(ids, [ids.count])
      let indices = try inputs.integers("\(tag).indices").map { Int($0) }
      outputs["\(tag).codes"] = GoldenValue(quantizer.codes(indices))
    }
    return outputs
  },
]

/// One step of a manifest: what it reads by the manifest's keys, what it gives by them.
private struct Step {
  let inputs: Inputs
  let check: JSON

  /// The images of a batch one by one.
  func batch(_ key: String) throws -> [Tensor] {
    let tensor = try inputs.tensor(check[key]!.string!)
    return (0..<tensor.shape[0]).map { tensor[plane: $0] }
  }

  func ids() throws -> [[Int]] {
    let name = check["tokens"]!.string!
    let all = try inputs.integers(name).map { Int($0) }
    let count = inputs.shape(name)[1]
    return check["keep_k"]!.ints!.enumerated().map { Array(all[$0 * count..<$0 * count + $1]) }
  }

  func run(_ model: FlexTok) throws -> [String: GoldenValue] {
    let kind = check["kind"]!.string!
    switch kind {
    case "vae_encode":
      let found = try batch("input").map { model.autoencoder.encode($0) }
      return [
        "moments": GoldenValue(stacking: found.map(\.moments)), "mean": GoldenValue(stacking: found.map(\.mean)),
        "std": GoldenValue(stacking: found.map(\.deviation)),
      ]
    case "vae_latents":
      let pixels = try inputs.tensor("images")
      // Without noise the latents are the mean, whatever the model does by itself.
      let noise =
        try check["noise"]?.string.map { _ in try batch("noise") }
        ?? batch("mean").map { Tensor(zeros: $0.shape) }
      let latents = try noise.enumerated().map { try model.latents(of: pixels[plane: $0], noise: $1) }
      return ["latents": GoldenValue(stacking: latents)]
    case "encode": return try encode(model)
    case "vae_decode":
      return ["image": GoldenValue(stacking: try batch("latents").map { model.decode(latents: $0) })]
    case "time_embedding":
      let t = Float(check["t"]!.double!)
      return [
        "frequencies": GoldenValue(model.decoder.time.frequencies(t)), "embedding": GoldenValue(model.decoder.time(t)),
      ]
    case "velocity":
      let found = try zip(batch("latents"), ids()).map { latents, ids in
        let condition = model.decoder.condition(model.quantizer.codes(ids))
        return model.decoder(latents, at: Float(check["t"]!.double!), [condition])[0]
      }
      return ["output": GoldenValue(stacking: found)]
    case "velocity_unconditional":
      let found = try batch("latents").map {
        model.decoder($0, at: Float(check["t"]!.double!), [model.decoder.unconditional()])[0]
      }
      return ["output": GoldenValue(stacking: found)]
    case "detokenize": return try detokenize(model)
    default: throw UnknownStep(kind: kind)
    }
  }

  private func encode(_ model: FlexTok) throws -> [String: GoldenValue] {
    let count = model.maxTokens
    var (entering, leaving, registers): ([Tensor], [Tensor], [Tensor]) = ([], [], [])
    for latents in try batch("latents") {
      var x = model.encoder.sequence(latents, count: count)
      entering.append(x)
      model.encoder.transform(&x, count: count)
      leaving.append(x)
      registers.append(model.encoder(latents, count: count))
    }
    let quantized = registers.map { model.quantizer.quantize($0) }
    func packed(_ parts: [Tensor]) -> GoldenValue {
      GoldenValue(parts.flatMap(\.values), [parts.reduce(0) { $0 + $1.rows }, parts[0].width])
    }
    return [
      "sequence_in": packed(entering), "sequence_out": packed(leaving), "mask": mask(model, entering),
      "registers": GoldenValue(stacking: registers), "quants": GoldenValue(stacking: quantized.map(\.codes)),
      "tokens": GoldenValue(quantized.flatMap(\.ids), [quantized.count, count]),
    ]
  }

  /// Which row sees which, found out: the keys whose change changes a row in the first block.
  private func mask(_ model: FlexTok, _ sequences: [Tensor]) -> GoldenValue {
    let total = sequences.reduce(0) { $0 + $1.rows }
    var mask = [Int](repeating: 0, count: total * total)
    var first = 0
    for sequence in sequences {
      func output(_ x: Tensor) -> Tensor {
        var x = x
        model.encoder.transform(&x, count: model.maxTokens, depth: 1)
        return x
      }
      let plain = output(sequence)
      for key in 0..<sequence.rows {
        var changed = sequence
        for index in key * sequence.width..<(key + 1) * sequence.width { changed.values[index] *= -2 }
        let found = output(changed)
        for row in 0..<sequence.rows where found.row(row) != plain.row(row) {
          mask[(first + row) * total + first + key] = 1
        }
      }
      first += sequence.rows
    }
    return GoldenValue(mask, [total, total])
  }

  private func detokenize(_ model: FlexTok) throws -> [String: GoldenValue] {
    let scale = Float(check["guidance_scale"]!.double!)
    let guidance: Guidance = check["norm_guidance"]!.bool! ? .adaptiveProjected(scale) : .classifierFree(scale)
    var latents: [Tensor] = []
    var paths: [[Tensor]] = []
    for (noise, ids) in try zip(batch("noise"), ids()) {
      var path: [Tensor] = []
      latents.append(
        try model.decodeLatents(ids, from: noise, steps: check["timesteps"]!.int!, guidance: guidance) {
          path.append($0)
        })
      paths.append(path)
    }
    let trajectory = paths[0].indices.flatMap { step in paths.flatMap { $0[step].values } }
    return [
      "latents": GoldenValue(stacking: latents),
      "image": GoldenValue(stacking: latents.map { model.decode(latents: $0) }),
      "trajectory": GoldenValue(trajectory, [paths[0].count, paths.count] + latents[0].shape),
    ]
  }
}

private struct UnknownStep: Error {
  let kind: String
}
