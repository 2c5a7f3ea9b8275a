import VTokCore
import VTokWeights

/// How GGUF files have the tower and the projector of a family ("mmproj").
struct GGUFProjector: Sendable {
  /// `clip.projector_type`
  let name: String
  /// `general.architecture` of the language models that go with it.
  let architectures: [String]
  /// The last matrix before the language model, whose rows are as wide as its embeddings.
  let last: String
  /// Whether that matrix stands left of the rows, which are then as long as the embeddings are wide.
  var isTurned = false
  /// Of families whose files have one name: whether a file is this one's.
  var fits: @Sendable (GGUFTower) -> Bool = { _ in true }
  let read: @Sendable (GGUFTower) throws -> GGUFVision
}

/// A tower and a projector under the names that models ask for.
struct GGUFVision {
  /// Of a `config.json` all but its text part.
  let config: [(String, JSON)]
  /// A `preprocessor_config.json`.
  let processor: JSON
  /// From names in the file to those asked for.
  let names: [String: String]
  var made: [String: MadeTensor] = [:]
}

/// The file with tower and projector, as families read it.
struct GGUFTower {
  let model: GGUF
  let path: String
  /// Below `clip.vision.`
  let keys: GGUFKeys
  /// Below `clip.`
  let whole: GGUFKeys

  init(_ model: GGUF) {
    self.model = model
    path = model.path
    keys = GGUFKeys(values: model.values, file: path, prefix: "clip.vision.")
    whole = GGUFKeys(values: model.values, file: path, prefix: "clip.")
  }

  /// `clip.projector_type`; the oldest files of LLaVA have none.
  var projector: String {
    get throws {
      if let name = try whole.text("projector_type") ?? keys.text("projector_type") { return name }
      guard try whole.bool("has_llava_projector", false) else {
        throw whole.unfit("projector_type", "the name of a projector")
      }
      return "mlp"
    }
  }

  // MARK: Sizes

  var width: Int { get throws { try keys.int("embedding_length") } }
  var blocks: Int { get throws { try keys.int("block_count", in: 1...1024) } }
  var patch: Int { get throws { try keys.int("patch_size", in: 1...1024) } }
  var side: Int { get throws { try keys.int("image_size", in: 1...8192) } }

  /// Channels between the two matrices of an MLP: the file's own key says something else in some files.
  var ffn: Int {
    get throws {
      let width = try width
      let shape = model.entry("v.blk.0.ffn_up.weight")?.shape ?? []
      // A file where the two names are exchanged has the turned shape.
      return shape.count == 2 ? shape[1] == width ? shape[0] : shape[1] : try keys.int("feed_forward_length")
    }
  }

  /// What every `vision_config` has, under the names of most.
  func config(_ more: [(String, JSON)]) throws -> JSON {
    let (gelu, silu) = (try whole.bool("use_gelu", false), try whole.bool("use_silu", false))
    let members: [(String, JSON)] = [
      ("hidden_size", JSON(try width)), ("num_hidden_layers", JSON(try blocks)),
      ("num_attention_heads", JSON(try keys.int("attention.head_count", in: 1...1024))),
      ("intermediate_size", JSON(try ffn)), ("patch_size", JSON(try patch)),
      ("layer_norm_eps", JSON(try keys.double("attention.layer_norm_epsilon", in: 0...1))),
      ("hidden_act", gelu ? "gelu_pytorch_tanh" : silu ? "silu" : "quick_gelu"),
    ]
    return .object(JSONObject(members + more))
  }

  /// What every image processor has.
  func processor(_ more: [(String, JSON)]) throws -> JSON {
    let mean = try keys.colours("image_mean", in: -1e6...1e6)
    let deviation = try keys.colours("image_std", in: 1e-6...1e6)
    let colours = [("image_mean", mean), ("image_std", deviation)].compactMap { key, values in
      values.map { (key, JSON($0.map(Double.init))) }
    }
    return .object(JSONObject(more + colours))
  }

  // MARK: Names

  /// Names of what the blocks hold, weights and biases.
  /// - Parameters:
  ///   - ours: what comes before the number of a block.
  ///   - parts: names in a block, in the file and here.
  func names(_ ours: String, _ parts: [(file: String, ours: String)]) throws -> [String: String] {
    var names: [String: String] = [:]
    let width = try width
    for block in 0..<(try blocks) {
      // Some converters called the matrix that comes first `ffn_down`.
      let isExchanged = try isExchanged(block, width)
      for (part, own) in parts {
        let file = isExchanged ? ["ffn_up": "ffn_down", "ffn_down": "ffn_up"][part] ?? part : part
        for kind in ["weight", "bias"] { names["v.blk.\(block).\(file).\(kind)"] = "\(ours)\(block).\(own).\(kind)" }
      }
    }
    return names
  }

  private func isExchanged(_ block: Int, _ width: Int) throws -> Bool {
    guard let up = model.entry("v.blk.\(block).ffn_up.weight")?.shape.last,
      let down = model.entry("v.blk.\(block).ffn_down.weight")?.shape.last
    else { return false }
    return up != width && down == width
  }

  /// Names in a block of CLIP and SigLIP.
  static let encoder = [
    ("ln1", "layer_norm1"), ("ln2", "layer_norm2"), ("attn_q", "self_attn.q_proj"), ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"), ("attn_out", "self_attn.out_proj"), ("ffn_up", "mlp.fc1"), ("ffn_down", "mlp.fc2"),
  ]
}

extension [String: String] {
  /// The same with weight and bias of some layers.
  func with(layers: [(file: String, ours: String)], _ others: [String: String] = [:]) -> [String: String] {
    var names = merging(others) { $1 }
    for (file, ours) in layers {
      for kind in ["weight", "bias"] { names["\(file).\(kind)"] = "\(ours).\(kind)" }
    }
    return names
  }
}
