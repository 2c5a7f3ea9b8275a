import VTokCore
import VTokWeights

#if canImport(Glibc)
  import Glibc
#else
  import Foundation
#endif

/// What the text part of a `config.json` says. Published files list only what differs from the class defaults of their
/// day, so every key has the default of its `model_type` (transformers, `models/<type>/configuration_<type>.py`).
struct DecoderConfig {
  let shape: Shape.Decoder
  let epsilon: Float
  /// A query sees this many keys, its own included; nil: all before it.
  let window: Int?
  /// Whether q, k and v have biases, whether the output projection has one, whether the MLP has them.
  let biases: (projections: Bool, output: Bool, mlp: Bool)
  /// How layers choose the visual tokens that they compute; nil in most models.
  let depths: MixtureOfDepths?

  /// Whether float32 copies in the order of the kernels are worth their memory: below about 32 million numbers.
  var isSmall: Bool {
    let layer = 2 * (shape.heads + shape.kvHeads) * shape.headDim * shape.width + 3 * shape.width * shape.ffn
    return shape.layers * layer + shape.vocabulary * shape.width < 1 << 25
  }

  private struct Family {
    var width = 4096, ffn = 11008, layers = 32, heads = 32
    /// nil: as many as query heads.
    var kvHeads: Int?
    var vocabulary = 32000
    var epsilon: Float = 1e-6, theta: Float = 1e4
    var window: Int?
    var hasProjectionBiases = false

    static let mistral = Family(ffn: 14336, kvHeads: 8, window: 4096)
    static let qwen2 = Family(ffn: 22016, kvHeads: 32, vocabulary: 151936, hasProjectionBiases: true)
    static let qwenVL = Family(
      width: 8192, ffn: 29568, layers: 80, heads: 64, kvHeads: 8, vocabulary: 152064, epsilon: 1e-5, theta: 1e6,
      hasProjectionBiases: true)
  }

  /// By `model_type`; the old LLaVA files keep the text keys at the top, under their own type.
  private static let families: [(types: [String], family: Family)] = [
    (["llama", "llava", "llava_llama", "llava_next", "pmod_llava_llama", "vicuna"], Family()),
    (["mistral", "llava_mistral"], .mistral),
    (["qwen2", "llava_qwen"], .qwen2),
    (["qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text"], .qwenVL),
  ]

  init(_ json: JSON) throws {
    let config = HuggingFaceConfig(json: json)
    let type = json["model_type"]?.string ?? "llama"
    guard let family = Self.families.first(where: { $0.types.contains(type) })?.family else {
      throw ModelError.unknownFamily(
        found: "language model type '\(type)'", known: Self.families.flatMap(\.types))
    }
    func fail(_ key: String, _ expected: String) -> ModelError {
      .configuration(file: config.file, key: key, found: json.value(at: key)?.text() ?? "missing", expected: expected)
    }
    guard try config.activation(.silu) == .silu else { throw fail("hidden_act", "silu") }
    let width = try config.int("hidden_size", family.width)
    let heads = try config.int("num_attention_heads", family.heads)
    let kvHeads = try config.int("num_key_value_heads", family.kvHeads ?? heads)
    guard heads % kvHeads == 0 else { throw fail("num_key_value_heads", "a divisor of the \(heads) attention heads") }
    let headDim = try config.int("head_dim", width / heads)
    guard headDim > 0, headDim % 2 == 0 else { throw fail("head_dim", "an even number") }

    // New files keep all of it in one section; old ones have theta at the top and scaling apart.
    let rope = json.value(at: "rope_parameters") ?? json.value(at: "rope_scaling")
    let section = HuggingFaceConfig(json: rope ?? [:])
    let theta = try section.float("rope_theta", config.float("rope_theta", family.theta))
    guard theta > 0 else { throw fail("rope_theta", "a positive number") }
    let kind = (rope?["rope_type"] ?? rope?["type"])?.string ?? "default"
    let factor = kind == "linear" ? try section.float("factor", 1) : 1
    guard ["default", "mrope", "linear"].contains(kind), rope?["mrope_interleaved"]?.bool != true else {
      throw ModelError.configuration(
        file: config.file, key: "rope_scaling", found: "'\(kind)'", expected: "default, mrope or linear")
    }
    let sections = rope?["mrope_section"]?.ints ?? []
    guard sections.isEmpty || (sections.count == 3 && sections.reduce(0, +) == headDim / 2) else {
      throw ModelError.configuration(
        file: config.file, key: "mrope_section", found: "\(sections)",
        expected: "three numbers with the sum \(headDim / 2)")
    }
    let layers = try config.int("num_hidden_layers", family.layers)
    depths = try MixtureOfDepths(config, layers: layers)
    shape = Shape.Decoder(
      layers: layers, width: width, heads: heads, kvHeads: kvHeads,
      headDim: headDim, ffn: try config.int("intermediate_size", family.ffn),
      vocabulary: try config.int("vocab_size", family.vocabulary),
      frequencies: (0..<headDim / 2).map { pair in  // in float32, as transformers computes them
        1 / powf(theta, Float(2 * pair) / Float(headDim)) / factor
      }, sections: sections, shares: depths?.shares ?? [])
    epsilon = try config.float("rms_norm_eps", family.epsilon)
    guard json["use_sliding_window"]?.bool != true else { throw fail("use_sliding_window", "false") }
    switch json["sliding_window"] {
    case .null?: window = nil
    case nil: window = family.window
    default: window = family.window == nil ? nil : try config.int("sliding_window")  // only Mistral's classes heed it
    }
    let attention = json["attention_bias"]?.bool ?? false
    biases = (family.hasProjectionBiases || attention, attention, json["mlp_bias"]?.bool ?? false)
  }
}
