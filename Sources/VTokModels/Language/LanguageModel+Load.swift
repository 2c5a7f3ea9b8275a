import VTokWeights

extension LanguageModel {
  /// The language model of a checkpoint alone, of a model that sees too: what it needs for a text.
  /// - Throws: `ModelError`, `WeightError`.
  public static func load(_ checkpoint: Checkpoint) throws -> LanguageModel {
    let text = try Config(json: checkpoint.config).section("text_config")
    let model = try LanguageModel(checkpoint, text: text, isTied: text.bool("tie_word_embeddings", false))
    try checkpoint["text"].refuseUnknown([])
    return model
  }

  /// - Parameters:
  ///   - checkpoint: with names as `NamePrefixes` gives them.
  ///   - isTied: whether the head may be absent.
  init(_ checkpoint: Checkpoint, text: Config, isTied: Bool) throws {
    let shape: [Int?] = [nil, try DecoderConfig(text).shape.width]
    try self.init(
      checkpoint["text"],
      head: isTied
        ? checkpoint.weightIfPresent("lm_head.weight", shape) : checkpoint.weight("lm_head.weight", shape), text)
  }
}
