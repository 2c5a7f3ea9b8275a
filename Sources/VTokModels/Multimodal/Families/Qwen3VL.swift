import VTokImage
import VTokTemplate
import VTokWeights

extension MultimodalFamily {
  static let qwen3VL = MultimodalFamily(
    name: "qwen3-vl", types: ["qwen3_vl"], summary: "Qwen3-VL, dense",
    text: .qwen3VL, placeholder: 151_655, languageType: { _ in "qwen3_vl_text" },
    outline: { try QwenVL.stackedOutline($0, $1, videos: .told) }, processor: { _ in .qwen2VL },
    videos: VideoRule(area: 128 * 32 * 32...768 * 32 * 32, isOfAll: true), templates: [.qwen3VL],
    template: { _, _ in .qwen3VL },
    published: [
      QwenVL.publishedStacked(
        "qwen3-vl-2b", type: "qwen3_vl",
        DecoderSize(
          width: 2048, layers: 28, heads: 16, kvHeads: 8, ffn: 6144, vocabulary: 151936, theta: 5e6, headDim: 128),
        .large, stacked: [5, 11, 17]),
      QwenVL.publishedStacked(
        "qwen3-vl-4b", type: "qwen3_vl",
        DecoderSize(
          width: 2560, layers: 36, heads: 32, kvHeads: 8, ffn: 9728, vocabulary: 151936, theta: 5e6, headDim: 128),
        .large, stacked: [5, 11, 17]),
      QwenVL.publishedStacked(
        "qwen3-vl-8b", type: "qwen3_vl",
        DecoderSize(
          width: 4096, layers: 36, heads: 32, kvHeads: 8, ffn: 12288, vocabulary: 151936, theta: 5e6, headDim: 128),
        .so400m, stacked: [8, 16, 24]),
    ], gguf: QwenVL.stackedGGUF, load: { try QwenVL(stacked: $0, shape: $1) })
}

extension VisualText {
  /// Of a video every pair of frames has marks of its own behind its time; those of the template stay around the whole.
  static let qwen3VL = qwen { seconds, spans in
    zip(seconds, spans).map { second, span in
      "<\(second.fixed(1)) seconds><|vision_start|>\(span)<|vision_end|>"
    }.joined()
  }
}

extension QwenVL {
  /// Tower and processor as published since Qwen3-VL.
  static func publishedStacked(
    _ name: String, type: String, _ text: DecoderSize, _ tower: TransformerSize, stacked: [Int],
    more: [(String, JSON)] = []
  ) -> PublishedModel {
    var language = text.config.object!
    for (key, value) in more { language[key] = value }
    return PublishedModel(
      name,
      [
        "model_type": JSON(type), "text_config": .object(language),
        "vision_config": [
          "hidden_size": JSON(tower.width), "depth": JSON(tower.layers), "num_heads": JSON(tower.heads),
          "intermediate_size": JSON(tower.ffn), "deepstack_visual_indexes": JSON(stacked),
        ],
      ], processor: ["patch_size": 16, "size": ["shortest_edge": 65536, "longest_edge": 16_777_216]])
  }
}

extension KnownTemplate {
  /// ChatML, without a sentence of the system's own.
  static let qwen3VL = KnownTemplate(
    name: "qwen3-vl",
    body: #"""
      {%- for m in messages -%}
        {{- '<|im_start|>' ~ m.role ~ '\n' -}}
        {%- for p in m.content -%}
          {{- p.text if p.type == 'text' else '<|vision_start|><|' ~ p.type ~ '_pad|><|vision_end|>' -}}
        {%- endfor -%}
        {{- '<|im_end|>\n' -}}
      {%- endfor -%}
      {{- '<|im_start|>assistant\n' if add_generation_prompt -}}
      """#)
}
