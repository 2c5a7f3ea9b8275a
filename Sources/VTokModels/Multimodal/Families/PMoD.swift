import VTokWeights

extension MultimodalFamily {
  /// p-MoD: LLaVA-1.5 or LLaVA-NeXT whose deep layers visual tokens pass by (`MixtureOfDepths`).
  static let pMoD = MultimodalFamily(
    name: "p-mod", types: ["pmod_llava_llama"],
    summary: "p-MoD on LLaVA-1.5 and LLaVA-NeXT: visual tokens pass deep layers by",
    text: .llava, placeholder: 32000, languageType: { _ in "llama" },
    outline: { try LLaVA.outline($0, $1, .plain) },
    processor: { LLaVA.Variant.plain.isTiled($0) ? .llavaNeXT : .llava }, template: LLaVA.template,
    published: [
      PublishedModel("p-mod-llava-1.5-7b", ["model_type": "pmod_llava_llama", "text_config": halved]),
      PublishedModel(
        "p-mod-llava-next-7b",
        [
          "model_type": "pmod_llava_llama", "text_config": halved,
          "image_grid_pinpoints": [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]],
        ]),
    ], names: LLaVA.names, needless: LLaVA.needless, load: { try LLaVA($0, shape: $1, .plain) })

  /// Vicuna with a progressive ratio decay around a half.
  private static let halved: JSON = ["vocab_size": 32064, "mod_target_layers": "shiftedcos_decay_0.85_0.15"]
}
