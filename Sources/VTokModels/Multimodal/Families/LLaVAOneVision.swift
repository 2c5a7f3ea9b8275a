import VTokImage
import VTokWeights

extension MultimodalFamily {
  /// LLaVA-NeXT with SigLIP and Qwen2, and a limit on what tiles become; several images of a prompt are not tiled.
  static let llavaOneVision = MultimodalFamily(
    name: "llava-onevision", types: ["llava_onevision"], summary: "LLaVA-OneVision with Qwen2",
    text: .llavaOneVision, placeholder: 151_646, languageType: { _ in "qwen2" },
    absentLanguage: ["model_type": "qwen2"],
    outline: { try LLaVA.outline($0, $1, .oneVision) }, processors: [.llavaOneVision],
    processor: { _ in .llavaOneVision }, templates: [.llavaOneVision, .llavaOneVisionNewline],
    template: { _, _ in .llavaOneVision },
    published: [
      published(
        "llava-onevision-0.5b",
        DecoderSize(width: 896, layers: 24, heads: 14, kvHeads: 2, ffn: 4864, vocabulary: 152000, theta: 1e6),
        isTied: true),
      published(
        "llava-onevision-7b",
        DecoderSize(width: 3584, layers: 28, heads: 28, kvHeads: 4, ffn: 18944, vocabulary: 152128, theta: 1e6)),
    ], needless: LLaVA.needless, load: { try LLaVA($0, shape: $1, .oneVision) })

  private static func published(_ name: String, _ text: DecoderSize, isTied: Bool = false) -> PublishedModel {
    PublishedModel(
      name, ["model_type": "llava_onevision", "text_config": text.config, "tie_word_embeddings": JSON(isTied)],
      processor: [
        "image_processor_type": "LlavaOnevisionImageProcessor", "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
      ])
  }
}

extension VisualText {
  /// A video has a placeholder of its own.
  static let llavaOneVision = {
    var text = llava
    text.video = VideoText(placeholder: "<video>", video: "<video>") { _, spans in spans.joined() }
    return text
  }()
}

extension LLaVA.Variant {
  // Files hold 26 of the 27 blocks of SigLIP.
  static let oneVision = LLaVA.Variant(
    isTiled: { _ in true },
    absentVision: TransformerSize(layers: 26, width: 1152, heads: 16, ffn: 4304).config([
      "model_type": "siglip_vision_model", "image_size": 384, "patch_size": 14,
    ]), layer: -1, strategy: "full", gridLimit: ("vision_aspect_ratio", "anyres_max_9"))
}

extension ProcessorKind {
  static let llavaOneVision = ProcessorKind(names: ["LlavaOnevisionImageProcessor"]) {
    try $0.oneVision(mean: ImageProcessor.clipMean, std: ImageProcessor.clipStd)
  }
}

extension KnownTemplate {
  /// llava-hf's LLaVA-OneVision: a space behind the role, no line break behind a turn.
  static let llavaOneVision = KnownTemplate(
    name: "llava-onevision",
    body: #"""
      {%- for m in messages -%}
        {{- '<|im_start|>' ~ m.role ~ ' ' ~ images(m, '<image>') -}}
        {%- for p in m.content if p.type == 'text' -%}{{ '\n' ~ p.text }}{%- endfor -%}
        {{- '<|im_end|>' -}}
      {%- endfor -%}
      {{- '<|im_start|>assistant\n' if add_generation_prompt -}}
      """#)

  /// That of its converter: plain ChatML, images before the text.
  static let llavaOneVisionNewline = KnownTemplate(
    name: "llava-onevision-newline",
    body: #"""
      {%- for m in messages -%}
        {{- '<|im_start|>' ~ m.role ~ '\n' ~ images(m, '<image>\n') ~ text(m) ~ '<|im_end|>\n' -}}
      {%- endfor -%}
      {{- '<|im_start|>assistant\n' if add_generation_prompt -}}
      """#)
}

extension ProcessorValues {
  func oneVision(mean: [Float], std: [Float]) throws -> OneVisionProcessor {
    let tile = try pixels(filter: .bicubic, mean: mean, std: std)
    let whole = try settings.size("size") ?? tower("image_size").map { Size($0) } ?? Size(384)
    let tiles = (1...6).flatMap { rows in (1...6).map { [rows, $0] } }
    return OneVisionProcessor(
      grid: AnyResolutionProcessor(
        tile: tile, thumbnail: whole, side: whole.height,
        pinpoints: try pinpoints(side: whole.height, tiles: tiles)))
  }
}
