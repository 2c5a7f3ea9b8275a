import VTokCore
import VTokLibC
import VTokWeights

/// What the text part of a `config.json` says. Published files list only what differs from the class defaults of their
/// day, so every key has the default of its `model_type` (transformers, `models/<type>/configuration_<type>.py`).
struct DecoderConfig {
  let shape: Shape.Decoder
  let epsilon: Float
  /// A query sees this many keys, its own included; nil: all before it.
  let window: Int?
  /// Whether q, k and v have biases, whether the output projection has one, whether the MLP has them.
  let biases: (projections: Bool, output: Bool, mlp: Bool)
  /// Whether the heads of q and k are normed before they are rotated.
  let normsHeads: Bool
  /// How layers choose the visual tokens that they compute; nil in most models.
  let depths: MixtureOfDepths?

  /// Whether float32 copies in the order of the kernels are worth their memory: below about 32 million numbers.
  var isSmall: Bool { parameters < 1 << 25 }

  private var parameters: Int {
    let layer = 2 * (shape.heads + shape.kvHeads) * shape.headDim * shape.width + 3 * shape.width * shape.ffn
    return shape.layers * layer + shape.vocabulary * shape.width
  }

  /// - Parameter config: the text part of `config.json`, as `MultimodalFamily.language` finds it.
  init(_ config: Config) throws {
    let type = try config.string("model_type") ?? "llama"
    let family = try LanguageFamily.of(type)
    guard try config.activation(.silu) == .silu else { throw config.unfit("hidden_act", "silu") }
    let width = try config.int("hidden_size", family.width)
    let heads = try config.int("num_attention_heads", family.heads)
    let kvHeads = try config.int("num_key_value_heads", family.kvHeads ?? heads)
    guard heads % kvHeads == 0 else {
      throw config.unfit("num_key_value_heads", "a divisor of the \(heads) attention heads")
    }
    let headDim = try config.int("head_dim", family.headDim ?? width / heads)
    guard headDim > 0, headDim % 2 == 0, heads * headDim <= 65536 else {
      throw config.unfit(
        "head_dim", "an even number, and at most 65536 channels in \(heads) heads", found: "\(headDim)")
    }

    // New files keep all of it in one section; old ones have theta at the top and scaling apart.
    let rope = try config.sectionIfPresent("rope_parameters") ?? config.section("rope_scaling")
    let theta = try rope.float("rope_theta", config.float("rope_theta", family.theta))
    let kind = try rope.string("rope_type") ?? rope.string("type") ?? "default"
    let factor = kind == "linear" ? try rope.float("factor", 1) : 1
    guard ["default", "mrope", "linear", "dynamic"].contains(kind) else {
      throw rope.unfit("rope_type", "default, mrope, linear or dynamic", found: "'\(kind)'")
    }
    // The class of Qwen3-VL interleaves whatever the key says.
    guard try family.interleaved != nil || !rope.bool("mrope_interleaved", false) else {
      throw rope.unfit("mrope_interleaved", "false")
    }
    guard try rope.double("partial_rotary_factor", config.double("partial_rotary_factor", 1)) == 1 else {
      throw config.unfit("partial_rotary_factor", "1")
    }
    for key in ["qk_layer_norms", "rope_interleaved", "use_resampler", "use_qk_norm"] {
      guard try !config.bool(key, false) else { throw config.unfit(key, "false") }
    }
    let kinds = Set(try config.strings("layer_types") ?? [])
    guard kinds.isSubset(of: ["full_attention"]) || kinds == ["sliding_attention"] && family.window != nil else {
      throw config.unfit("layer_types", "full_attention in every layer", found: kinds.sorted().joined(separator: ", "))
    }
    let given = try rope.ints("mrope_section")
    guard given?.isEmpty ?? true || (given!.count == 3 && given!.reduce(0, +) == headDim / 2) else {
      throw rope.unfit("mrope_section", "three numbers with the sum \(headDim / 2)")
    }
    let sections = given ?? family.interleaved ?? []
    normsHeads = family.normsHeads
    let divisors = try rope.floats("frequency_divisors", count: headDim / 2)  // of GGUF files alone
    let layers = try config.int("num_hidden_layers", family.layers)
    depths = try MixtureOfDepths(config, layers: layers)
    shape = Shape.Decoder(
      layers: layers, width: width, heads: heads, kvHeads: kvHeads,
      headDim: headDim, ffn: try config.int("intermediate_size", family.ffn),
      vocabulary: try config.int("vocab_size", family.vocabulary),
      frequencies: (0..<headDim / 2).map { pair in  // in float32, as transformers computes them
        1 / powf(theta, Float(2 * pair) / Float(headDim)) / factor / (divisors?[pair] ?? 1)
      }, sections: sections, isInterleaved: family.interleaved != nil, shares: depths?.shares ?? [])
    epsilon = try config.float("rms_norm_eps", family.epsilon)
    guard try !config.bool("use_sliding_window", false) else { throw config.unfit("use_sliding_window", "false") }
    switch config.json["sliding_window"] {
    case .null?: window = nil
    case nil: window = family.window
    default: window = family.window == nil ? nil : try config.int("sliding_window")  // only Mistral's classes heed it
    }
    let attention = try config.bool("attention_bias", false)
    let all = try config.bool("use_bias", false)
    biases = (
      family.hasProjectionBiases || attention || all, attention || all, try config.bool("mlp_bias", false) || all
    )
    try Shape.check(parameters: parameters, of: "language model")
  }
}
