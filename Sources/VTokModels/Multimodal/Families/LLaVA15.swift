import VTokImage
import VTokWeights

extension MultimodalFamily {
  static let llava15 = MultimodalFamily(
    name: "llava", types: ["llava", "llava_llama", "llava_mistral"],
    summary: "LLaVA-1.5, as llava-hf and the research code publish it",
    text: .llava, placeholder: 32000, languageType: { $0 == "llava_mistral" ? "mistral" : "llama" },
    outline: { try LLaVA.outline($0, $1, .plain) }, processors: [.clip, .siglip, .llava],
    processor: { LLaVA.Variant.plain.isTiled($0) ? .llavaNeXT : .llava }, templates: [.llava], template: LLaVA.template,
    published: [
      PublishedModel("llava-1.5-7b", ["model_type": "llava", "text_config": LLaVA.vicuna7B]),
      PublishedModel("llava-1.5-13b", ["model_type": "llava", "text_config": LLaVA.vicuna13B]),
    ], names: LLaVA.names, needless: LLaVA.needless, gguf: LLaVA.gguf(isTiled: false),
    load: { try LLaVA($0, shape: $1, .plain) })
}

extension LLaVA {
  /// LLaVA-1.5 and LLaVA-NeXT have one name in GGUF files; grids of tiles, or the row that ends their lines, tell them apart.
  static func gguf(isTiled: Bool) -> GGUFProjector {
    GGUFProjector(
      name: "mlp", architectures: ["llama", "qwen2"], last: "mm.2.weight",
      fits: { tower in
        isTiled == (tower.keys.has(grids) || newlines.contains { tower.model.entry($0) != nil })
      }, read: { try read($0, isTiled: isTiled) })
  }

  private static let grids = "image_grid_pinpoints"
  private static let unpadded = "spatial_unpad"
  private static let newlines = ["model.image_newline", "v.image_newline"]

  /// Only the blocks up to the features are in the file.
  private static func read(_ tower: GGUFTower, isTiled: Bool) throws -> GGUFVision {
    let blocks = try tower.blocks
    let layers = try tower.keys.ints("feature_layer", count: 1...64, in: 1...blocks) ?? [blocks]
    var config: [(String, JSON)] = [
      ("vision_config", try tower.config([("image_size", JSON(try tower.side))])),
      ("vision_feature_layer", JSON(layers)),
    ]
    // Width and height are as in the original file, which the published converter does not say: the lists are symmetric.
    if let sides = try tower.keys.ints(grids, count: 2...512, in: 1...8192), isTiled {
      guard sides.count % 2 == 0 else { throw tower.keys.unfit(grids, "pairs of sizes") }
      let pairs = stride(from: 0, to: sides.count, by: 2).map { JSON([sides[$0], sides[$0 + 1]]) }
      config.append((grids, .array(pairs)))
    }
    let merging = "mm_patch_merge_type"
    guard try !isTiled || tower.keys.text(merging) ?? unpadded == unpadded else {
      throw tower.keys.unfit(merging, unpadded)
    }
    let pads = try !isTiled && tower.keys.text("image_aspect_ratio") == "pad"
    let names = try tower.names("vision.encoder.layers.", GGUFTower.encoder).with(
      layers: [
        ("mm.0", "projector.linear_1"), ("mm.2", "projector.linear_2"), ("v.pre_ln", "vision.pre_layrnorm"),
      ],
      [
        "v.class_embd": "vision.embeddings.class_embedding",
        "v.patch_embd.weight": "vision.embeddings.patch_embedding.weight",
        "v.position_embd.weight": "vision.embeddings.position_embedding.weight",
      ].merging(isTiled ? newlines.map { ($0, "image_newline") } : []) { $1 })
    return GGUFVision(config: config, processor: try tower.processor([("do_pad", JSON(pads))]), names: names)
  }

  static let vicuna7B: JSON = ["vocab_size": 32064]
  static let vicuna13B = DecoderSize(width: 5120, layers: 40, heads: 40, kvHeads: 40, ffn: 13824, vocabulary: 32064)
    .config

  static func template(_ language: String, _ knows: (String) -> Bool) -> KnownTemplate? {
    if knows("<|start_header_id|>") { return .llama3 }
    return knows("<|im_start|>") || language.contains("mistral") ? nil : .llava
  }
}

extension VisualText {
  /// One placeholder per token of the image.
  public static let llava = VisualText(placeholder: "<image>", imageInText: "<image>\n")
}

extension ProcessorKind {
  static let clip = ProcessorKind(names: ["CLIPImageProcessor", "CLIPFeatureExtractor"]) { try $0.clip() }

  static let siglip = ProcessorKind(names: ["SiglipImageProcessor"]) { try $0.square() }

  static let llava = ProcessorKind(names: ["LlavaImageProcessor"]) { values in
    var processor = try values.clip()
    // Research checkpoints have no file of their own for this, and say it in config.json.
    let pads = try values.settings.bool(
      "do_pad", !values.hasFile && values.config.string("image_aspect_ratio") == "pad")
    if pads { processor.padToSquare = ImageProcessor.padding(mean: processor.mean) }
    return processor
  }
}

extension KnownTemplate {
  /// llava-hf's LLaVA-1.5.
  static let llava = KnownTemplate(
    name: "llava",
    body: #"""
      {%- for m in messages -%}
        {%- if m.role != 'system' -%}{{ 'USER: ' if m.role == 'user' else 'ASSISTANT: ' }}{%- endif -%}
        {{- images(m, '<image>\n') ~ text(m) ~ ' ' -}}
      {%- endfor -%}
      {{- 'ASSISTANT:' if add_generation_prompt -}}
      """#)
}
