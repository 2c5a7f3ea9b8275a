import Foundation
import Testing
import VTokTensor
import VTokWeights

/// Weights that are not those of a model as it runs: adapters, and numbers that need scales.
@Suite struct WeightFormTests {
  /// A safetensors file of one tensor of two elements for each name and type.
  private func file(_ tensors: [(name: String, type: String, size: Int)]) -> [UInt8] {
    var at = 0
    let entries = tensors.map { tensor in
      defer { at += 2 * tensor.size }
      return
        #""\#(tensor.name)":{"dtype":"\#(tensor.type)","shape":[2],"data_offsets":[\#(at),\#(at + 2 * tensor.size)]}"#
    }
    return safetensors("{\(entries.joined(separator: ","))}", data: at)
  }

  private func plain(_ names: [String]) -> [UInt8] { file(names.map { ($0, "F32", 4) }) }

  // MARK: Adapters

  @Test(arguments: [
    "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
    "language_model.model.layers.0.mlp.up_proj.lora_B.default.weight", "unet.attn.to_q.lora.down.weight",
    "blocks.0.attn.qkv.hada_w1_a", "base_model.model.blocks.0.attn.qkv.base_layer.weight",
  ]) func adaptersByTheNamesOfTheirTensors(_ name: String) throws {
    try withFolder { folder in
      try write("{}", folder + "/config.json")
      try write(plain(["other.weight", name]), folder + "/model.safetensors")
      for open in [
        { _ = try Checkpoint(directory: folder) }, { _ = try Checkpoint(file: folder + "/model.safetensors") },
      ] {
        let error = weightError(open)
        #expect(error?.kind == .adapter && error?.tensor == name && error?.fix.contains("merge it first") == true)
        #expect(error?.file == folder + "/model.safetensors")
      }
    }
  }

  /// As PEFT saves them: alone, beside other weights of the training, beside the model that they change.
  @Test(arguments: [
    ["adapter_model.safetensors"], ["adapter_model.bin", "non_lora_trainables.bin"], ["model.safetensors"],
  ])
  func adaptersByTheirFiles(_ weights: [String]) throws {
    try withFolder { folder in
      try write("{}", folder + "/config.json")
      for name in weights { try write(plain(["a.weight"]), folder + "/" + name) }
      let settings = #"{"peft_type": "LORA", "base_model_name_or_path": "llava-hf/llava-1.5-7b-hf", "r": NaN}"#
      try write(settings, folder + "/adapter_config.json")
      let error = weightError { _ = try Checkpoint(directory: folder) }
      #expect(error?.kind == .adapter && error?.file == folder + "/adapter_config.json")
      #expect(error?.found == "an adapter of type LORA to `llava-hf/llava-1.5-7b-hf`")
      try FileManager.default.removeItem(atPath: folder + "/adapter_config.json")
      if weights[0].hasPrefix("adapter") {
        #expect(weightError { _ = try Checkpoint(directory: folder) }?.kind == .adapter)
      }
    }
  }

  /// Names that only look like it.
  @Test func plainNamesAreNoAdapter() throws {
    try withFolder { folder in
      try write("{}", folder + "/config.json")
      try write(plain(["model.flora_head.weight", "loranger.weight", "explora.weight"]), folder + "/model.safetensors")
      try Checkpoint(directory: folder).refuseQuantised()
    }
  }

  // MARK: Scales

  @Test(arguments: [
    ("F8_E4M3", 1, "weight", "F32", 4, "weight_scale_inv"), ("F8_E4M3", 1, "weight", "F32", 4, "weight_scale"),
    ("F8_E5M2", 1, "weight", "F32", 4, "scale_weight"), ("I32", 4, "qweight", "F16", 2, "scales"),
    ("U8", 1, "weight", "F32", 4, "weight.absmax"), ("I8", 1, "weight", "F32", 4, "SCB"),
    ("I32", 4, "weight_packed", "BF16", 2, "weight_scale"),
  ]) func scaledWeights(_ type: String, _ size: Int, _ name: String, _ scale: String, _ width: Int, _ last: String)
    throws
  {
    let layer = "model.layers.0.mlp.up_proj."
    for method in [nil, "fp8"] {
      try withFolder { folder in
        try write(
          method.map { #"{"quantization_config": {"quant_method": "\#($0)"}}"# } ?? "{}", folder + "/config.json")
        try write(
          file([("norm.weight", "F32", 4), (layer + name, type, size), (layer + last, scale, width)]),
          folder + "/model.safetensors")
        let error = weightError { try Checkpoint(directory: folder).refuseQuantised() }
        #expect(error?.kind == .quantised && error?.tensor == layer + name, "\(error?.description ?? "")")
        #expect(error?.found.contains("`\(layer + last)`") == true && error?.found.contains(type) == true)
        #expect(error?.found.contains("fp8") == (method != nil))
      }
    }
  }

  @Test(arguments: ["bitsandbytes", "gptq", "awq", "compressed-tensors"]) func quantisedByConfiguration(
    _ method: String
  ) throws {
    for place in [#"{"quantization_config": @}"#, #"{"text_config": {"quantization_config": @}}"#] {
      try withFolder { folder in
        let settings = #"{"quant_method": "\#(method)", "bits": 4}"#
        try write(place.replacingOccurrences(of: "@", with: settings), folder + "/config.json")
        try write(plain(["a.weight"]), folder + "/model.safetensors")
        let error = weightError { try Checkpoint(directory: folder).refuseQuantised() }
        #expect(error?.kind == .quantised && error?.found.contains(method) == true)
        #expect(error?.file == folder + "/config.json")
      }
    }
  }

  @Test(arguments: [#"{"quantization_config": null}"#, #"{"quantization_config": {}}"#, "{}"])
  func plainWeightsPass(_ config: String) throws {
    try withFolder { folder in
      try write(config, folder + "/config.json")
      // A norm's scale is no quantiser's.
      try write(
        plain(["a.weight", "layer_scale1.lambda1", "logit_scale", "norm.scale"]), folder + "/model.safetensors")
      try Checkpoint(directory: folder).refuseQuantised()
    }
  }

  // MARK: Folders

  /// What an index says must be in its folder; errors name the file and the reason.
  @Test(arguments: [
    (#"{"weight_map": {"a": "../x.safetensors"}}"#, WeightError.Kind.index, "model.safetensors.index.json"),
    (#"{"weight_map": {"a": "/etc/passwd"}}"#, .index, "model.safetensors.index.json"),
    (#"{"weight_map": {"a": ".."}}"#, .index, "model.safetensors.index.json"),
    (#"{"weight_map": {"a": 7}}"#, .index, "model.safetensors.index.json"),
    (#"{"weight_map": {"a": "missing.safetensors"}}"#, .missingFile, "missing.safetensors"),
    (#"{"weight_map": {"a": "folder.safetensors"}}"#, .notAFile, "folder.safetensors"),
    (#"{"weight_map": {"a": "empty.safetensors"}}"#, .emptyFile, "empty.safetensors"),
  ]) func indicesOfOtherFiles(_ index: String, _ kind: WeightError.Kind, _ name: String) throws {
    try withFolder { folder in
      try write("{}", folder + "/config.json")
      try write(index, folder + "/model.safetensors.index.json")
      try write("", folder + "/empty.safetensors")
      try FileManager.default.createDirectory(
        atPath: folder + "/folder.safetensors", withIntermediateDirectories: false)
      let error = weightError { _ = try Checkpoint(directory: folder) }
      #expect(error?.kind == kind && error?.file == folder + "/" + name, "\(error?.description ?? "")")
    }
  }
}
