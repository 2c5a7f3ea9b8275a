import Foundation
import Testing
import VTok

/// Vision-language checkpoints as people find them: names of several generations, shards, half precision, gaps.
@Suite struct MultimodalFilesTests {
  typealias Named = (name: String, value: Safetensors.Value)

  /// A copy of a tiny checkpoint, with other tensors and configuration, that is gone after `body`.
  @discardableResult private func withCopy<Result>(
    of name: String, config change: (inout JSONObject) -> Void = { _ in }, tensors map: ([Named]) -> [Named] = { $0 },
    shards: Int = 1, _ body: (String) throws -> Result
  ) throws -> Result {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("multimodal-tests-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: url) }
    let source = try Checkpoint(directory: MultimodalTests.folder + name)
    var config = source.config.object!
    change(&config)
    try Data(JSON.object(config).text().utf8).write(to: url.appendingPathComponent("config.json"))
    let file = try Safetensors(source.files[0])
    let tensors = map(try file.entries.map { ($0.name, .f32(try file.tensor($0.name))) })
    if shards == 1 {
      try Safetensors.write(tensors.map { ($0.name, $0.value) }, to: url.path + "/model.safetensors")
    } else {
      var index = JSONObject()
      for shard in 0..<shards {
        let part = tensors.enumerated().filter { $0.offset % shards == shard }.map(\.element)
        try Safetensors.write(part.map { ($0.name, $0.value) }, to: url.path + "/model-\(shard).safetensors")
        for tensor in part { index[tensor.name] = JSON("model-\(shard).safetensors") }
      }
      try Data(JSON.object(JSONObject([("weight_map", .object(index))])).text().utf8).write(
        to: url.appendingPathComponent("model.safetensors.index.json"))
    }
    return try body(url.path)
  }

  private func renaming(_ rename: @escaping (String) -> String) -> ([Named]) -> [Named] {
    { $0.map { (rename($0.name), $0.value) } }
  }

  private func logits(_ path: String) throws -> Tensor {
    let model = try MultimodalModel.load(Checkpoint(directory: path))
    return try MultimodalTests.logits(model, [MultimodalTests.noise(for: model, seed: 1)]).logits
  }

  // MARK: Names

  /// From the names of the golden file (`language_model.model.`, `vision_tower.`) to the other generations.
  static let generations: [(String, @Sendable (String) -> String)] = [
    (
      "published by llava-hf",
      { $0.hasPrefix("vision_tower.") ? "vision_tower.vision_model." + $0.dropFirst(13) : $0 }
    ),
    (
      "transformers 4.52",
      { name in
        if name.hasPrefix("language_model.lm_head") { return String(name.dropFirst(15)) }
        if name.hasPrefix("language_model.model.") { return "model.language_model." + name.dropFirst(21) }
        return "model." + (name.hasPrefix("vision_tower.") ? "vision_tower.vision_model." + name.dropFirst(13) : name)
      }
    ),
    (
      "transformers 5 from memory",
      { name in
        if name.hasPrefix("language_model.lm_head") { return String(name.dropFirst(15)) }
        return "model."
          + (name.hasPrefix("language_model.model.") ? "language_model." + name.dropFirst(21) : name)
      }
    ),
    (
      "research code",
      { name in
        let name =
          name.replacingOccurrences(of: "multi_modal_projector.linear_1", with: "model.mm_projector.0")
          .replacingOccurrences(of: "multi_modal_projector.linear_2", with: "model.mm_projector.2")
        if name.hasPrefix("language_model.") { return String(name.dropFirst(15)) }
        if name == "image_newline" { return "model.image_newline" }
        return name.hasPrefix("vision_tower.")
          ? "model.vision_tower.vision_tower.vision_model." + name.dropFirst(13) : name
      }
    ),
  ]

  @Test(arguments: 0..<generations.count, ["llava15-tiny-d", "llavanext-tiny-d"])
  func everyGenerationOfNames(_ index: Int, name: String) throws {
    let expected = try logits(MultimodalTests.folder + name)
    try withCopy(of: name, tensors: renaming(Self.generations[index].1)) { path in
      let found = try logits(path)
      #expect(found == expected, "\(Self.generations[index].0)")
    }
  }

  @Test func qwenFromMemory() throws {
    let expected = try logits(MultimodalTests.folder + "qwen25vl-tiny-a")
    let rename: (String) -> String = {
      $0.hasPrefix("visual.") ? "model." + $0 : $0.hasPrefix("model.") ? "model.language_model." + $0.dropFirst(6) : $0
    }
    try withCopy(of: "qwen25vl-tiny-a", tensors: renaming(rename)) { path in
      let found = try logits(path)
      #expect(found == expected)
    }
  }

  // MARK: Files

  @Test func shards() throws {
    let expected = try logits(MultimodalTests.folder + "idefics3-tiny-a")
    try withCopy(of: "idefics3-tiny-a", shards: 3) { path in
      #expect(try logits(path) == expected)
      try FileManager.default.removeItem(atPath: path + "/model-1.safetensors")
      let error = #expect(throws: WeightError.self) { try logits(path) }
      #expect(error?.kind == .missingFile && error?.file == path + "/model-1.safetensors")
    }
  }

  @Test func halfPrecision() throws {
    let expected = try logits(MultimodalTests.folder + "llava15-tiny-d")
    try withCopy(
      of: "llava15-tiny-d",
      tensors: { tensors in
        tensors.map { tensor in
          guard case .f32(let values) = tensor.value else { return tensor }
          return (tensor.name, .f16(values))
        }
      }
    ) { path in
      let half = try logits(path)
      #expect(half != expected && distance(half.values, expected.values) < 0.05)
    }
  }

  @Test func aMissingTensorIsNamedAsInTheFile() throws {
    try withCopy(of: "llava15-tiny-d", tensors: { $0.filter { !$0.name.hasSuffix("layers.2.mlp.up_proj.weight") } }) {
      path in
      let error = #expect(throws: WeightError.self) { try logits(path) }
      #expect(error?.kind == .missingTensor && error?.tensor == "language_model.model.layers.2.mlp.up_proj.weight")
    }
    try withCopy(of: "llavanext-tiny-d", tensors: { $0.filter { $0.name != "image_newline" } }) { path in
      let error = #expect(throws: WeightError.self) { try logits(path) }
      #expect(error?.tensor == "image_newline")
    }
    try withCopy(of: "qwen2vl-tiny-a", tensors: { $0.filter { $0.name != "visual.blocks.1.attn.qkv.bias" } }) { path in
      // A bias may be absent from a linear layer; there is no telling whether it should be.
      #expect(throws: Never.self) { try logits(path) }
    }
  }

  @Test func unknownTensorsAreRefused() throws {
    let extra: ([Named]) -> [Named] = { $0 + [("model.layers.0.lora_A.weight", .f32(Tensor(zeros: [2, 2])))] }
    try withCopy(of: "qwen2vl-tiny-a", tensors: extra) { path in
      let error = #expect(throws: ModelError.self) { try logits(path) }
      #expect(error == .unknownTensors(["model.layers.0.lora_A.weight"]))
    }
    let needless: ([Named]) -> [Named] = {
      $0 + [
        ("language_model.model.layers.0.self_attn.rotary_emb.inv_freq", .f32(Tensor(zeros: [2]))),
        ("vision_tower.vision_model.embeddings.position_ids", .i64([0, 1], shape: [1, 2])),
      ]
    }
    try withCopy(of: "llava15-tiny-d", tensors: needless) { path in #expect(throws: Never.self) { try logits(path) } }
  }

  @Test func aTowerThatIsNotThere() throws {
    let rename = Self.generations[3].1
    try withCopy(
      of: "llava15-tiny-d", config: { $0["mm_vision_tower"] = "openai/clip-vit-large-patch14-336" },
      tensors: { [self] in renaming(rename)($0).filter { !$0.name.contains("vision_tower") } }
    ) { path in
      let error = #expect(throws: ModelError.self) { try logits(path) }
      #expect(error?.description.contains("whose weights are not in this folder") == true)
    }
  }

  @Test func anUnknownFamily() throws {
    try withCopy(of: "llava15-tiny-d", config: { $0["model_type"] = "kosmos-2" }) { path in
      let error = #expect(throws: ModelError.self) { try logits(path) }
      #expect(error?.description.contains("'kosmos-2', expected one of llava") == true)
    }
    #expect(MultimodalModel.matches(["model_type": "qwen2_5_vl"]) && !MultimodalModel.matches(["model_type": "clip"]))
  }

  // MARK: Configurations

  /// Text keys at the top, rotary positions as old files write them.
  @Test func oldQwen() throws {
    let expected = try logits(MultimodalTests.folder + "qwen2vl-tiny-a")
    try withCopy(
      of: "qwen2vl-tiny-a",
      config: { config in
        let text = config["text_config"]!.object!
        for (key, value) in text where key != "model_type" && key != "rope_parameters" { config[key] = value }
        config["text_config"] = nil
        config["rope_theta"] = text["rope_parameters"]!["rope_theta"]
        config["rope_scaling"] = ["type": "mrope", "mrope_section": [2, 2, 2]]
      }
    ) { path in
      let found = try logits(path)
      #expect(found == expected)
    }
  }

  @Test func classTokenKept() throws {
    try withCopy(of: "llava15-tiny-d", config: { $0["vision_feature_select_strategy"] = "full" }) { path in
      let model = try MultimodalModel.load(Checkpoint(directory: path))
      let image = MultimodalTests.noise(for: model, seed: 2)
      let result = try MultimodalTests.logits(model, [image])
      #expect(try model.spans(of: image) == [65] && result.run.images[0].spans == [2..<67])
      #expect(result.tokens.kind[2] == .classifier)
    }
    try withCopy(of: "llavanext-tiny-d", config: { $0["vision_feature_select_strategy"] = "full" }) { path in
      #expect(throws: ModelError.self) { try logits(path) }
    }
  }

  /// Features of several layers, beside each other.
  @Test func severalFeatureLayers() throws {
    func features(_ layer: JSON) throws -> Tensor {
      let layers = layer.ints?.count ?? 1
      return try withCopy(
        of: "llava15-tiny-d", config: { $0["vision_feature_layer"] = layer },
        tensors: { tensors in
          tensors.map { tensor in
            guard tensor.name == "multi_modal_projector.linear_1.weight", case .f32(let x) = tensor.value else {
              return tensor
            }
            return (tensor.name, .f32(Tensor(sideBySide: [Tensor](repeating: x, count: layers))))
          }
        }
      ) { path in
        let model = try MultimodalModel.load(Checkpoint(directory: path))
        var run = Run(.dense(model.shape))
        return try model.tower(MultimodalTests.noise(for: model, seed: 3), run: &run).leaving[0]
      }
    }
    let joined = try features([-2, 1, -1])
    #expect(joined == Tensor(sideBySide: [try features(-2), try features(1), try features(-1)]))
  }
}
