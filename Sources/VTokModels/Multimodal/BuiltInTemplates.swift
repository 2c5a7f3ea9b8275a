// Templates that are known by name and by model, in Jinja of our own.

extension PromptTemplate {
  /// Every template that is known, by name.
  public static let builtIn = builtInSources.map(\.name)

  static func source(of name: String) -> String? {
    builtInSources.first { $0.name == name }.map { prelude + $0.source }
  }

  /// The parts of a message, which here is always a list of them.
  private static let prelude = #"""
    {%- macro text(m) -%}{%- for p in m.content if p.type == 'text' -%}{{ p.text }}{%- endfor -%}{%- endmacro -%}
    {%- macro images(m, mark) -%}
      {%- for p in m.content if p.type == 'image' -%}{{ mark }}{%- endfor -%}
    {%- endmacro -%}

    """#

  private static let builtInSources: [(name: String, source: String)] = [
    // llava-hf's LLaVA-1.5.
    (
      "llava",
      #"""
      {%- for m in messages -%}
        {%- if m.role != 'system' -%}{{ 'USER: ' if m.role == 'user' else 'ASSISTANT: ' }}{%- endif -%}
        {{- images(m, '<image>\n') ~ text(m) ~ ' ' -}}
      {%- endfor -%}
      {{- 'ASSISTANT:' if add_generation_prompt -}}
      """#
    ),
    // Vicuna v1 with its system sentence: LLaVA-1.5 in the papers' evaluations, and LLaVA-NeXT with Vicuna.
    (
      "vicuna-v1",
      #"""
      {%- if messages[0].role != 'system' -%}
        {{- 'A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, '
          ~ "detailed, and polite answers to the user's questions. " -}}
      {%- endif -%}
      {%- for m in messages -%}
        {%- if m.role == 'assistant' -%}{{ 'ASSISTANT: ' ~ text(m) ~ '</s>' }}
        {%- else -%}{{ ('USER: ' if m.role == 'user' else '') ~ images(m, '<image>\n') ~ text(m) ~ ' ' }}
        {%- endif -%}
      {%- endfor -%}
      {{- 'ASSISTANT:' if add_generation_prompt -}}
      """#
    ),
    // LLaVA-NeXT with Mistral.
    (
      "mistral",
      #"""
      {%- for m in messages -%}
        {%- if m.role == 'system' -%}{{ '<<SYS>>\n' ~ text(m) ~ '\n<</SYS>>\n\n' }}
        {%- elif m.role == 'user' -%}{{ '[INST] ' ~ images(m, '<image>\n') ~ text(m) ~ ' [/INST]' }}
        {%- else -%}{{ ' ' ~ text(m) ~ '</s> ' }}
        {%- endif -%}
      {%- endfor -%}
      """#
    ),
    // LLaVA-NeXT with Llama 3.
    (
      "llama-3",
      #"""
      {%- for m in messages -%}
        {{- '<|start_header_id|>' ~ m.role ~ '<|end_header_id|>\n\n' ~ images(m, '<image>') -}}
        {{- '\n' ~ text(m) ~ '<|eot_id|>' -}}
      {%- endfor -%}
      {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' if add_generation_prompt -}}
      """#
    ),
    ("smolvlm", smolVLM(start: "<|im_start|>")),
    ("idefics3", smolVLM(start: "<|begin_of_text|>")),
    // Qwen2-VL and Qwen2.5-VL: ChatML.
    (
      "qwen2-vl",
      #"""
      {%- if messages[0].role != 'system' -%}
        {{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' -}}
      {%- endif -%}
      {%- for m in messages -%}
        {{- '<|im_start|>' ~ m.role ~ '\n' -}}
        {%- for p in m.content -%}
          {{- '<|vision_start|><|image_pad|><|vision_end|>' if p.type == 'image' else p.text -}}
        {%- endfor -%}
        {{- '<|im_end|>\n' -}}
      {%- endfor -%}
      {{- '<|im_start|>assistant\n' if add_generation_prompt -}}
      """#
    ),
  ]

  private static func smolVLM(start: String) -> String {
    "{{- '\(start)' -}}"
      + #"""
      {%- for m in messages -%}
        {{- m.role | capitalize ~ (':' if m.content[0].type == 'image' else ': ') -}}
        {%- for p in m.content -%}{{ '<image>' if p.type == 'image' else p.text }}{%- endfor -%}
        {{- '<end_of_utterance>\n' -}}
      {%- endfor -%}
      {{- 'Assistant:' if add_generation_prompt -}}
      """#
  }
}
