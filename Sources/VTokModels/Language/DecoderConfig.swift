import VTokCore
import VTokLibC
import VTokTensor
import VTokWeights

/// What the text part of a `config.json` says. Published files list only what differs from the class defaults of their
/// day, so every key has the default of its `model_type` (transformers, `models/<type>/configuration_<type>.py`).
struct DecoderConfig {
  let shape: Shape.Decoder
  let epsilon: Float
  /// Whether q, k and v have biases, whether the output projection has one, whether the MLP has them.
  let biases: (projections: Bool, output: Bool, mlp: Bool)
  /// Whether the heads of q and k are normed before they are rotated, and whether branches are before they are added.
  let normsHeads: Bool, normsBranches: Bool
  /// Whether the file has the weights of norms less 1.
  let centresNorms: Bool
  /// Of the MLP's gate.
  let activation: Activation
  /// Rows of the embedding table are multiplied by it where they enter the first layer.
  let embeddingScale: Float?
  /// Tokens that rotary positions are right for; nil: any number.
  let longest: Int?
  /// How layers choose the visual tokens that they compute; nil in most models.
  let depths: MixtureOfDepths?

  var isSmall: Bool { shape.isSmall }

  /// - Parameter config: the text part of `config.json`, as `MultimodalFamily.language` finds it.
  init(_ config: Config) throws {
    let family = try LanguageFamily.of(config.string("model_type") ?? "llama")
    activation = try config.activation(family.activation, key: family.activationKey)
    guard activation == family.activation else {
      throw config.unfit(family.activationKey, family.activation == .silu ? "silu" : "gelu_pytorch_tanh")
    }
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
    for key in ["qk_layer_norms", "rope_interleaved", "use_resampler", "use_qk_norm", "use_bidirectional_attention"] {
      guard try !config.bool(key, false) else { throw config.unfit(key, "false") }
    }
    let layers = try config.int("num_hidden_layers", family.layers)
    let rotation = try DecoderRotation(config, family, headDim: headDim)
    longest = rotation.isDynamic ? try config.intIfPresent("max_position_embeddings") : nil
    depths = try MixtureOfDepths(config, layers: layers)
    var shape = Shape.Decoder(
      layers: layers, width: width, heads: heads, kvHeads: kvHeads,
      headDim: headDim, ffn: try config.int("intermediate_size", family.ffn),
      vocabulary: try config.int("vocab_size", family.vocabulary), frequencies: rotation.frequencies,
      sections: rotation.sections, isInterleaved: family.interleaves, shares: depths?.shares ?? [])
    shape.mixers = try config.mixers(family, layers: layers)
    shape.windowFrequencies = rotation.windowFrequencies
    shape.seesWholeImages = family.seesWholeImages
    shape.gatesAttention = family.gatesAttention
    shape.deltaNet = try family.deltaNet.map { try config.deltaNet($0) }
    if let scalar = family.queryScalar {
      shape.queryScale = 1 / Float(try config.double("query_pre_attn_scalar", scalar)).squareRoot()
    }
    self.shape = shape
    epsilon = try config.float("rms_norm_eps", family.epsilon)
    guard try !config.bool("use_sliding_window", false) else { throw config.unfit("use_sliding_window", "false") }
    let all = try config.bool("use_bias", false)
    let attention = try config.bool("attention_bias", false) || all
    biases = (family.hasProjectionBiases || attention, attention, try config.bool("mlp_bias", false) || all)
    (normsHeads, normsBranches) = (family.normsHeads, family.normsBranches)
    centresNorms = try family.centresNorms && config.bool("centred_norms", true)  // not in GGUF files
    embeddingScale = family.scalesEmbeddings ? Float(width).squareRoot() : nil
    try Shape.check(parameters: shape.weights + shape.tableWeights, of: "language model")
  }

  /// A matrix as the products of this model take it.
  func linear(_ view: Checkpoint, _ name: String, _ shape: [Int?], bias: Bool = false) throws -> Linear {
    let stored = try view.weight("\(name).weight", shape)
    return Linear(
      weight: [.f32, .file].contains(view.precision) && isSmall
        ? stored.packed : stored.at(view.precision, threads: processors),
      bias: bias ? try view.vector("\(name).bias", [shape[0]]) : nil)
  }

  func norm(_ view: Checkpoint, _ name: String, _ width: Int) throws -> RMSNorm {
    let weight = try view.vector("\(name).weight", [width])
    return RMSNorm(weight: centresNorms ? weight.map { 1 + $0 } : weight, epsilon: epsilon)
  }
}

/// Rotary positions by the text part of a `config.json`.
private struct DecoderRotation {
  /// `[rotated channels / 2]`; of layers with a window empty where they turn as the others do.
  let frequencies: [Float], windowFrequencies: [Float]
  let sections: [Int]
  /// Whether frequencies depend on the length, which changes nothing up to the length of training.
  let isDynamic: Bool

  init(_ config: Config, _ family: LanguageFamily, headDim: Int) throws {
    // New files keep all of it in one section, or in one for every kind of layer; old ones have theta at the top and
    // scaling apart.
    let whole = try config.sectionIfPresent("rope_parameters")
    let rope =
      try whole?.sectionIfPresent("full_attention") ?? whole ?? config.section("rope_scaling")
    // The class of Qwen3-VL interleaves whatever the key says.
    guard try family.interleaves || !rope.bool("mrope_interleaved", false) else {
      throw rope.unfit("mrope_interleaved", "false")
    }
    isDynamic = try rope.string("rope_type") ?? rope.string("type") == "dynamic"
    let key = "partial_rotary_factor"
    let share = try rope.double(key, config.double(key, family.rotaryShare))
    let rotated = Int(Double(headDim) * share)
    guard family.rotaryShare < 1 ? rotated > 0 && rotated % 2 == 0 : share == 1 else {
      throw config.unfit(key, family.rotaryShare < 1 ? "an even number of the \(headDim) channels of a head" : "1")
    }
    let given = try rope.ints("mrope_section")
    guard given?.isEmpty ?? true || (given!.count == 3 && given!.reduce(0, +) == rotated / 2) else {
      throw rope.unfit("mrope_section", "three numbers with the sum \(rotated / 2)")
    }
    sections = given ?? family.sections
    let divisors = try rope.floats("frequency_divisors", count: rotated / 2)  // of GGUF files alone
    frequencies = try Self.frequencies(
      rope, theta: config.float("rope_theta", family.theta), channels: rotated, divisors)
    windowFrequencies =
      try family.windowTheta.map { theta in
        try Self.frequencies(
          whole?.section("sliding_attention") ?? config.without(["rope_theta"]),
          theta: config.float("rope_local_base_freq", theta), channels: rotated, nil)
      } ?? []
  }

  private static func frequencies(
    _ rope: Config, theta: Float, channels: Int, _ divisors: [Float]?
  ) throws -> [Float] {
    let theta = try rope.float("rope_theta", theta)
    let kind = try rope.string("rope_type") ?? rope.string("type") ?? "default"
    guard ["default", "mrope", "linear", "dynamic"].contains(kind) else {
      throw rope.unfit("rope_type", "default, mrope, linear or dynamic", found: "'\(kind)'")
    }
    let factor = kind == "linear" ? try rope.float("factor", 1) : 1
    return (0..<channels / 2).map { pair in  // in float32, as transformers computes them
      1 / powf(theta, Float(2 * pair) / Float(channels)) / factor / (divisors?[pair] ?? 1)
    }
  }
}

extension Config {
  /// The size of gated delta nets.
  fileprivate func deltaNet(_ fallback: Shape.Decoder.DeltaNet) throws -> Shape.Decoder.DeltaNet {
    let size = Shape.Decoder.DeltaNet(
      keyHeads: try int("linear_num_key_heads", fallback.keyHeads),
      keyDim: try int("linear_key_head_dim", fallback.keyDim),
      valueHeads: try int("linear_num_value_heads", fallback.valueHeads),
      valueDim: try int("linear_value_head_dim", fallback.valueDim),
      taps: try int("linear_conv_kernel_dim", fallback.taps))
    guard size.valueHeads % size.keyHeads == 0 else {
      throw unfit("linear_num_value_heads", "a multiple of the \(size.keyHeads) key heads")
    }
    guard size.channels <= 1 << 20 else {
      throw unfit("linear_value_head_dim", "at most \(1 << 20) channels of q, k and v", found: "\(size.channels)")
    }
    return size
  }

  /// What mixes the rows of every layer; empty where all attend to all rows before them.
  fileprivate func mixers(_ family: LanguageFamily, layers: Int) throws -> [Shape.Decoder.Mixer] {
    let window: Int? =
      switch json["sliding_window"] {
      case .null?: nil
      case nil: family.window
      default: family.window == nil ? nil : try int("sliding_window")  // only some classes heed it
      }
    let given = try strings("layer_types")
    guard let pattern = family.pattern else {
      let kinds = Set(given ?? [])
      guard kinds.isSubset(of: ["full_attention"]) || kinds == ["sliding_attention"] && family.window != nil else {
        throw unfit("layer_types", "full_attention in every layer", found: kinds.sorted().joined(separator: ", "))
      }
      return window.map { [Shape.Decoder.Mixer](repeating: .window($0), count: layers) } ?? []
    }
    let every = try pattern.keys.lazy.compactMap { try intIfPresent($0) }.first ?? pattern.every
    let kinds = given ?? (1...layers).map { $0 % every == 0 ? "full_attention" : pattern.others }
    guard kinds.count == layers else {
      throw unfit("layer_types", "one for each of the \(layers) layers", found: "\(kinds.count)")
    }
    return try kinds.map { kind in
      switch kind {
      case "full_attention": return .full
      case pattern.others where kind == "linear_attention": return .deltaNet
      case pattern.others where kind == "sliding_attention": return window.map { .window($0) } ?? .full
      default: throw unfit("layer_types", "full_attention or \(pattern.others)", found: "'\(shortened(kind))'")
      }
    }
  }
}
