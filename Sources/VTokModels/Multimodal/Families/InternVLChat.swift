import VTokImage
import VTokWeights

extension MultimodalFamily {
  /// InternVL in the authors' folders: other keys, names and tokenizer files, and a processor that no file describes.
  static let internVLChat = MultimodalFamily(
    name: "internvl-chat", types: ["internvl_chat"], summary: "InternVL3 and 3.5 as OpenGVLab publishes them",
    text: .internVL("<image>"), placeholder: 151_667, languageSection: "llm_config", languageType: { _ in "qwen2" },
    outline: { config, decoder in
      guard try config.string("ps_version") ?? "v1" == "v2" else { throw config.unfit("ps_version", "v2") }
      return try InternVL.outline(config, decoder, .authors)
    },
    readsProcessorFile: false, processor: { _ in .internVLChat },
    templates: [.internVLImage, .internVL25], template: { _, _ in .internVL25 }, templateKey: "template",
    turnEnd: "<|im_end|>", published: [], names: { _ in names }, load: { try InternVL($0, shape: $1, .authors) })

  private static let names = NamePrefixes.common.but([
    ("mlp1.0.", "projector.layer_norm."), ("mlp1.1.", "projector.linear_1."), ("mlp1.3.", "projector.linear_2."),
  ])
}

extension InternVL.Layout {
  static let authors = InternVL.Layout(
    biases: "qkv_bias", norms: "qk_normalization", layer: "select_layer",
    size: TransformerSize(layers: 48, width: 3200, heads: 25, ffn: 12800), side: 224, norm: "rms_norm", isNormed: true,
    names: InternVL.Names(
      classifier: "embeddings.class_embedding", positions: "embeddings.position_embedding",
      patches: "embeddings.patch_embedding", blocks: "encoder.layers", norm1: "norm1", norm2: "norm2",
      qkv: ["attn.qkv"], queryNorm: "attn.q_norm", keyNorm: "attn.k_norm", output: "attn.proj", scale1: "ls1",
      scale2: "ls2"))
}

extension ProcessorKind {
  /// No file names it: all its values stand in `config.json`.
  static let internVLChat = ProcessorKind(names: []) { values in
    let config = values.config
    let side = try config.side("force_image_size") ?? config.section("vision_config").side("image_size") ?? 224
    let isCut = try config.bool("dynamic_image_size", false)
    let least = isCut ? try config.int("min_dynamic_patch", 1, in: 1...ProcessorValues.tileLimit) : 1
    let most = isCut ? try config.int("max_dynamic_patch", 6, in: 1...ProcessorValues.tileLimit) : 1
    guard least <= most else { throw config.unfit("max_dynamic_patch", "at least the \(least) of min_dynamic_patch") }
    return AspectTilesProcessor(
      pixels: try values.pixels(
        filter: .bicubic, mean: ImageProcessor.imagenetMean, std: ImageProcessor.imagenetStd),
      tile: Size(side), tiles: least...most, hasThumbnail: try config.bool("use_thumbnail", false))
  }
}

extension KnownTemplate {
  /// The authors' `internvl2_5`: ChatML whose system sentence presents the model, in Chinese.
  static let internVL25 = KnownTemplate(
    name: "internvl2_5",
    body: #"""
      {%- if messages[0].role != 'system' -%}
        {{- '<|im_start|>system\n你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的'
          ~ '多模态大语言模型。<|im_end|>\n' -}}
      {%- endif -%}

      """# + internVLImage.body)
}
