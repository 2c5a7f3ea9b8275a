import VTokCore
import VTokWeights

/// A family of vision-language models: all that depends on its name.
struct LanguageVisionFamily: Sendable {
  let name: String
  /// `model_type` in `config.json`.
  let types: [String]
  let summary: String
  /// Id that stands for an image where `config.json` gives none.
  let placeholder: Int
  /// Type of the language model where its section gives none.
  let textType: String
  /// The language model where there is no section at all; nil: its keys stand at the top of the file.
  var absentText: JSON?
  /// Name of the image processor where its file gives none.
  let processor: @Sendable (Config) throws(ModelError) -> String
  let shape: @Sendable (Config) throws -> Shape
  let visual: @Sendable (Checkpoint, Shape) throws -> any VisualFamily

  private static func llava(_ name: String, _ types: [String], _ summary: String) -> LanguageVisionFamily {
    LanguageVisionFamily(
      name: name, types: types, summary: summary, placeholder: 32000, textType: "llama",
      processor: { config throws(ModelError) in
        try config.isNext() ? "LlavaNextImageProcessor" : "LlavaImageProcessor"
      }, shape: { try Shape(llava: $0) }, visual: { try LLaVA($0, shape: $1) })
  }

  private static func idefics3(
    _ name: String, _ types: [String], _ summary: String, processor: String
  ) -> LanguageVisionFamily {
    LanguageVisionFamily(
      name: name, types: types, summary: summary, placeholder: 128_257, textType: "llama",
      absentText: ["model_type": "llama", "rms_norm_eps": 1e-5], processor: { _ in processor },
      shape: { try Shape(idefics3: $0) }, visual: { try Idefics3($0, shape: $1) })
  }

  private static func qwen(_ name: String, _ type: String, _ summary: String, isNewer: Bool) -> LanguageVisionFamily {
    LanguageVisionFamily(
      name: name, types: [type], summary: summary, placeholder: 151_655, textType: type,
      processor: { _ in "Qwen2VLImageProcessor" }, shape: { try Shape(qwen: $0, isNewer: isNewer) },
      visual: { try QwenVL($0, shape: $1) })
  }

  /// Every family.
  static let all: [LanguageVisionFamily] = [
    llava(
      "llava", ["llava", "llava_llama", "llava_mistral"], "LLaVA-1.5, as llava-hf and the research code publish it"),
    llava("llava-next", ["llava_next"], "LLaVA-NeXT (1.6) with Vicuna, Mistral or Llama"),
    llava(
      "p-mod", ["pmod_llava_llama"], "p-MoD on LLaVA-1.5 and LLaVA-NeXT: visual tokens pass deep layers by"),
    idefics3("idefics3", ["idefics3"], "Idefics3", processor: "Idefics3ImageProcessor"),
    idefics3("smolvlm", ["smolvlm"], "SmolVLM of all sizes", processor: "SmolVLMImageProcessor"),
    qwen("qwen2-vl", "qwen2_vl", "Qwen2-VL", isNewer: false),
    qwen("qwen2.5-vl", "qwen2_5_vl", "Qwen2.5-VL", isNewer: true),
  ]
}

extension MultimodalModel {
  static var families: [LanguageVisionFamily] { LanguageVisionFamily.all }

  /// Whether a configuration is that of a vision-language model that is known.
  public static func matches(_ config: JSON) -> Bool { family(config) != nil }

  static func family(_ config: JSON) -> LanguageVisionFamily? {
    guard let type = config.value(at: "model_type")?.string else { return nil }
    return families.first { $0.types.contains(type) }
  }

  /// Name of the family of a configuration; nil where it is unknown.
  public static func familyName(_ config: JSON) -> String? { family(config)?.name }

  static let needless: [Needless] = [
    .positions, .mask, .rotary,
    Needless("*vision_tower*.post_layernorm.*", reason: "CLIP's norm of its pooled token, which LLaVA does not use"),
  ]
}
