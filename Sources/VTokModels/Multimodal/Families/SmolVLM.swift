import VTokWeights

extension MultimodalFamily {
  /// Idefics3 in small, under a type of its own since the second generation, which has the same network.
  static let smolVLM = MultimodalFamily(
    name: "smolvlm", types: ["smolvlm"], summary: "SmolVLM and SmolVLM2 of all sizes",
    text: .idefics3, placeholder: 128_257, languageType: { _ in "llama" }, absentLanguage: Idefics3.absentLanguage,
    outline: Idefics3.outline, processor: { _ in .idefics3 }, template: Idefics3.template,
    published: small("smolvlm") + [large("smolvlm-2.2b", vocabulary: 49155, theta: 273_768)]
      + small("smolvlm2") + [large("smolvlm2-2.2b", vocabulary: 49280, theta: 130_000)],
    load: { try Idefics3($0, shape: $1) })

  private static func small(_ generation: String) -> [PublishedModel] {
    [
      ("256m", DecoderSize(width: 576, layers: 30, heads: 9, kvHeads: 3, ffn: 1536, vocabulary: 49280, theta: 1e5)),
      ("500m", DecoderSize(width: 960, layers: 32, heads: 15, kvHeads: 5, ffn: 2560, vocabulary: 49280, theta: 1e5)),
    ].map { size, text in
      PublishedModel("\(generation)-\(size)", Idefics3.published(.base, side: 512, patch: 16, scale: 4, text))
    }
  }

  private static func large(_ name: String, vocabulary: Int, theta: Double) -> PublishedModel {
    PublishedModel(
      name,
      Idefics3.published(
        .so400m, side: 384, patch: 14, scale: 3,
        DecoderSize(
          width: 2048, layers: 24, heads: 32, kvHeads: 32, ffn: 8192, vocabulary: vocabulary, theta: theta)))
  }
}
