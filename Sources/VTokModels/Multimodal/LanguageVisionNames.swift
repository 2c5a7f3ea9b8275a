import VTokWeights

extension Checkpoint {
  /// One naming for all generations of vision-language checkpoints: `vision.*`, `projector.*` (Idefics3: `connector.*`),
  /// `image_newline`, `text.*` and `lm_head.weight`. Files as published by llava-hf, by transformers 4.52 and later,
  /// saved from memory by transformers 5, the research code's own, and Idefics3's and Qwen's.
  var visionLanguage: Checkpoint {
    // A trained compressor stands in front of the projector and moves it one place on.
    let hasCompressor = config.value(at: "mm_vision_token_compression_type") != nil
    let prefixes = (hasCompressor ? compressorPrefixes : []) + visionLanguagePrefixes
    return renamed { name in
      let name = name.hasPrefix("model.") ? String(name.dropFirst(6)) : name
      guard let (published, ours) = prefixes.first(where: { name.hasPrefix($0.published) }) else {
        return name
      }
      return ours + name.dropFirst(published.count)
    }
  }
}

private let compressorPrefixes: [(published: String, ours: String)] = [
  ("mm_projector.0.", "projector.compressor."), ("mm_projector.1.", "projector.linear_1."),
  ("mm_projector.3.", "projector.linear_2."),
]

/// The first that fits counts, so longer ones come first.
private let visionLanguagePrefixes: [(published: String, ours: String)] = [
  ("language_model.model.", "text."), ("language_model.lm_head.", "lm_head."), ("language_model.", "text."),
  ("text_model.", "text."), ("embed_tokens.", "text.embed_tokens."), ("layers.", "text.layers."),
  ("norm.", "text.norm."),
  ("vision_tower.vision_tower.vision_model.", "vision."), ("vision_tower.vision_tower.", "vision."),
  ("vision_tower.vision_model.", "vision."), ("vision_tower.", "vision."), ("vision_model.", "vision."),
  ("visual.", "vision."),
  ("multi_modal_projector.", "projector."), ("mm_projector.0.", "projector.linear_1."),
  ("mm_projector.2.", "projector.linear_2."),
]
