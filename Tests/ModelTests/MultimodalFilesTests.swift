import Foundation
import TestSupport
import Testing
import VTok

/// Vision-language checkpoints as people find them: names of several generations, shards, half precision, gaps.
@Suite struct MultimodalFilesTests {
  typealias Named = (name: String, value: Safetensors.Value)
  /// What a tensor becomes; nil: it goes.
  typealias Change = (Named) -> Named?

  /// A copy of a tiny checkpoint that is gone after `body`.
  /// - Parameters:
  ///   - config: keys that are set, or removed.
  ///   - change: what becomes of every tensor.
  @discardableResult private func withCopy<Result>(
    of name: String, config changes: [String: JSON?] = [:], tensors change: Change = { $0 },
    adding: [Named] = [],
    shards: Int = 1, _ body: (String) throws -> Result
  ) throws -> Result {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("multimodal-tests-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: url) }
    let source = try Checkpoint(directory: TinyModels.folder + name)
    var config = source.config.object!
    for (key, value) in changes { config[key] = value }
    try Data(JSON.object(config).text().utf8).write(to: url.appendingPathComponent("config.json"))
    let file = try Safetensors(source.files[0])
    let tensors = try file.entries.compactMap { change(($0.name, .f32(try file.tensor($0.name)))) } + adding
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

  private func renaming(_ rename: @escaping (String) -> String) -> Change { { (rename($0.name), $0.value) } }
  private func without(_ part: String) -> Change { { $0.name.contains(part) ? nil : $0 } }

  private func logits(_ path: String) throws -> Tensor {
    let model = try MultimodalModel.load(Checkpoint(directory: path))
    return try TinyModels.logits(model, [TinyModels.noise(for: model, seed: 1)]).logits
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
    let expected = try logits(TinyModels.folder + name)
    try withCopy(of: name, tensors: renaming(Self.generations[index].1)) { path in
      let found = try logits(path)
      #expect(found == expected, "\(Self.generations[index].0)")
    }
  }

  @Test func qwenFromMemory() throws {
    let expected = try logits(TinyModels.folder + "qwen25vl-tiny-a")
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
    let expected = try logits(TinyModels.folder + "idefics3-tiny-a")
    try withCopy(of: "idefics3-tiny-a", shards: 3) { path in
      #expect(try logits(path) == expected)
      try FileManager.default.removeItem(atPath: path + "/model-1.safetensors")
      let error = #expect(throws: WeightError.self) { try logits(path) }
      #expect(error?.kind == .missingFile && error?.file == path + "/model-1.safetensors")
    }
  }

  @Test func halfPrecision() throws {
    let expected = try logits(TinyModels.folder + "llava15-tiny-d")
    let halve: Change = { tensor in
      if case .f32(let values) = tensor.value { (tensor.name, .f16(values)) } else { tensor }
    }
    try withCopy(of: "llava15-tiny-d", tensors: halve) { path in
      let half = try logits(path)
      #expect(half != expected && distance(half.values, expected.values) < 0.05)
    }
  }

  @Test func aMissingTensorIsNamedAsInTheFile() throws {
    for (name, tensor) in [
      ("llava15-tiny-d", "language_model.model.layers.2.mlp.up_proj.weight"),
      ("llava15-tiny-d", "multi_modal_projector.linear_2.weight"),
      ("llavanext-tiny-d", "image_newline"), ("qwen2vl-tiny-a", "visual.blocks.1.attn.qkv.weight"),
      ("idefics3-tiny-a", "lm_head.weight"),
      ("idefics3-tiny-a", "model.text_model.norm.weight"),
    ] {
      try withCopy(of: name, tensors: without(tensor)) { path in
        let error = #expect(throws: WeightError.self) { try logits(path) }
        #expect(error?.kind == .missingTensor && error?.tensor == tensor, "\(error?.description ?? "")")
      }
    }
  }

  @Test func unknownTensorsAreRefused() throws {
    let extra = ("model.layers.0.self_attn.q_norm.weight", Safetensors.Value.f32(Tensor(zeros: [2, 2])))
    try withCopy(of: "qwen2vl-tiny-a", adding: [extra]) { path in
      let error = #expect(throws: ModelError.self) { try logits(path) }
      #expect(error == .unknownTensors(["model.layers.0.self_attn.q_norm.weight"]))
    }
    let needless: [Named] = [
      ("language_model.model.layers.0.self_attn.rotary_emb.inv_freq", .f32(Tensor(zeros: [2]))),
      ("vision_tower.vision_model.embeddings.position_ids", .i64([0, 1], shape: [1, 2])),
    ]
    try withCopy(of: "llava15-tiny-d", adding: needless) { path in #expect(throws: Never.self) { try logits(path) } }
  }

  @Test func aTowerThatIsNotThere() throws {
    let rename = Self.generations[3].1
    let change: Change = { $0.name.contains("vision_tower") ? nil : (rename($0.name), $0.value) }
    try withCopy(
      of: "llava15-tiny-d", config: ["mm_vision_tower": "openai/clip-vit-large-patch14-336"], tensors: change
    ) { path in
      let error = #expect(throws: ModelError.self) { try logits(path) }
      #expect(error?.description.contains("whose weights are not in this folder") == true)
    }
  }

  @Test func anUnknownFamily() throws {
    try withCopy(of: "llava15-tiny-d", config: ["model_type": "kosmos-2"]) { path in
      let error = #expect(throws: ModelError.self) { try logits(path) }
      #expect(error?.description.contains("'kosmos-2'") == true)
      #expect(error?.description.contains("expected one of llava") == true)
    }
    #expect(MultimodalModel.matches(["model_type": "qwen2_5_vl"]) && !MultimodalModel.matches(["model_type": "clip"]))
  }

  // MARK: Configurations

  /// Text keys at the top, rotary positions as old files write them.
  @Test func oldQwen() throws {
    let expected = try logits(TinyModels.folder + "qwen2vl-tiny-a")
    let text = try Checkpoint(directory: TinyModels.folder + "qwen2vl-tiny-a").config["text_config"]!
    var changes: [String: JSON?] = Dictionary(uniqueKeysWithValues: text.object!.map { ($0.key, $0.value) })
    changes["model_type"] = "qwen2_vl"
    changes["rope_parameters"] = .some(nil)
    changes["text_config"] = .some(nil)
    changes["rope_theta"] = text["rope_parameters"]!["rope_theta"]
    changes["rope_scaling"] = ["type": "mrope", "mrope_section": [2, 2, 2]]
    try withCopy(of: "qwen2vl-tiny-a", config: changes) { path in
      let found = try logits(path)
      #expect(found == expected)
    }
  }

  @Test func classTokenKept() throws {
    try withCopy(of: "llava15-tiny-d", config: ["vision_feature_select_strategy": "full"]) { path in
      let model = try MultimodalModel.load(Checkpoint(directory: path))
      let image = TinyModels.noise(for: model, seed: 2)
      let result = try TinyModels.logits(model, [image])
      #expect(try model.spans(of: image) == [65] && result.run.images[0].spans == [2..<67])
      #expect(result.tokens.kind[2] == .classifier)
    }
    try withCopy(of: "llavanext-tiny-d", config: ["vision_feature_select_strategy": "full"]) { path in
      #expect(throws: ModelError.self) { try logits(path) }
    }
  }

  /// SmolVLM-2.2B takes 384 pixels in 27 patches of 14: what does not fill a patch is not seen.
  @Test func edgesThatDoNotFillAPatch() throws {
    let vision = try Checkpoint(directory: TinyModels.folder + "idefics3-tiny-a").config["vision_config"]!
    var wider = vision.object!
    wider["image_size"] = 38
    try withCopy(of: "idefics3-tiny-a", config: ["vision_config": .object(wider)]) { path in
      let model = try MultimodalModel.load(Checkpoint(directory: path))
      var generator = SeededGenerator(seed: 1)
      let whole = Tensor((0..<3 * 38 * 38).map { _ in generator.normal() }, shape: [3, 38, 38])
      let inner = (0..<3).flatMap { channel in
        (0..<32).flatMap { row in (0..<32).map { whole.values[(channel * 38 + row) * 38 + $0] } }
      }
      func features(_ tile: Tensor, visible: Size? = nil) throws -> [Tensor] {
        var run = Run(.dense(model.shape))
        let image = PreparedImage(tiles: [tile], original: Size(38), visible: visible.map { [$0] })
        return try model.encode([image], run: &run)[0].map(\.x)
      }
      let expected = try features(Tensor(inner, shape: [3, 32, 32]))
      #expect(try features(whole) == expected && features(whole, visible: Size(width: 38, height: 35)) == expected)
      #expect(try features(whole, visible: Size(width: 38, height: 24)) != expected)
    }
  }

  @Test func squaresThatDoNotFillTheGrid() throws {
    try withCopy(of: "idefics3-tiny-a", config: ["scale_factor": 3]) { path in
      let error = #expect(throws: ModelError.self) { try logits(path) }
      #expect(error?.description.contains("'scale_factor' is 3, expected a divisor of the 4 patches") == true)
    }
  }

  /// Features of several layers, beside each other.
  @Test func severalFeatureLayers() throws {
    func features(_ layer: JSON) throws -> Tensor {
      let layers = layer.ints?.count ?? 1
      let widen: Change = { tensor in
        guard tensor.name == "multi_modal_projector.linear_1.weight", case .f32(let x) = tensor.value else {
          return tensor
        }
        return (tensor.name, .f32(Tensor(sideBySide: [Tensor](repeating: x, count: layers))))
      }
      return try withCopy(of: "llava15-tiny-d", config: ["vision_feature_layer": layer], tensors: widen) { path in
        let model = try MultimodalModel.load(Checkpoint(directory: path))
        var run = Run(.dense(model.shape))
        return try model.tower(TinyModels.noise(for: model, seed: 3), run: &run).leaving[0]
      }
    }
    let joined = try features([-2, 1, -1])
    #expect(joined == Tensor(sideBySide: [try features(-2), try features(1), try features(-1)]))
  }
}
