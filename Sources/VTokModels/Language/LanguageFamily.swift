/// A family of language models: the defaults of its configuration class, which published files leave out.
struct LanguageFamily: Sendable {
  /// `model_type` of the text part of a `config.json`.
  let types: [String]
  var width = 4096, ffn = 11008, layers = 32, heads = 32
  /// nil: as many as query heads.
  var kvHeads: Int?
  var vocabulary = 32000
  var epsilon: Float = 1e-6, theta: Float = 1e4
  var window: Int?
  var hasProjectionBiases = false
  /// Channels of a head, which then need not be a share of the width; nil: `width / heads`.
  var headDim: Int?
  /// Whether the heads of q and k are normed, each by itself, before they are rotated.
  var normsHeads = false
  /// Sections of rotary positions of three axes that are dealt in turn; nil: in runs, where a file gives sections.
  var interleaved: [Int]?
  /// nil: GGUF files have it under the name of another family, or it is not built.
  var gguf: GGUFLanguage?

  /// The family of a type.
  /// - Throws: `ModelError.unknownFamily`.
  static func of(_ type: String) throws(ModelError) -> LanguageFamily {
    guard let family = Families.language.first(where: { $0.types.contains(type) }) else {
      throw .unknownFamily(found: "language model type '\(type)'", known: Families.language.flatMap(\.types))
    }
    return family
  }
}

extension Families {
  /// Every family of language models that images can be read by.
  static let language: [LanguageFamily] = [
    LanguageFamily(
      types: ["llama", "vicuna"], gguf: GGUFLanguage(architecture: "llama", type: "llama", rotatesNeighbours: true)),
    LanguageFamily(types: ["mistral"], ffn: 14336, kvHeads: 8, window: 4096),
    LanguageFamily(
      types: ["qwen2", "llava_qwen"], ffn: 22016, kvHeads: 32, vocabulary: 151936, hasProjectionBiases: true,
      gguf: GGUFLanguage(architecture: "qwen2", type: "qwen2")),
    LanguageFamily(
      types: ["qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text"], width: 8192, ffn: 29568, layers: 80,
      heads: 64, kvHeads: 8, vocabulary: 152064, epsilon: 1e-5, theta: 1e6, hasProjectionBiases: true,
      gguf: GGUFLanguage(architecture: "qwen2vl", type: "qwen2_vl_text", hasSections: true)),
    LanguageFamily(
      types: ["qwen3"], ffn: 22016, kvHeads: 32, vocabulary: 151936, headDim: 128, normsHeads: true),
    LanguageFamily(
      types: ["qwen3_vl_text"], ffn: 22016, kvHeads: 32, vocabulary: 151936, theta: 5e5, headDim: 128,
      normsHeads: true, interleaved: [24, 20, 20]),
  ]
}
