import VTokImage
import VTokWeights

extension MultimodalFamily {
  /// LLaVA-OneVision in its authors' folders: the keys of the language model at the top of `config.json`, a tower that is known by
  /// its name, a processor that no file describes, and a tokenizer without the tokens that stand for images and videos.
  static let llavaQwen = MultimodalFamily(
    name: "llava-qwen", types: ["llava_qwen", "llava"], summary: "LLaVA-OneVision as lmms-lab publishes it",
    claims: { config in
      config["mm_vision_tower"] != nil && config["image_aspect_ratio"]?.string?.hasPrefix("anyres_max") == true
    },
    text: .llavaOneVision, placeholder: 151_646,
    ownTokens: [("<image>", "image_token_index", 151_646), ("<video>", "video_token_index", 151_647)],
    languageType: { _ in "qwen2" },
    outline: { config, decoder in
      try LLaVA.checkQwen(config)
      return try LLaVA.outline(config, decoder, .qwen)
    },
    namesProcessor: { $0 == LLaVA.qwenTower }, processor: { _ in .llavaQwen }, template: { _, _ in nil },
    published: [], needless: LLaVA.needless, load: { try LLaVA($0, shape: $1, .qwen) })
}

extension LLaVA {
  /// The only tower whose shape and processor are known by its name.
  static let qwenTower = "google/siglip-so400m-patch14-384"

  /// Refuses what a folder does not say, and values with which the authors' code does something else.
  static func checkQwen(_ config: Config) throws {
    for (key, expected) in [("mm_patch_merge_type", "spatial_unpad")] {
      guard try config.string(key) == expected else { throw config.unfit(key, "'\(expected)'") }
    }
    for (key, expected) in [
      ("mm_projector_type", "mlp2x_gelu"), ("mm_vision_select_feature", "patch"), ("mm_spatial_pool_mode", "bilinear"),
      ("mm_newline_position", "one_token"),
    ] {
      guard try config.string(key) ?? expected == expected else { throw config.unfit(key, "'\(expected)' or nothing") }
    }
    for key in ["mm_resampler_type", "vision_feature_layer", "vision_feature_select_strategy"] where config.has(key) {
      throw config.unfit(key, "nothing")
    }
    // The tower has one block more than its files: its last state but one leaves the last block that is there.
    guard try config.intOrInts("mm_vision_select_layer") == [-2] else {
      throw config.unfit("mm_vision_select_layer", "-2")
    }
    let tower = try config.string("mm_vision_tower")
    guard tower == qwenTower || tower != nil && config.has("vision_config") else {
      throw config.unfit("mm_vision_tower", "'\(qwenTower)', or a vision_config that says what it is")
    }
    // The authors write width before height; where both orders are there, nobody has to know.
    let grids = try config.pairs("image_grid_pinpoints") ?? []
    guard !grids.isEmpty, grids.allSatisfy({ grids.contains([$0[1], $0[0]]) }) else {
      throw config.unfit("image_grid_pinpoints", "a list of [side, side] that holds each pair both ways")
    }
  }
}

extension LLaVA.Variant {
  static let qwen = LLaVA.Variant(
    isTiled: { _ in true },
    absentVision: TransformerSize(layers: 27, width: 1152, heads: 16, ffn: 4304).config([
      "model_type": "siglip_vision_model", "image_size": 384, "patch_size": 14,
    ]), strategy: "full", lacksLastBlock: true, gridLimit: ("image_aspect_ratio", nil))
}

extension ProcessorKind {
  /// No file names it: SigLIP's values with the grids of `config.json`.
  static let llavaQwen = ProcessorKind(names: []) {
    try $0.oneVision(mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5])
  }
}
