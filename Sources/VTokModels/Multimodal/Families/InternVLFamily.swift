import VTokImage
import VTokWeights

extension MultimodalFamily {
  static let internVL = MultimodalFamily(
    name: "internvl", types: ["internvl"], summary: "InternVL3 and 3.5 as transformers has them",
    text: .internVL, placeholder: 151_667, languageType: { _ in "qwen2" }, isTiedByDefault: true,
    outline: { try InternVL.outline($0, $1, .transformers) }, processors: [.internVL], processor: { _ in .internVL },
    templates: [.internVL], template: { _, _ in .internVL },
    published: [
      published(
        "internvl3-1b", "qwen2",
        DecoderSize(width: 896, layers: 24, heads: 14, kvHeads: 2, ffn: 4864, vocabulary: 151674, theta: 1e6)),
      published(
        "internvl3-8b", "qwen2",
        DecoderSize(width: 3584, layers: 28, heads: 28, kvHeads: 4, ffn: 18944, vocabulary: 151674, theta: 1e6)),
      published(
        "internvl3.5-1b", "qwen3",
        DecoderSize(
          width: 1024, layers: 28, heads: 16, kvHeads: 8, ffn: 3072, vocabulary: 151936, theta: 1e6, headDim: 128)),
      published(
        "internvl3.5-8b", "qwen3",
        DecoderSize(
          width: 4096, layers: 36, heads: 32, kvHeads: 8, ffn: 12288, vocabulary: 151936, theta: 1e6, headDim: 128)),
    ], gguf: InternVL.gguf, load: { try InternVL($0, shape: $1, .transformers) })

  /// All towers are InternViT-300M.
  private static func published(_ name: String, _ language: String, _ text: DecoderSize) -> PublishedModel {
    var section = text.config.object!
    section["model_type"] = JSON(language)
    return PublishedModel(
      name,
      [
        "model_type": "internvl", "text_config": .object(section), "tie_word_embeddings": false,
        "vision_config": ["attention_bias": true],
      ])
  }
}

extension InternVL.Layout {
  static let transformers = InternVL.Layout(
    biases: "attention_bias", norms: "use_qk_norm", layer: "vision_feature_layer", size: .large, side: 448,
    norm: "layer_norm", isNormed: false,
    names: InternVL.Names(
      classifier: "embeddings.cls_token", positions: "embeddings.position_embeddings",
      patches: "embeddings.patch_embeddings.projection", blocks: "encoder.layer", norm1: "layernorm_before",
      norm2: "layernorm_after", qkv: ["attention.q_proj", "attention.k_proj", "attention.v_proj"],
      queryNorm: "attention.q_norm", keyNorm: "attention.k_norm", output: "attention.projection_layer",
      scale1: "lambda_1", scale2: "lambda_2"))
}

extension VisualText {
  /// One placeholder per token of the image, all tiles behind each other, between two marks.
  public static let internVL = internVL("<IMG_CONTEXT>")

  /// - Parameter mark: stands for an image in templates.
  static func internVL(_ mark: String) -> VisualText {
    VisualText(placeholder: "<IMG_CONTEXT>", image: mark, imageInText: mark + "\n", mark: mark) { _, _, spans in
      "<img>" + spans.joined() + "</img>"
    }
  }
}

extension ProcessorKind {
  static let internVL = ProcessorKind(names: ["GotOcr2ImageProcessor"]) { values in
    let settings = values.settings
    let side = try values.config.section("vision_config").side("image_size") ?? 448
    let least = try settings.int("min_patches", 1, in: 1...ProcessorValues.tileLimit)
    let most = try settings.int("max_patches", 12, in: 1...ProcessorValues.tileLimit)
    guard least <= most else { throw settings.unfit("max_patches", "at least the \(least) of min_patches") }
    // `crop_to_patches` says nothing: InternVL cuts images whatever it is.
    return AspectTilesProcessor(
      pixels: try values.pixels(
        filter: .bicubic, mean: ImageProcessor.imagenetMean, std: ImageProcessor.imagenetStd),
      tile: try settings.size("size") ?? Size(side), tiles: least...most)
  }
}

extension KnownTemplate {
  /// ChatML without a system sentence, images before the text.
  static let internVL = KnownTemplate(name: "internvl", body: turns("<IMG_CONTEXT>"))
  /// The same in the authors' folders.
  static let internVLImage = KnownTemplate(name: "internvl-image", body: turns("<image>"))

  private static func turns(_ mark: String) -> String {
    #"""
    {%- for m in messages -%}
      {{- '<|im_start|>' ~ m.role ~ '\n' -}}
      {%- for p in m.content -%}{{ 'MARK\n' if p.type == 'image' else p.text }}{%- endfor -%}
      {{- '<|im_end|>\n' -}}
    {%- endfor -%}
    {{- '<|im_start|>assistant\n' if add_generation_prompt -}}
    """#.replacing("MARK", with: mark)
  }
}
