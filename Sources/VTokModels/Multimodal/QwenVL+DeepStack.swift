import VTokCore
import VTokTensor
import VTokWeights

/// The third generation, Qwen3-VL: SigLIP's blocks with rotary positions beside learned ones that are resampled to every
/// picture, and DeepStack: mergers of their own for states on the way, whose rows are added behind the first layers of the
/// language model.
/// (transformers: `models/qwen3_vl`; Meng et al. 2024, arXiv 2406.04334.)
extension QwenVL {
  /// Blocks whose output goes to a merger of its own.
  private static func stacked(_ vision: Config, _ fallback: [Int]) throws(ModelError) -> [Int] {
    try vision.ints("deepstack_visual_indexes") ?? fallback
  }

  /// The numbers from `config.json`. The grid is the one of a 1024 x 1024 image.
  /// - Parameter fallback: blocks with a merger of their own where the file names none.
  static func stackedOutline(
    _ config: Config, _ decoder: Shape.Decoder, stacked fallback: [Int] = [8, 16, 24],
    videos: QwenVLGeometry.Videos? = nil
  ) throws -> MultimodalFamily.Outline {
    let vision = try config.section("vision_config")
    let (patch, merge) = (try vision.int("patch_size", 16), try vision.int("spatial_merge_size", 2))
    let (width, blocks) = (try vision.int("hidden_size", 1152), try vision.int("depth", 27))
    let side = Int((Float(1024) / Float(patch * merge)).rounded()) * merge
    var tower = try Shape.Tower.checked(
      blocks: blocks, width: width, heads: vision.int("num_heads", 16), ffn: vision.int("intermediate_size", 4304),
      prefix: 0, rows: side, columns: side, patch: patch, frames: vision.int("temporal_patch_size", 2),
      fuse: merge * merge)
    let stacked = try stacked(vision, fallback)
    guard zip([-1] + stacked, stacked).allSatisfy(<), stacked.allSatisfy({ $0 < blocks }) else {
      throw vision.unfit("deepstack_visual_indexes", "numbers of the \(blocks) blocks, ascending")
    }
    guard stacked.count <= decoder.layers else {
      throw vision.unfit("deepstack_visual_indexes", "at most one for each of the \(decoder.layers) language layers")
    }
    // A text model in a GGUF file says how many rows it waits for.
    let key = "text_config.\(GGUFText.stacked)"
    guard try config.intIfPresent(key, in: 0...1024).map({ $0 == stacked.count }) ?? true else {
      throw config.unfit(key, "as many as the tower has: \(stacked.count)")
    }
    tower.states = 1 + stacked.count
    let fused = merge * merge * width
    return MultimodalFamily.Outline(
      shape: Shape(
        tower: tower, decoder: decoder, layout: Shape.Layout(tiling: .native, comesInCells: true),
        connectorMACs: (1 + stacked.count) * (fused * fused + fused * decoder.width)),
      geometry: QwenVLGeometry(tower: tower, videos: videos))
  }

  /// - Parameter checkpoint: with names as `NamePrefixes` gives them.
  init(stacked checkpoint: Checkpoint, shape: Shape, stacked fallback: [Int] = [8, 16, 24]) throws {
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
    let stacked = try Self.stacked(config, fallback)
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

extension QwenVL {
  /// In GGUF files q, k and v lie in one matrix, the kernel of the patches in two slices of time, and the mergers on the way
  /// under the numbers of their blocks.
  static let stackedGGUF = GGUFProjector(
    name: "qwen3vl_merger", architectures: ["qwen3vl"], last: "mm.2.weight", read: readStacked)

  private static func readStacked(_ tower: GGUFTower) throws -> GGUFVision {
    let (blocks, merge) = (try tower.blocks, try tower.keys.int("spatial_merge_size", 2, in: 1...16))
    let epsilon = "attention.layer_norm_epsilon"
    guard abs(try tower.keys.double(epsilon, 1e-6, in: 0...1) - 1e-6) < 1e-8 else {
      throw tower.keys.unfit(epsilon, "1e-06, which the official code has")
    }
    let flags = try tower.keys.bools("is_deepstack_layers", count: blocks) ?? []
    let stacked = flags.indices.filter { flags[$0] }
    let own: [(String, JSON)] = [
      ("depth", JSON(blocks)), ("spatial_merge_size", JSON(merge)), ("deepstack_visual_indexes", JSON(stacked)),
      ("num_heads", JSON(try tower.keys.int("attention.head_count", in: 1...1024))),
      ("num_position_embeddings", JSON(tower.model.entry("v.position_embd.weight")?.shape.first ?? 1)),
    ]
    let limits = [("image_min_pixels", "min_pixels", 65536), ("image_max_pixels", "max_pixels", 16_777_216)]
    let processor = try tower.processor(
      limits.map { ($1, JSON(try tower.keys.int($0, $2, in: 1...1 << 26))) } + [
        ("patch_size", JSON(try tower.patch)), ("merge_size", JSON(merge)), ("temporal_patch_size", 2),
      ])
    let names = try tower.names(
      "vision.blocks.",
      [
        ("ln1", "norm1"), ("ln2", "norm2"), ("attn_qkv", "attn.qkv"), ("attn_out", "attn.proj"),
        ("ffn_up", "mlp.linear_fc1"), ("ffn_down", "mlp.linear_fc2"),
      ])
    let mergers = stacked.enumerated().flatMap { index, block in
      [("norm", "norm"), ("fc1", "linear_fc1"), ("fc2", "linear_fc2")].map { file, ours in
        ("v.deepstack.\(block).\(file)", "vision.deepstack_merger_list.\(index).\(ours)")
      }
    }
    return GGUFVision(
      config: [("vision_config", try tower.config(own))], processor: processor,
      names: names.with(
        layers: mergers + [
          ("v.post_ln", "vision.merger.norm"), ("mm.0", "vision.merger.linear_fc1"),
          ("mm.2", "vision.merger.linear_fc2"),
        ],
        [
          "v.position_embd.weight": "vision.pos_embed.weight", "v.patch_embd.bias": "vision.patch_embed.proj.bias",
        ]),
      made: [
        "vision.patch_embed.proj.weight": MadeTensor(["v.patch_embd.weight", "v.patch_embd.weight.1"], join: .frames)
      ])
  }
}
