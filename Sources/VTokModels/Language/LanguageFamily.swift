import VTokCore

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
  /// How rotary positions of three axes share the frequencies, where a file does not say it; empty: one axis.
  var sections: [Int] = []
  /// Whether sections are dealt in turn, not in runs.
  var interleaves = false
  /// Theta of layers with a window, where it is another.
  var windowTheta: Float?
  /// The number over whose root products with keys are divided; nil: channels of a head.
  var queryScalar: Double?
  /// Which layers attend to all rows, where not all do; nil: all do, or as `window` says.
  var pattern: Pattern?
  /// Whether the rows of an image see all of it.
  var seesWholeImages = false
  /// Of the MLP's gate, and the key that names it.
  var activation = Activation.silu, activationKey = "hidden_act"
  /// Whether what attention and MLP give is normed before it is added.
  var normsBranches = false
  /// Whether files have the weights of norms less 1.
  var centresNorms = false
  /// Whether embeddings are multiplied by the root of the width.
  var scalesEmbeddings = false
  /// Share of the channels of a head that turn.
  var rotaryShare = 1.0
  /// Whether every head of q has a gate for what the head gives.
  var gatesAttention = false
  /// Of the layers that are gated delta nets.
  var deltaNet: Shape.Decoder.DeltaNet?
  /// nil: GGUF files have it under the name of another family, or it is not built.
  var gguf: GGUFLanguage?

  /// Every so many layers one attends to all rows; `layer_types` of a file goes before.
  struct Pattern: Sendable {
    /// Keys that may say how many.
    let keys: [String], every: Int
    /// What `layer_types` calls the other layers.
    let others: String
  }

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
      types: ["qwen3"], ffn: 22016, kvHeads: 32, vocabulary: 151936, headDim: 128, normsHeads: true,
      gguf: GGUFLanguage(architecture: "qwen3", type: "qwen3")),
    LanguageFamily(
      types: ["qwen3_vl_text"], ffn: 22016, kvHeads: 32, vocabulary: 151936, theta: 5e5, headDim: 128,
      normsHeads: true, sections: [24, 20, 20], interleaves: true,
      gguf: GGUFLanguage(architecture: "qwen3vl", type: "qwen3_vl_text", hasSections: true)),
    LanguageFamily(
      types: ["gemma3_text"], width: 2304, ffn: 9216, layers: 26, heads: 8, kvHeads: 4, vocabulary: 262_208, theta: 1e6,
      window: 4096, headDim: 256, normsHeads: true, windowTheta: 1e4, queryScalar: 256,
      pattern: LanguageFamily.Pattern(
        keys: ["sliding_window_pattern", "_sliding_window_pattern"], every: 6, others: "sliding_attention"),
      seesWholeImages: true, activation: .geluTanh, activationKey: "hidden_activation", normsBranches: true,
      centresNorms: true, scalesEmbeddings: true, gguf: GGUFLanguage(architecture: "gemma3", type: "gemma3_text")),
    LanguageFamily(
      types: ["qwen3_5_text"], ffn: 12288, heads: 16, kvHeads: 4, vocabulary: 248_320, theta: 1e7, headDim: 256,
      normsHeads: true, sections: [11, 11, 10], interleaves: true,
      pattern: LanguageFamily.Pattern(keys: ["full_attention_interval"], every: 4, others: "linear_attention"),
      centresNorms: true,
      rotaryShare: 0.25, gatesAttention: true,
      deltaNet: Shape.Decoder.DeltaNet(keyHeads: 16, keyDim: 128, valueHeads: 32, valueDim: 128, taps: 4)),
    // ERNIE 4.5 in PaddleOCR-VL.
    LanguageFamily(
      types: ["paddleocr_vl_text"], width: 1024, ffn: 3072, layers: 18, heads: 16, kvHeads: 2, vocabulary: 103424,
      epsilon: 1e-5, theta: 5e5, headDim: 128, sections: [16, 24, 24]),
  ]
}
