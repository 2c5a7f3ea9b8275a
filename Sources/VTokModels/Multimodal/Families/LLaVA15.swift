import VTokImage
import VTokWeights

extension MultimodalFamily {
  static let llava15 = MultimodalFamily(
    name: "llava", types: ["llava", "llava_llama", "llava_mistral"],
    summary: "LLaVA-1.5, as llava-hf and the research code publish it",
    text: .llava, placeholder: 32000, languageType: { $0 == "llava_mistral" ? "mistral" : "llama" },
    outline: { try LLaVA.outline($0, $1, isTiled: LLaVA.namesGrids($0)) }, processors: [.clip, .llava],
    processor: { LLaVA.namesGrids($0) ? .llavaNeXT : .llava }, templates: [.llava], template: LLaVA.template,
    published: [
      PublishedModel("llava-1.5-7b", ["model_type": "llava", "text_config": LLaVA.vicuna7B]),
      PublishedModel("llava-1.5-13b", ["model_type": "llava", "text_config": LLaVA.vicuna13B]),
    ], names: LLaVA.names, needless: LLaVA.needless, load: { try LLaVA($0, shape: $1) })
}

extension LLaVA {
  static let vicuna7B: JSON = ["vocab_size": 32064]
  static let vicuna13B = DecoderSize(width: 5120, layers: 40, heads: 40, kvHeads: 40, ffn: 13824, vocabulary: 32064)
    .config

  /// Old files of tiled models have the type of LLaVA-1.5, and list the grids that images may be cut into.
  static func namesGrids(_ config: Config) -> Bool { config.has("image_grid_pinpoints") }

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
