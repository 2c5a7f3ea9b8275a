import VTokCore
import VTokTensor
import VTokWeights

/// The third generation, Qwen3-VL: SigLIP's blocks with rotary positions beside learned ones that are resampled to every
/// picture, and DeepStack: mergers of their own for states on the way, whose rows are added behind the first layers of the
/// language model.
/// (transformers: `models/qwen3_vl`; Meng et al. 2024, arXiv 2406.04334.)
extension QwenVL {
  /// Blocks whose output goes to a merger of its own.
  private static func stacked(_ vision: Config) throws(ModelError) -> [Int] {
    try vision.ints("deepstack_visual_indexes") ?? [8, 16, 24]
  }

  /// The numbers from `config.json`. The grid is the one of a 1024 x 1024 image.
  static func stackedOutline(_ config: Config, _ decoder: Shape.Decoder) throws -> MultimodalFamily.Outline {
    let vision = try config.section("vision_config")
    let (patch, merge) = (try vision.int("patch_size", 16), try vision.int("spatial_merge_size", 2))
    let (width, blocks) = (try vision.int("hidden_size", 1152), try vision.int("depth", 27))
    let side = Int((Float(1024) / Float(patch * merge)).rounded()) * merge
    let tower = try Shape.Tower.checked(
      blocks: blocks, width: width, heads: vision.int("num_heads", 16), ffn: vision.int("intermediate_size", 4304),
      prefix: 0, rows: side, columns: side, patch: patch, frames: vision.int("temporal_patch_size", 2),
      fuse: merge * merge)
    let stacked = try stacked(vision)
    guard zip([-1] + stacked, stacked).allSatisfy(<), stacked.allSatisfy({ $0 < blocks }) else {
      throw vision.unfit("deepstack_visual_indexes", "numbers of the \(blocks) blocks, ascending")
    }
    guard stacked.count <= decoder.layers else {
      throw vision.unfit("deepstack_visual_indexes", "at most one for each of the \(decoder.layers) language layers")
    }
    let fused = merge * merge * width
    return MultimodalFamily.Outline(
      shape: Shape(
        tower: tower, decoder: decoder, layout: Shape.Layout(tiling: .native),
        connectorMACs: (1 + stacked.count) * (fused * fused + fused * decoder.width)),
      geometry: QwenVLGeometry(tower: tower))
  }

  /// - Parameter checkpoint: with names as `NamePrefixes` gives them.
  init(stacked checkpoint: Checkpoint, shape: Shape) throws {
    let (tower, view) = (shape.tower!, checkpoint["vision"])
    let config = try Config(json: checkpoint.config).section("vision_config")
    let (width, epsilon) = (tower.width, Float(1e-6))  // fixed in the official code
    guard tower.headDim % 4 == 0 else {
      throw config.unfit("num_heads", "heads of a multiple of 4 channels", found: "heads of \(tower.headDim)")
    }
    let activation = try config.activation(.geluTanh)
    let blocks = try (0..<tower.blocks).map { index in
      let block = view["blocks"][index]
      return TransformerBlock(
        heads: tower.heads, norm1: try block.norm("norm1", width, epsilon: epsilon),
        qkv: try block.linear("attn.qkv", [3 * width, width]), output: try block.linear("attn.proj", [width, width]),
        scale1: nil, norm2: try block.norm("norm2", width, epsilon: epsilon),
        up: try block.linear("mlp.linear_fc1", [tower.ffn, width]),
        down: try block.linear("mlp.linear_fc2", [width, tower.ffn]), mlp: .plain(activation), scale2: nil)
    }
    let patch = view["patch_embed"]["proj"]
    let kernel = try patch.weight("weight", [width, 3, tower.frames, tower.patch, tower.patch])
    let count = try config.int("num_position_embeddings", 2304)
    let side = Int(Double(count).squareRoot())
    let table = try view.tensor("pos_embed.weight", [count, width]).gathered(Array(0..<side * side))
    let embedding = VisionTower.Embedding(
      patch: tower.patch, projection: Linear(weight: kernel.packed, bias: try patch.vector("bias", [width])),
      prefix: [],
      positions: PositionGrid(table, rows: side, columns: side, kernel: .aligned), norm: nil)
    var whole = VisionTower(embedding: embedding, blocks: blocks, finalNorm: nil, shape: tower)
    let stacked = try Self.stacked(config)
    if !stacked.isEmpty { whole.featureStates = stacked.map { $0 + 1 } + [tower.blocks] }
    let (joined, out) = (tower.fuse * width, shape.decoder!.width)
    func merger(_ view: Checkpoint, normsJoined: Bool) throws -> Connector {
      let norm: Norm = try view.norm("norm", normsJoined ? joined : width, epsilon: epsilon)
      return Connector(
        norm: normsJoined ? nil : norm, joinedNorm: normsJoined ? norm : nil,
        first: try view.linear("linear_fc1", [joined, joined]), second: try view.linear("linear_fc2", [out, joined]))
    }
    try self.init(
      whole, try merger(view["merger"], normsJoined: false),
      deepStack: stacked.indices.map { try merger(view["deepstack_merger_list"][$0], normsJoined: true) },
      config: config)
  }
}
