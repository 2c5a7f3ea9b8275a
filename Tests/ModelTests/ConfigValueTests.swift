import Foundation
import TestSupport
import Testing
import VTok

/// Values of configurations that look like numbers, names or lists and are none: refused with file and key.
@Suite struct ConfigValueTests {
  /// The error of loading `vtok-tiny` with another value at a path of its configuration; nil if it loads.
  private func timm(_ path: [String], _ value: JSON) throws -> ModelError? {
    func changed(_ json: JSON, _ path: ArraySlice<String>) -> JSON {
      guard let key = path.first else { return value }
      var members = json.object ?? JSONObject()
      members[key] = changed(members[key] ?? [:], path.dropFirst())
      return .object(members)
    }
    let folder = ConfigFuzzTests.repository + "/Sources/CVTokTiny"
    let config = changed(try JSON(contentsOf: folder + "/config.json"), path[...])
    do {
      _ = try VisionModel.load(Checkpoint(file: folder + "/model.safetensors", config: config))
      return nil
    } catch let error as ModelError {
      return error
    }
  }

  static let badTransforms: [(String, JSON)] = [
    ("mean", ["x", "y", "z"] as JSON), ("mean", [0.5, 0.5]), ("mean", 0.5), ("mean", [.number(.nan), 0, 0]),
    ("std", [0, 1, 1]), ("std", [-1, 1, 1]), ("std", [1, .number(.infinity), 1]), ("std", [1, 1, .number(.nan)]),
    ("std", "x"), ("crop_pct", .number(.nan)), ("crop_pct", 0), ("crop_pct", -1), ("crop_pct", "x"), ("crop_pct", 1e12),
    ("crop_mode", "border"), ("crop_mode", 3), ("interpolation", "sinc"), ("input_size", [3, 64]),
    ("input_size", [3, 64, 0]), ("input_size", [1, 64, 64]), ("input_size", [3, 64, 1_000_000_000_000]),
    ("label_names", ["cat", "dog"]), ("label_names", [1, 2]), ("label_names", "cat"),
  ]

  @Test(arguments: badTransforms) func transforms(_ key: String, _ value: JSON) throws {
    let error = try timm(["pretrained_cfg", key], value)
    guard case .configuration("config.json", let path, _, let expected) = error else {
      Issue.record("\(key) \(value): \(String(describing: error))")
      return
    }
    #expect(path.hasPrefix("pretrained_cfg.\(key)") && !expected.isEmpty)
  }

  static let badSizes: [(String, JSON)] = [
    ("embed_dim", "x" as JSON), ("depth", 3), ("num_heads", 5), ("num_heads", 0), ("num_heads", .number(.infinity)),
    ("num_classes", -1), ("img_size", 1e12),
  ]

  @Test(arguments: badSizes) func sizesThatTheWeightsHaveNot(_ key: String, _ value: JSON) throws {
    let error = try #require(try timm(["model_args", key], value))
    #expect("\(error)".contains(key), "\(error)")
  }

  /// The tensor itself says so.
  @Test(arguments: [("embed_dim", 191 as JSON), ("patch_size", 8)])
  func shapesThatTheWeightsHaveNot(_ key: String, _ value: JSON) throws {
    let error = #expect(throws: WeightError.self) { try timm(["model_args", key], value) }
    #expect("\(String(describing: error))".contains("patch_embed.proj.weight"))
  }

  /// Of a Hugging Face processor, where nothing but the value is wrong.
  @Test(arguments: [
    (#"{"image_mean": ["x", 0, 0]}"#, "image_mean"), (#"{"image_mean": [0.5, 0.5]}"#, "image_mean"),
    (#"{"image_mean": 0.5}"#, "image_mean"), (#"{"image_std": [1, 0, 1]}"#, "image_std"),
    (#"{"image_std": [1, -1, 1]}"#, "image_std"), (#"{"image_std": [1, NaN, 1]}"#, "image_std"),
    (#"{"image_std": [1, Infinity, 1]}"#, "image_std"), (#"{"rescale_factor": 0}"#, "rescale_factor"),
    (#"{"rescale_factor": NaN}"#, "rescale_factor"), (#"{"rescale_factor": "x"}"#, "rescale_factor"),
    (#"{"resample": 5}"#, "resample"), (#"{"resample": 1.5}"#, "resample"), (#"{"resample": "cubic"}"#, "resample"),
    (#"{"size": 0}"#, "size"), (#"{"size": {"shortest_edge": 1e12}}"#, "size.shortest_edge"),
    (#"{"size": {"height": 5}}"#, "size"), (#"{"size": {"height": 5, "width": -5}}"#, "size.width"),
    (#"{"crop_size": "x"}"#, "crop_size"), (#"{"do_resize": 1}"#, "do_resize"),
    (#"{"do_rescale": "no"}"#, "do_rescale"),
    (#"{"do_normalize": []}"#, "do_normalize"), (#"{"do_center_crop": "yes"}"#, "do_center_crop"),
  ]) func processors(_ text: String, _ key: String) throws {
    let json = try JSON(parsing: text, dialect: .python)
    let error = #expect(throws: ModelError.self) {
      try TowerProcessor.read(ProcessorFile(json), standard: .clip)
    }
    guard case .configuration(let file, let found, _, _) = error else { return }
    #expect(file == "preprocessor_config.json" && found == key)
  }

  /// Sizes within their ranges that no cost could be counted for.
  @Test(arguments: [
    #"{"model_type": "vit", "hidden_size": 65536, "num_attention_heads": 1024, "num_hidden_layers": 1024}"#,
    #"{"model_type": "vit", "image_size": 8192, "patch_size": 1}"#,
    #"{"architecture": "vit_small_patch16_99999999999", "pretrained_cfg": {"input_size": [3, 8192, 8192]}, "model_args": {"patch_size": 2}}"#,
    #"{"model_type": "llava", "text_config": {"hidden_size": 65536, "num_hidden_layers": 1024, "intermediate_size": 65536}}"#,
    #"{"model_type": "llava", "text_config": {"head_dim": 65536}}"#,
    #"{"model_type": "qwen2_vl", "vision_config": {"embed_dim": 65536, "num_heads": 16, "spatial_merge_size": 16}}"#,
    #"{"model_type": "llava", "text_config": {"mod_target_layers": "shiftedcos_decay_nan_inf"}}"#,
    #"{"model_type": "llava", "text_config": {"mod_target_layers": "deep_all", "mod_weight_norm": ""}}"#,
    #"{"model_type": "llava", "vision_feature_layer": -9223372036854775808}"#,
    #"{"model_type": "qwen2_vl", "rope_scaling": {"type": "mrope", "mrope_section": [-64, 64, 64]}}"#,
  ]) func modelsThatNobodyHas(_ text: String) throws {
    #expect(throws: ModelError.self) { try Shape(config: JSON(parsing: text)) }
  }

  /// A decoder too shallow for deep routers has none.
  @Test func shallowDecoders() throws {
    let text = #"{"model_type": "llava", "text_config": {"mod_target_layers": "deep_all", "num_hidden_layers": 1}}"#
    #expect(try Shape(config: JSON(parsing: text)).decoder?.layers == 1)
  }
}
