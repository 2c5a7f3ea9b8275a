import VTokWeights

extension MultimodalFamily {
  /// Qwen3.6 and Qwen3.8 carry the same type.
  static let qwen35 = MultimodalFamily(
    name: "qwen3.5", types: ["qwen3_5"], summary: "Qwen3.5, dense",
    text: .qwen, placeholder: 248_056, languageType: { _ in "qwen3_5_text" },
    outline: { try QwenVL.stackedOutline($0, $1, stacked: []) }, processor: { _ in .qwen2VL }, templates: [.qwen35],
    template: { _, _ in .qwen35 },
    published: [
      published(
        "qwen3.5-4b",
        DecoderSize(
          width: 2560, layers: 32, heads: 16, kvHeads: 4, ffn: 9216, vocabulary: 248_320, theta: 1e7, headDim: 256),
        .large),
      published(
        "qwen3.5-9b",
        DecoderSize(
          width: 4096, layers: 32, heads: 16, kvHeads: 4, ffn: 12288, vocabulary: 248_320, theta: 1e7, headDim: 256),
        .so400m),
      published(
        "qwen3.5-27b",
        DecoderSize(
          width: 5120, layers: 64, heads: 24, kvHeads: 4, ffn: 17408, vocabulary: 248_320, theta: 1e7, headDim: 256),
        .so400m, valueHeads: 48),
    ], needless: [Needless("*mtp.*", reason: "guesses several tokens at once, which nothing here does")],
    load: { try QwenVL(stacked: $0, shape: $1, stacked: []) })

  private static func published(
    _ name: String, _ text: DecoderSize, _ tower: TransformerSize, valueHeads: Int = 32
  ) -> PublishedModel {
    QwenVL.publishedStacked(
      name, type: "qwen3_5", text, tower, stacked: [], more: [("linear_num_value_heads", JSON(valueHeads))])
  }
}

extension KnownTemplate {
  /// ChatML with trimmed texts, and an answer that does not begin with thoughts.
  static let qwen35 = KnownTemplate(
    name: "qwen3.5",
    body: #"""
      {%- for m in messages -%}
        {{- '<|im_start|>' ~ m.role ~ '\n' -}}
        {%- set content -%}
          {%- for p in m.content -%}
            {{- '<|vision_start|><|image_pad|><|vision_end|>' if p.type == 'image' else p.text -}}
          {%- endfor -%}
        {%- endset -%}
        {{- content | trim ~ '<|im_end|>\n' -}}
      {%- endfor -%}
      {{- '<|im_start|>assistant\n<think>\n\n</think>\n\n' if add_generation_prompt -}}
      """#)
}
