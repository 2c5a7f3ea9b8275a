import VTokWeights

/// One naming for all generations of vision-language checkpoints: `vision.*`, `projector.*` (Idefics3: `connector.*`),
/// `image_newline`, `text.*` and `lm_head.weight`.
struct NamePrefixes: Sendable {
  /// What names begin with in files, and here, a leading `model.` taken off. The first that fits counts, so longer ones
  /// come first.
  let pairs: [(published: String, ours: String)]

  /// Files as published by llava-hf, by transformers 4.52 and later, saved from memory by transformers 5, the research
  /// code's own, and Idefics3's and Qwen's.
  static let common = NamePrefixes(pairs: [
    ("language_model.model.", "text."), ("language_model.lm_head.", "lm_head."), ("language_model.", "text."),
    ("text_model.", "text."), ("embed_tokens.", "text.embed_tokens."), ("layers.", "text.layers."),
    ("norm.", "text.norm."),
    ("vision_tower.vision_tower.vision_model.", "vision."), ("vision_tower.vision_tower.", "vision."),
    ("vision_tower.vision_model.", "vision."), ("vision_tower.", "vision."), ("vision_model.", "vision."),
    ("visual.", "vision."),
    ("multi_modal_projector.", "projector."), ("mm_projector.0.", "projector.linear_1."),
    ("mm_projector.2.", "projector.linear_2."),
  ])

  /// The same, where some names begin otherwise.
  func but(_ others: [(published: String, ours: String)]) -> NamePrefixes { NamePrefixes(pairs: others + pairs) }
}

extension Checkpoint {
  func renamed(_ names: NamePrefixes) -> Checkpoint {
    renamed { name in
      let name = name.hasPrefix("model.") ? String(name.dropFirst(6)) : name
      guard let (published, ours) = names.pairs.first(where: { name.hasPrefix($0.published) }) else { return name }
      return ours + name.dropFirst(published.count)
    }
  }
}
