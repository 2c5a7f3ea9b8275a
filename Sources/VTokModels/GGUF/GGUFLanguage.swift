import VTokCore
import VTokWeights

/// How GGUF files have the language models of a family.
struct GGUFLanguage: Sendable {
  /// `general.architecture`
  let architecture: String
  /// `model_type` of the same model in a `config.json`.
  let type: String
  /// Whether the rows of q and k lie so that neighbours are rotated together, where the model rotates halves.
  var rotatesNeighbours = false
  /// Whether rotary positions have three axes, whose sections the file has.
  var hasSections = false
}

/// The language model of a GGUF file under the names that models ask for.
struct GGUFText {
  let language: GGUFLanguage
  /// The text part of a `config.json`.
  let config: JSON
  /// From names in the file to those asked for.
  let names: [String: String]
  let made: [String: MadeTensor]
  /// Of an embedding.
  let width: Int

  /// - Throws: `ModelError` for an architecture that is not built, and keys that make no sense; `WeightError`.
  init(_ model: GGUF, vocabulary: GGUFVocabulary?) throws {
    let path = model.path
    let family = try Self.family(model, path)
    language = family.gguf!
    let keys = GGUFKeys(values: model.values, file: path, prefix: language.architecture + ".")
    width = try keys.int("embedding_length")
    let layers = try keys.int("block_count", in: 1...1024)
    let heads = try keys.int("attention.head_count", in: 1...1024)
    let kvHeads = try keys.int("attention.head_count_kv", heads, in: 1...1024)
    guard heads % kvHeads == 0 else {
      throw keys.unfit("attention.head_count_kv", "a divisor of the \(heads) attention heads")
    }
    let head = try keys.int("attention.key_length", width / heads)
    guard head > 0, head % 2 == 0, heads * head <= 65536 else {
      throw keys.unfit("attention.key_length", "an even number, and at most 65536 channels in \(heads) heads")
    }
    for key in ["attention.value_length", "rope.dimension_count"] {
      guard try keys.int(key, head) == head else { throw keys.unfit(key, "\(head), as many as a key has channels") }
    }
    var config: [(String, JSON)] = [
      ("model_type", JSON(language.type)),
      ("hidden_size", JSON(width)), ("num_hidden_layers", JSON(layers)), ("num_attention_heads", JSON(heads)),
      ("num_key_value_heads", JSON(kvHeads)), ("head_dim", JSON(head)),
      ("intermediate_size", JSON(try keys.int("feed_forward_length"))),
      ("max_position_embeddings", JSON(try keys.int("context_length", in: 1...1 << 30))),
      ("rms_norm_eps", JSON(try keys.double("attention.layer_norm_rms_epsilon", in: 0...1))),
      ("rope_parameters", .object(JSONObject(try Self.rope(model, keys, head, language)))),
      ("tie_word_embeddings", JSON(model.entry("output.weight") == nil)),
      // Converters add the 1 that other files leave out.
      ("centred_norms", false),
    ]
    config += try Self.windows(keys, family, layers: layers, width: width, heads: heads, head: head)
    if keys.has(Self.stacked) { config.append((Self.stacked, JSON(try keys.int(Self.stacked, in: 0...1024)))) }
    let rows = model.entry("token_embd.weight")?.shape.first ?? 1
    config.append(("vocab_size", JSON(try keys.int("vocab_size", rows, in: 1...1 << 24))))
    if let vocabulary { config.append(("eos_token_id", JSON(vocabulary.stops))) }
    self.config = .object(JSONObject(config))
    (names, made) = Self.names(
      model, layers, head: head, rows: (heads * head, kvHeads * head), family)
  }

  /// How many layers add rows of DeepStack: also the key of a configuration made from a file.
  static let stacked = "n_deepstack_layers"

  /// What layers with a window see, and by what queries are scaled, of families that have such layers.
  private static func windows(
    _ keys: GGUFKeys, _ family: LanguageFamily, layers: Int, width: Int, heads: Int, head: Int
  ) throws -> [(String, JSON)] {
    guard family.pattern != nil else { return [("sliding_window", .null)] }
    let pattern = "attention.sliding_window_pattern"
    var config: [(String, JSON)] = [
      ("sliding_window", JSON(try keys.int("attention.sliding_window", in: 1...1 << 30))),
      ("rope_local_base_freq", JSON(try keys.double("rope.freq_base_swa", 10000, in: 1e-3...1e10))),
      // Not in the file: the largest model alone divides by something else than channels of a head.
      ("query_pre_attn_scalar", JSON(layers == 62 ? width / heads : head)),
    ]
    if keys.has(pattern) { config.append(("sliding_window_pattern", JSON(try keys.int(pattern, in: 1...1024)))) }
    return config
  }

  private static func family(_ model: GGUF, _ path: String) throws -> LanguageFamily {
    let keys = GGUFKeys(values: model.values, file: path, prefix: "general.")
    guard let name = try keys.text("architecture") else { throw keys.unfit("architecture", "the name of a model") }
    guard let family = Families.language.first(where: { $0.gguf?.architecture == name }) else {
      throw ModelError.unknownFamily(
        found: "architecture '\(shortened(name))' in \(path)", known: Families.language.compactMap(\.gguf?.architecture)
      )
    }
    return family
  }

  /// Rotary positions.
  private static func rope(
    _ model: GGUF, _ keys: GGUFKeys, _ head: Int, _ language: GGUFLanguage
  ) throws -> [(String, JSON)] {
    let kind = try keys.text("rope.scaling.type") ?? "none"
    guard ["none", "linear"].contains(kind) else { throw keys.unfit("rope.scaling.type", "none or linear") }
    var rope: [(String, JSON)] = [
      ("rope_type", JSON(kind == "none" ? "default" : kind)),
      ("rope_theta", JSON(try keys.double("rope.freq_base", 10000, in: 1e-3...1e10))),
    ]
    if kind == "linear" {
      rope.append(("factor", JSON(try keys.double("rope.scaling.factor", in: 1e-6...1e6))))
    }
    if language.hasSections {
      let key = "rope.dimension_sections"
      let sections = try keys.ints(key, count: 3...4, in: 0...head)
      guard let sections, sections.reduce(0, +) == head / 2, sections.dropFirst(3).allSatisfy({ $0 == 0 }) else {
        throw keys.unfit(key, "three numbers and 0 with the sum \(head / 2)")
      }
      rope.append(("mrope_section", JSON(Array(sections.prefix(3)))))
    }
    if let factors = model.entry(frequencies) {
      let values = try model.tensor(frequencies).values
      guard factors.shape == [head / 2], values.allSatisfy({ $0.isFinite && $0 > 0 }) else {
        throw ModelError.input(
          what: "\(keys.file): tensor `\(frequencies)`",
          found: "shape \(factors.shape), or numbers that divide nothing",
          expected: "\(head / 2) numbers above 0", fix: "Use the file as published.")
      }
      rope.append(("frequency_divisors", JSON.array(values.map { JSON(Double($0)) })))
    }
    return rope
  }

  /// Llama 3's scaling of frequencies, as numbers that divide them.
  static let frequencies = "rope_freqs.weight"

  /// Names of everything that a model of this family may have.
  private static func names(
    _ model: GGUF, _ layers: Int, head: Int, rows: (q: Int, kv: Int), _ family: LanguageFamily
  ) -> (names: [String: String], made: [String: MadeTensor]) {
    var names = [
      "token_embd.weight": "text.embed_tokens.weight", "output_norm.weight": "text.norm.weight",
      "output.weight": "lm_head.weight", frequencies: frequencies,
    ]
    var made: [String: MadeTensor] = [:]
    let permuted = family.gguf!.rotatesNeighbours
    var parts = [
      ("attn_norm", "input_layernorm"), ("attn_q", "self_attn.q_proj"),
      ("attn_k", "self_attn.k_proj"), ("attn_v", "self_attn.v_proj"), ("attn_output", "self_attn.o_proj"),
      ("ffn_gate", "mlp.gate_proj"), ("ffn_up", "mlp.up_proj"), ("ffn_down", "mlp.down_proj"),
    ]
    if family.normsHeads { parts += [("attn_q_norm", "self_attn.q_norm"), ("attn_k_norm", "self_attn.k_norm")] }
    parts +=
      family.normsBranches
      ? [
        ("ffn_norm", "pre_feedforward_layernorm"), ("post_attention_norm", "post_attention_layernorm"),
        ("post_ffw_norm", "post_feedforward_layernorm"),
      ] : [("ffn_norm", "post_attention_layernorm")]
    let fused = [
      ("q", 0..<rows.q), ("k", rows.q..<rows.q + rows.kv), ("v", rows.q + rows.kv..<rows.q + 2 * rows.kv),
    ]
    for layer in 0..<layers {
      let (file, ours) = ("blk.\(layer).", "text.layers.\(layer).")
      for kind in ["weight", "bias"] {
        for (name, own) in parts { names["\(file)\(name).\(kind)"] = "\(ours)\(own).\(kind)" }
        let whole = "\(file)attn_qkv.\(kind)"
        let isFused = model.entry(whole) != nil
        // No family whose rows are turned has biases: these are refused like all that is not asked for.
        for (part, range) in fused where isFused || permuted && part != "v" && kind == "weight" {
          let name = "\(file)attn_\(part).\(kind)"
          guard isFused || model.entry(name) != nil else { continue }
          let turned = permuted && part != "v" ? head : nil
          names[name] = nil
          made["\(ours)self_attn.\(part)_proj.\(kind)"] =
            isFused ? MadeTensor(whole, rows: range, head: turned) : MadeTensor(name, head: turned)
        }
        if isFused { names[whole] = "\(ours)self_attn.qkv_proj.\(kind)" }
      }
    }
    return (names, made)
  }
}
