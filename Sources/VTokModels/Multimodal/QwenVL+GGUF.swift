import VTokWeights

extension QwenVL {
  /// How GGUF files have the tower: q, k and v apart, and the kernel of the patches in two slices of time.
  static func gguf(_ name: String, isWindowed: Bool) -> GGUFProjector {
    GGUFProjector(name: name, architectures: ["qwen2vl"], last: "mm.2.weight") {
      try read($0, isWindowed: isWindowed)
    }
  }

  private static func read(_ tower: GGUFTower, isWindowed: Bool) throws -> GGUFVision {
    let (blocks, width, ffn, patch) = (try tower.blocks, try tower.width, try tower.ffn, try tower.patch)
    let epsilon = "attention.layer_norm_epsilon"
    guard abs(try tower.keys.double(epsilon, 1e-6, in: 0...1) - 1e-6) < 1e-8 else {
      throw tower.keys.unfit(epsilon, "1e-06, which the official code has")
    }
    let merge = try tower.keys.int("spatial_merge_size", 2, in: 1...16)
    var own: [(String, JSON)] = [
      ("embed_dim", JSON(width)), ("depth", JSON(blocks)), ("spatial_merge_size", JSON(merge)),
      ("num_heads", JSON(try tower.keys.int("attention.head_count", in: 1...1024))),
      // Half a channel more, so that rounding down gives the number.
      ("mlp_ratio", JSON((Double(ffn) + 0.5) / Double(width))),
    ]
    if isWindowed {
      let every = try tower.keys.int("n_wa_pattern", in: 1...1024)
      own.append(("fullatt_block_indexes", JSON((0..<blocks).filter { ($0 + 1) % every == 0 })))
      own.append(("window_size", JSON(try tower.keys.int("window_size", 112, in: 1...8192))))
    }
    let processor = try tower.processor([
      ("min_pixels", JSON(try tower.keys.int("image_min_pixels", 3136, in: 1...1 << 26))),
      ("max_pixels", JSON(try tower.keys.int("image_max_pixels", 12_845_056, in: 1...1 << 26))),
      ("patch_size", JSON(patch)), ("merge_size", JSON(merge)), ("temporal_patch_size", 2),
    ])
    let mlp =
      isWindowed
      ? [("ffn_gate", "mlp.gate_proj"), ("ffn_up", "mlp.up_proj"), ("ffn_down", "mlp.down_proj")]
      : [("ffn_up", "mlp.fc1"), ("ffn_down", "mlp.fc2")]
    let names = try tower.names(
      "vision.blocks.", [("ln1", "norm1"), ("ln2", "norm2"), ("attn_out", "attn.proj")] + mlp)
    var made = [
      "vision.patch_embed.proj.weight": MadeTensor(["v.patch_embd.weight", "v.patch_embd.weight.1"], join: .frames)
    ]
    for block in 0..<blocks {
      for kind in ["weight", "bias"] {
        let parts = ["q", "k", "v"].map { "v.blk.\(block).attn_\($0).\(kind)" }
        made["vision.blocks.\(block).attn.qkv.\(kind)"] = MadeTensor(parts, join: .rows)
      }
    }
    return GGUFVision(
      config: [("vision_config", try tower.config(own))], processor: processor,
      names: names.with(
        layers: [("v.post_ln", "vision.merger.ln_q"), ("mm.0", "vision.merger.mlp.0"), ("mm.2", "vision.merger.mlp.2")]
      ),
      made: made)
  }
}
