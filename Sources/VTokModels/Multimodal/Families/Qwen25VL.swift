import VTokWeights

extension MultimodalFamily {
  static let qwen25VL = MultimodalFamily(
    name: "qwen2.5-vl", types: ["qwen2_5_vl"], summary: "Qwen2.5-VL",
    text: .qwen2VL, placeholder: 151_655, languageType: { _ in "qwen2_5_vl_text" },
    outline: { try QwenVL.outline($0, $1, isWindowed: true) }, processor: { _ in .qwen2VL },
    videos: .qwen2VL,
    template: { _, _ in .qwen2VL },
    published: [
      published(
        "qwen2.5-vl-3b", DecoderSize(width: 2048, layers: 36, heads: 16, kvHeads: 2, ffn: 11008, vocabulary: 151936)),
      published(
        "qwen2.5-vl-7b", DecoderSize(width: 3584, layers: 28, heads: 28, kvHeads: 4, ffn: 18944, vocabulary: 152064)),
      published(
        "qwen2.5-vl-32b", DecoderSize(width: 5120, layers: 64, heads: 40, kvHeads: 8, ffn: 27648, vocabulary: 152064),
        towerFFN: 3456),
      published(
        "qwen2.5-vl-72b", DecoderSize(width: 8192, layers: 80, heads: 64, kvHeads: 8, ffn: 29568, vocabulary: 152064),
        towerFFN: 3456),
    ], gguf: QwenVL.gguf("qwen2.5vl_merger", isWindowed: true), load: { try QwenVL($0, shape: $1) })

  private static func published(_ name: String, _ text: DecoderSize, towerFFN: Int = 3420) -> PublishedModel {
    QwenVL.published(name, type: "qwen2_5_vl", text, vision: ["intermediate_size": JSON(towerFFN)])
  }
}
