import VTokImage
import VTokWeights

extension MultimodalFamily {
  static let llavaNeXT = MultimodalFamily(
    name: "llava-next", types: ["llava_next"], summary: "LLaVA-NeXT (1.6) with Vicuna, Mistral or Llama",
    text: .llava, placeholder: 32000, languageType: { _ in "llama" },
    outline: { try LLaVA.outline($0, $1, .next) }, processors: [.llavaNeXT], processor: { _ in .llavaNeXT },
    templates: [.vicuna, .mistral, .llama3],
    template: { language, knows in
      if knows("<|start_header_id|>") { return .llama3 }
      if knows("<|im_start|>") { return nil }
      return language.contains("mistral") ? .mistral : .vicuna
    },
    published: [
      published("llava-next-7b", LLaVA.vicuna7B), published("llava-next-13b", LLaVA.vicuna13B),
      published("llava-next-mistral-7b", ["model_type": "mistral", "vocab_size": 32064, "rope_theta": 1e6]),
      published(
        "llava-next-34b",
        DecoderSize(width: 7168, layers: 60, heads: 56, kvHeads: 8, ffn: 20480, vocabulary: 64064, theta: 5e6).config),
      published(
        "llava-next-llama3-8b",
        DecoderSize(width: 4096, layers: 32, heads: 32, kvHeads: 8, ffn: 14336, vocabulary: 128320, theta: 5e5).config),
    ], needless: LLaVA.needless, gguf: LLaVA.gguf(isTiled: true), load: { try LLaVA($0, shape: $1, .next) })

  private static func published(_ name: String, _ text: JSON) -> PublishedModel {
    PublishedModel(name, ["model_type": "llava_next", "text_config": text])
  }
}

extension ProcessorKind {
  static let llavaNeXT = ProcessorKind(names: ["LlavaNextImageProcessor"]) { try $0.anyResolution() }
}

extension ProcessorValues {
  fileprivate func anyResolution() throws -> AnyResolutionProcessor {
    let tile = try clip()
    // The official code takes both sizes as they stand, also where tiles are neither resized nor cropped.
    let sizes = try ProcessorValues(
      settings: settings.without(["do_resize", "do_center_crop"]), config: config, hasFile: hasFile
    ).clip()
    let thumbnail =
      switch sizes.resize {
      case .exact(let width, let height): Size(width: width, height: height)
      case .shortestEdge(let edge): Size(edge)
      default: preconditionFailure("clip() resizes")
      }
    let side = sizes.crop?.height ?? thumbnail.height
    let tiles = [[1, 2], [2, 1], [2, 2], [3, 1], [1, 3]]
    return AnyResolutionProcessor(
      tile: tile, thumbnail: thumbnail, side: side, pinpoints: try pinpoints(side: side, tiles: tiles))
  }

  /// The resolutions that a picture may be cut at.
  /// - Parameters:
  ///   - side: of a tile, in pixels.
  ///   - tiles: rows and columns, where no file names any.
  func pinpoints(side: Int, tiles: [[Int]]) throws -> [Size] {
    let key = "image_grid_pinpoints"
    let source = settings.has(key) ? settings : config
    let pinpoints = (try source.pairs(key) ?? tiles.map { $0.map { $0 * side } }).map {
      Size(width: $0[1], height: $0[0])
    }
    guard
      pinpoints.allSatisfy({
        AnyResolutionProcessor.isMultiple($0, of: side)
          && ($0.width / side) * ($0.height / side) <= Self.tileLimit
      })
    else {
      throw source.unfit(
        key, "[height, width] of multiples of the tile's \(side) pixels, at most \(Self.tileLimit) tiles")
    }
    return pinpoints
  }
}

extension KnownTemplate {
  /// Vicuna v1 with its system sentence: LLaVA-1.5 in the papers' evaluations, and LLaVA-NeXT with Vicuna.
  static let vicuna = KnownTemplate(
    name: "vicuna-v1",
    body: #"""
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
      """#)

  /// LLaVA-NeXT with Mistral.
  static let mistral = KnownTemplate(
    name: "mistral",
    body: #"""
      {%- for m in messages -%}
        {%- if m.role == 'system' -%}{{ '<<SYS>>\n' ~ text(m) ~ '\n<</SYS>>\n\n' }}
        {%- elif m.role == 'user' -%}{{ '[INST] ' ~ images(m, '<image>\n') ~ text(m) ~ ' [/INST]' }}
        {%- else -%}{{ ' ' ~ text(m) ~ '</s> ' }}
        {%- endif -%}
      {%- endfor -%}
      """#)

  /// LLaVA-NeXT with Llama 3.
  static let llama3 = KnownTemplate(
    name: "llama-3",
    body: #"""
      {%- for m in messages -%}
        {{- '<|start_header_id|>' ~ m.role ~ '<|end_header_id|>\n\n' ~ images(m, '<image>') -}}
        {{- '\n' ~ text(m) ~ '<|eot_id|>' -}}
      {%- endfor -%}
      {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' if add_generation_prompt -}}
      """#)
}
