import VTokWeights

extension TimmArguments {
  /// Arguments of EVA's and BEiT's classes that ViT's has not, or not under that name.
  /// - Returns: whether it is one of them.
  mutating func setOwn(_ key: String, _ config: Config) throws(ModelError) -> Bool {
    switch (code, key) {
    case (_, "init_values"): hasLayerScale = config.has(key)
    case (_, "use_fc_norm"): normsPool = config.has(key) ? try config.bool(key, false) : nil
    case (.eva, "scale_mlp"): normsHidden = try config.bool(key, false)
    case (.eva, "swiglu_mlp"): isGated = try config.bool(key, false)
    case (.eva, "swiglu_align_to"): align = try config.int(key, 0, in: 0...65536)
    case (.eva, "scale_attn_inner"): normsHeads = try config.bool(key, false)
    case (.eva, "qkv_fused"): isFused = try config.bool(key, true)
    case (.eva, "use_abs_pos_emb"): hasPositions = try config.bool(key, true)
    case (.eva, "use_rot_pos_emb"): rotary = try config.bool(key, false) ? rotary ?? .cells : nil
    case (.eva, "num_reg_tokens"): registers = try config.int(key, 0, in: 0...1024)
    case (.eva, "ref_feat_shape"):
      guard let sides = try config.intOrInts(key) else { break }
      guard let side = sides.first, sides.count <= 2 else { throw config.unfit(key, "one number or two") }
      reference = [side, sides.last ?? side]
    case (.eva, "rope_type"): try Self.check(key, config, [rotary == .dinov3 ? "dinov3" : "cat"])
    case (.eva, "rope_temperature"): try Self.check(key, config, [rotary == .dinov3 ? 100 : 10000])
    case (.eva, "rope_rotate_half"): try Self.check(key, config, [JSON(rotary == .dinov3)])
    case (.eva, "rope_grid_offset"): try Self.check(key, config, [0])
    case (.eva, "rope_grid_indexing"): try Self.check(key, config, ["ij"])
    case (.eva, "attn_type"): try Self.check(key, config, ["eva"])
    case (.beit, "use_rel_pos_bias"), (.eva, "class_token"): try Self.check(key, config, [true])
    case (.beit, "use_shared_rel_pos_bias"): _ = try config.bool(key, false)  // its tensor says it
    case (_, "use_abs_pos_emb"), (_, "swiglu_mlp"), (_, "scale_mlp"), (_, "use_post_norm"),
      (_, "use_pre_transformer_norm"), (_, "attn_only_layer_scale"):
      try Self.check(key, config, [false])
    case (_, "use_post_transformer_norm"), (_, "num_kv_heads"): try Self.check(key, config, [])
    default: return false
    }
    return true
  }
}

extension Config {
  /// A side in pixels, given once or twice.
  func squareSide(_ key: String) throws(ModelError) -> Int? {
    guard let sides = try intOrInts(key) else { return nil }
    guard let side = sides.first, sides.count <= 2, sides.allSatisfy({ $0 == side }) else {
      throw unfit(key, "one number, or two equal ones")
    }
    return side
  }
}
