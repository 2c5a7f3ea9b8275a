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
