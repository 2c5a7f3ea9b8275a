import VTokWeights

extension MultimodalFamily {
  /// Idefics3 in small, under a type of its own since the second generation.
  static let smolVLM = MultimodalFamily(
    name: "smolvlm", types: ["smolvlm"], summary: "SmolVLM of all sizes",
    text: .idefics3, placeholder: 128_257, languageType: { _ in "llama" }, absentLanguage: Idefics3.absentLanguage,
    outline: Idefics3.outline, processor: { _ in .idefics3 }, template: Idefics3.template,
    published: [
      PublishedModel(
        "smolvlm-256m",
        Idefics3.published(
          .base, side: 512, patch: 16, scale: 4,
          DecoderSize(width: 576, layers: 30, heads: 9, kvHeads: 3, ffn: 1536, vocabulary: 49280, theta: 1e5))),
      PublishedModel(
        "smolvlm-500m",
        Idefics3.published(
          .base, side: 512, patch: 16, scale: 4,
          DecoderSize(width: 960, layers: 32, heads: 15, kvHeads: 5, ffn: 2560, vocabulary: 49280, theta: 1e5))),
      PublishedModel(
        "smolvlm-2.2b",
        Idefics3.published(
          .so400m, side: 384, patch: 14, scale: 3,
          DecoderSize(width: 2048, layers: 24, heads: 32, kvHeads: 32, ffn: 8192, vocabulary: 49155, theta: 273768))),
    ], load: { try Idefics3($0, shape: $1) })
}
