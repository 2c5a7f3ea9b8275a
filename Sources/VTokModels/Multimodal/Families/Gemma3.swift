import VTokImage
import VTokWeights

extension MultimodalFamily {
  static let gemma3 = MultimodalFamily(
    name: "gemma3", types: ["gemma3"], summary: "Gemma 3 that sees",
    text: .gemma3, placeholder: 262_144, languageType: { _ in "gemma3_text" },
    outline: Gemma3.outline, processors: [.gemma3], processor: { _ in .gemma3 }, templates: [.gemma3],
    template: { _, _ in .gemma3 },
    published: [
      Gemma3.published(
        "gemma-3-4b",
        DecoderSize(
          width: 2560, layers: 34, heads: 8, kvHeads: 4, ffn: 10240, vocabulary: 262_208, theta: 1e6, headDim: 256)),
      Gemma3.published(
        "gemma-3-12b",
        DecoderSize(
          width: 3840, layers: 48, heads: 16, kvHeads: 8, ffn: 15360, vocabulary: 262_208, theta: 1e6, headDim: 256)),
      Gemma3.published(
        "gemma-3-27b",
        DecoderSize(
          width: 5376, layers: 62, heads: 32, kvHeads: 16, ffn: 21504, vocabulary: 262_208, theta: 1e6, headDim: 128),
        queryScalar: 168),
    ], tiesHead: true,
    gguf: GGUFProjector(
      name: "gemma3", architectures: ["gemma3"], last: "mm.input_projection.weight", isTurned: true, read: Gemma3.read),
    load: { try Gemma3($0, shape: $1) })
}

extension Gemma3 {
  fileprivate static func read(_ tower: GGUFTower) throws -> GGUFVision {
    let (side, patch) = (try tower.side, try tower.patch)
    let across = side / patch / (try tower.keys.int("projector.scale_factor", 4, in: 1...64))
    guard across > 0 else { throw tower.keys.unfit("projector.scale_factor", "at most \(side / patch)") }
    let names = try tower.names("vision.encoder.layers.", GGUFTower.encoder).with(
      layers: [("v.patch_embd", "vision.embeddings.patch_embedding"), ("v.post_ln", "vision.post_layernorm")],
      [
        "mm.input_projection.weight": "projector.mm_input_projection_weight",
        "mm.soft_emb_norm.weight": "projector.mm_soft_emb_norm.weight",
        "v.position_embd.weight": "vision.embeddings.position_embedding.weight",
      ])
    return GGUFVision(
      config: [
        ("vision_config", try tower.config([("image_size", JSON(side))])), ("centred_norms", false),
        ("mm_tokens_per_image", JSON(across * across)),
      ], processor: try tower.processor([("size", ["height": JSON(side), "width": JSON(side)])]), names: names)
  }

  fileprivate static func published(_ name: String, _ text: DecoderSize, queryScalar: Int = 256) -> PublishedModel {
    var language = text.config.object!
    language["model_type"] = "gemma3_text"
    language["sliding_window"] = 1024
    language["query_pre_attn_scalar"] = JSON(queryScalar)
    language["rope_scaling"] = ["factor": 8, "rope_type": "linear"]
    return PublishedModel(
      name,
      [
        "model_type": "gemma3", "text_config": .object(language),
        "vision_config": TransformerSize.so400m.config(["image_size": 896, "patch_size": 14]),
      ])
  }
}

extension VisualText {
  /// Every tile between line breaks and marks of its own; with crops, words that tell them from the whole image.
  public static let gemma3 = VisualText(
    placeholder: "<image_soft_token>", image: "<start_of_image>", mark: "<start_of_image>"
  ) { _, _, spans in
    let tiles = spans.map { "\n\n<start_of_image>\($0)<end_of_image>\n\n" }
    guard tiles.count > 1 else { return tiles[0] }
    return "Here is the original image \(tiles[0]) and here are some crops to help you see better "
      + tiles.dropFirst().joined(separator: " ")
  }
}

extension ProcessorKind {
  static let gemma3 = ProcessorKind(names: ["Gemma3ImageProcessor"]) { try $0.panAndScan() }
}

extension ProcessorValues {
  fileprivate func panAndScan() throws -> PanAndScanProcessor {
    let side = try tower("image_size") ?? 896
    let fallback = ImageProcessor(
      resize: .exact(width: side, height: side), filter: .bilinear, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5])
    let crops = PanAndScanProcessor.Crops(
      edge: try settings.int("pan_and_scan_min_crop_size", 256),
      most: try settings.int("pan_and_scan_max_num_crops", 4, in: 1...Self.tileLimit - 1),
      ratio: try settings.double("pan_and_scan_min_ratio_to_activate", 1.2, in: 1e-3...1e6))
    return PanAndScanProcessor(
      pixels: try read(settings, fallback: fallback), crops: try settings.bool("do_pan_and_scan", false) ? crops : nil)
  }
}

extension KnownTemplate {
  /// There is no role of a system: what it says stands before the first turn. Texts are trimmed.
  static let gemma3 = KnownTemplate(
    name: "gemma3",
    body: #"""
      {{- '<bos>' -}}
      {%- set first = '' -%}
      {%- if messages[0].role == 'system' -%}
        {%- set first = text(messages[0]) ~ '\n\n' -%}
      {%- endif -%}
      {%- for m in messages if m.role != 'system' -%}
        {{- '<start_of_turn>' ~ ('model' if m.role == 'assistant' else m.role) ~ '\n' -}}
        {{- first if loop.first -}}
        {%- for p in m.content -%}{{ '<start_of_image>' if p.type == 'image' else p.text | trim }}{%- endfor -%}
        {{- '<end_of_turn>\n' -}}
      {%- endfor -%}
      {{- '<start_of_turn>model\n' if add_generation_prompt -}}
      """#)
}
