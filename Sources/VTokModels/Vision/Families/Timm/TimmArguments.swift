import VTokCore
import VTokImage
import VTokTensor
import VTokWeights

/// Arguments of timm's `VisionTransformer` that decide what it computes, as far as this tower can be built to them. Values
/// here are timm's own defaults.
package struct TimmArguments: Sendable, Equatable {
  package enum Pool: String, CaseIterable, Sendable { case token, avg, map }
  /// Files of timm, whose classes name their arguments and tensors differently.
  package enum Code: Sendable { case vit, eva, beit }
  /// What positions are that queries and keys are turned by.
  package enum Turn: Sendable { case dinov3, cells }

  package var code = Code.vit
  package var patch = 16, width = 768, depth = 12, heads = 12
  /// Hidden width of the MLP over `width`; a gated one splits it into its two halves.
  package var ratio = 4.0
  package var isGated = false
  /// The hidden width of a gated MLP is a multiple of it; 0: it is as it comes.
  package var align = 0
  /// Norms inside the MLP and inside attention.
  package var normsHidden = false, normsHeads = false
  /// Whether queries, keys and values are one matrix.
  package var isFused = true
  package var hasBiases = true, hasLayerScale = false
  package var hasClassToken = true
  /// Whether learned positions are added.
  package var hasPositions = true
  package var rotary: Turn?
  /// Rows and columns of the grid that cells are counted on.
  package var reference = [16, 16]
  /// Whether pairs of rows have a bias by their distance.
  package var isRelative = false
  /// Whether positions are added to the prefix too (not `no_embed_class`).
  package var placesPrefix = true
  package var registers = 0
  package var isDistilled = false
  package var hasPreNorm = false, hasFinalNorm = true
  /// Norm behind the pool in place of the one before it; nil: where the pool is a mean.
  package var normsPool: Bool?
  package var pool = Pool.token
  package var epsilon: Float = 1e-6
  package var activation = Activation.gelu
  /// Pixels, where the model was made for others than its name says.
  package var side: Int?

  package init() {}

  /// By a timm name: tags behind a dot and the checksum of a file behind a hyphen are left out.
  /// - Throws: `ModelError.unknownFamily` for every architecture that is not on the list.
  package init(architecture: String) throws(ModelError) {
    let name = String(architecture.prefix { $0 != "." && $0 != "-" })
    guard let known = Self.architectures[name] else {
      throw .unknownFamily(
        found: "timm architecture '\(shortened(architecture))'", known: ["ViT", "DeiT", "CLIP", "DINOv2"],
        nearest: nearest(to: shortened(name), in: Array(Self.architectures.keys))?.word)
    }
    self = known
  }

  /// The architecture of a `config.json` with its `model_args`.
  init(_ config: Config) throws(ModelError) {
    guard let architecture = try config.string("architecture") else {
      throw .unknownFamily(
        found: "a timm model without an architecture in config.json", known: ["one that names its architecture"])
    }
    try self.init(architecture: architecture)
    let arguments = try config.section("model_args")
    for key in arguments.json.object?.map(\.key) ?? [] { try set(key, arguments) }
    if !hasClassToken, pool == .token { throw arguments.unfit("class_token", "true where it is the pool") }
    if normsHidden, !isGated { throw arguments.unfit("scale_mlp", "false where the MLP is not gated") }
    if code == .beit, pool == .map { throw arguments.unfit("global_pool", "avg or token") }
    if rotary != nil, width % (4 * heads) != 0 {
      throw arguments.unfit("num_heads", "one that splits the width \(width) into heads of a multiple of 4")
    }
    if isDistilled, pool != .token { throw arguments.unfit("global_pool", "token for a distilled model") }
    if normsPool == true, pool == .token { throw arguments.unfit("fc_norm", "false where the class token is the pool") }
  }

  /// Arguments that change training or the shape of what is returned, never the numbers of a forward pass.
  private static let harmless: Set<String> = [
    "num_classes", "drop_rate", "pos_drop_rate", "patch_drop_rate", "proj_drop_rate", "attn_drop_rate",
    "drop_path_rate", "weight_init", "fix_init", "dynamic_img_size", "device", "dtype", "out_indices", "pretrained",
    "pretrained_strict", "cache_dir", "scriptable", "exportable", "head_init_scale",
  ]
  /// Arguments that this tower is built to in one way only.
  static let fixed: [(key: String, values: [JSON])] = [
    ("in_chans", [3]), ("qk_norm", [false]), ("scale_attn_norm", [false]), ("scale_mlp_norm", [false]),
    ("proj_bias", [true]), ("pos_embed", ["learn"]), ("pool_include_prefix", [false]),
    ("dynamic_img_pad", [false]), ("attn_layer", ["", "attn"]), ("embed_layer", []), ("embed_norm_layer", []),
    ("block_fn", []), ("mlp_layer", []), ("features_only", [false]), ("use_naflex", [false]),
  ]

  /// Null stands for timm's own default.
  private mutating func set(_ key: String, _ config: Config) throws(ModelError) {
    let isNull = !config.has(key)
    if code != .vit, try setOwn(key, config) { return }
    switch key {
    case "patch_size": patch = try config.squareSide(key) ?? patch
    case "img_size": side = try config.squareSide(key)
    case "embed_dim": width = try config.int(key, width)
    case "depth": depth = try config.int(key, depth)
    case "num_heads": heads = try config.int(key, heads)
    case "mlp_ratio": ratio = try config.double(key, ratio)
    case "qkv_bias": hasBiases = try config.bool(key, hasBiases)
    case "no_embed_class": placesPrefix = try !config.bool(key, !placesPrefix)
    case "reg_tokens": registers = try config.int(key, 0)
    case "class_token": hasClassToken = try config.bool(key, hasClassToken)
    case "pre_norm": hasPreNorm = try config.bool(key, hasPreNorm)
    case "final_norm": hasFinalNorm = try config.bool(key, hasFinalNorm)
    case "fc_norm": normsPool = isNull ? nil : try config.bool(key, false)
    case "global_pool": pool = try config.choice(key, Pool.self) ?? pool
    case "init_values": hasLayerScale = try config.double(key, 0) != 0
    case "norm_layer":
      let name = try config.string(key)
      guard name == nil || name?.lowercased() == "layernorm" else {
        throw config.unfit(key, "layernorm")
      }
      epsilon = 1e-6
    case "act_layer": try setActivation(key, config)
    default:
      if isNull || Self.harmless.contains(key) { return }
      guard let fixed = Self.fixed.first(where: { $0.key == key }) else {
        throw config.unfit(key, "an argument that vtok knows: it may change what the model computes")
      }
      try Self.check(key, config, fixed.values)
    }
  }

  /// Refuses a value that is none of those that the tower is built to.
  static func check(_ key: String, _ config: Config, _ values: [JSON]) throws(ModelError) {
    guard config.has(key), !values.contains(config.json[key]!) else { return }
    throw config.unfit(key, values.first.map(\.brief) ?? "null")
  }

  private mutating func setActivation(_ key: String, _ config: Config) throws(ModelError) {
    let names: [String: Activation] = [
      "gelu": .gelu, "gelu_tanh": .geluTanh, "quick_gelu": .quickGELU, "silu": .silu, "swish": .silu,
    ]
    let name = try config.string(key)?.lowercased() ?? "gelu"
    guard let known = names[name], !isGated || known == .silu else {
      throw config.unfit(key, isGated ? "silu" : names.keys.sorted().joined(separator: ", "))
    }
    activation = known
  }

  /// Hidden width of the MLP, and rows of its first matrix. The ratio of a gated ViT counts both its halves.
  var hidden: (ffn: Int, rows: Int) {
    let product = Int(Double(width) * ratio)
    if code == .vit { return (isGated ? product / 2 : product, product) }
    let ffn = align > 0 ? (product + align - 1) / align * align : product
    return (ffn, isGated && !isSplit ? 2 * ffn : ffn)
  }
  /// Whether the two halves of a gated MLP are matrices of their own.
  var isSplit: Bool { isGated && (normsHidden || align > 0) }
  var normsMean: Bool { normsPool ?? (pool == .avg) }
  var prefix: Int { (hasClassToken ? 1 : 0) + (isDistilled ? 1 : 0) + registers }
}
