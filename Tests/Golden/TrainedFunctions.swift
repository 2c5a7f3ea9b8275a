import Foundation
import VTok

/// What brings trained tensors of its own: `p-mod.*`, `quecc.*`, `generic-explain.*`.
let trainedFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "p-mod.schedule": { inputs in
    var outputs: [String: GoldenValue] = [:]
    for name in inputs.outputNames {
      let parts = name.split(separator: "_")
      let layers = inputs.case.manifest["outputs"]![name]!["shape"]![0]!.int!
      let shares = MixtureOfDepths.decay(String(parts[0]), average: Double(parts[1])!, layers: layers)!
      outputs[name] = GoldenValue(shares.map { Float($0) }, [layers])
    }
    return outputs
  },

  "p-mod.e2e": { inputs in
    let config = inputs.config
    let golden = try LanguageCase(inputs, try inputs.mixtureOfDepths())
    let result = try golden.run([])
    var outputs = result.outputs
    let image = Array(result.image)
    for name in inputs.outputNames where name.hasSuffix("router_weight") {
      let layer = Int(name.dropFirst("layer".count).prefix { $0 != "." })!
      let weights = golden.model.routerWeights(layer, result.seen[0][layer].x, rows: image)!
      outputs[name] = GoldenValue(weights, [weights.count])
      let kept = result.prefill.caches[layer][0].id.map(Int.init).filter(result.image.contains)
      outputs["layer\(layer).kept_image_index"] = GoldenValue(
        kept.map { $0 - result.image.lowerBound }, [kept.count])
    }
    return outputs
  },

  "quecc.forward": { inputs in
    let config = inputs.config
    let module = try QueCC(
      Inputs.checkpoint(inputs.weights()), grid: config["grid"]!.int!, kernel: config["kernel"]!.int!,
      stride: config["stride"]!.int!, text: config["text_dim"]!.int!, width: config["embed_dim"]!.int!,
      states: config["multi_dim"]!.int!)
    let (x, states, text) = (try inputs.tensor("x"), try inputs.tensor("x_multi"), try inputs.tensor("text"))
    let results = (0..<config["batch"]!.int!).map {
      module(x[plane: $0], states: states[plane: $0], question: text[plane: $0])
    }
    let side = Int(Double(results[0].queries.rows).squareRoot())
    // The official convolution has channels first.
    let queries = results.map { result -> Tensor in
      let width = result.queries.width
      return Tensor(shape: [width, side, side]) { out in
        for row in 0..<side * side {
          for column in 0..<width { out[column * side * side + row] = result.queries.values[row * width + column] }
        }
      }
    }
    return [
      "tokens": GoldenValue(stacking: results.map(\.tokens)),
      "text_projected": GoldenValue(stacking: results.map(\.question)),
      "downsampled_query": GoldenValue(stacking: queries),
    ]
  },

  "generic-explain.relevance": { inputs in
    let golden = try LanguageCase(inputs)
    let image = Array(golden.image!)
    let map = try RelevanceMaps(golden.model)(
      golden.prompt, visual: image, limit: inputs.config["generated"]!.int!)
    let quarter = topK(map.mean, image.count / 4).sorted()
    // What the net gets, as the method finds it; the net itself does nothing here.
    let one = Tensor([1], shape: [1, 1, 1])
    let net = OptionFile(tensors: [
      "layers.0.depthwise.weight": one, "layers.0.pointwise.weight": one, "output.weight": one,
    ])
    let method = try MethodSpec("generic-explain:weights=net,keep=1.0").make(budget: nil) { _ in net }
    let result = try golden.run(method)
    return [
      "generated_tokens": GoldenValue(map.tokens, [map.tokens.count]), "relevance_each_step": GoldenValue(map.steps),
      "relevance": GoldenValue(map.mean, [image.count]), "training_target": GoldenValue(map.target, [image.count]),
      "top_quarter_index": GoldenValue(quarter, [quarter.count]),
      "first_layer_attention": GoldenValue(row(result.run.trace.acts[0].notes.kept["image0.attention"]!)),
    ]
  },
]

extension Inputs {
  /// A file of these tensors, read back as a checkpoint.
  static func checkpoint(_ tensors: [(String, Tensor)], config: JSON = [:]) throws -> Checkpoint {
    let path = FileManager.default.temporaryDirectory.path + "/golden-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Safetensors.write(tensors.map { ($0, .f32($1)) }, to: path)
    return try Checkpoint(file: path, config: config)
  }

  /// The inputs `weights.*` by the rest of their names.
  func weights() throws -> [(String, Tensor)] {
    try inputNames.filter { $0.hasPrefix("weights.") }.map { (String($0.dropFirst("weights.".count)), try tensor($0)) }
  }

  /// The decoder of the case with the case's routers, in the layout of published checkpoints.
  fileprivate func mixtureOfDepths() throws -> Checkpoint {
    let directory = file(config["checkpoint_dir"]!.string!)
    let plain = try Safetensors(path: directory + "/model.safetensors")
    let routers = try weights()
    var tensors = routers
    for entry in plain.entries {
      var name = entry.name
      let parts = name.split(separator: ".")
      if parts.count > 2, parts[1] == "layers" {
        let layer = "model.layers.\(parts[2])."
        if routers.contains(where: { $0.0.hasPrefix(layer) }) {
          name = layer + "decoder_layer." + name.dropFirst(layer.count)
        }
      }
      tensors.append((name, try plain.tensor(entry.name)))
    }
    var members = try Checkpoint(directory: directory).config.object!
    for key in ["mod_weight_norm", "mod_target_layers", "mod_router_factor"] { members[key] = config[key] }
    members["mod_bias_enabled"] = config["bias"]
    return try Self.checkpoint(tensors, config: .object(members))
  }
}
