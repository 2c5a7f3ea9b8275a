import VTokWeights

extension InternVL {
  /// How GGUF files have the tower: q, k and v apart, all tensors under names of their own.
  static let gguf = GGUFProjector(
    name: "internvl", architectures: ["llama", "qwen2", "qwen3"], last: "mm.model.mlp.3.weight", read: read)

  private static func read(_ tower: GGUFTower) throws -> GGUFVision {
    let scale = try tower.keys.int("projector.scale_factor", 2, in: 1...16)
    func has(_ name: String) -> Bool { tower.model.entry("v.blk.0." + name) != nil }
    var vision = try tower.config([
      ("image_size", JSON(try tower.side)), ("norm_type", has("ln1.bias") ? "layer_norm" : "rms_norm"),
      ("attention_bias", JSON(has("attn_q.bias"))), ("use_qk_norm", JSON(has("attn_q_norm.weight"))),
    ]).object!
    vision["hidden_act"] = "gelu"  // which the file calls tanh
    let processor = try tower.processor([
      ("min_patches", JSON(try tower.keys.int("preproc_min_tiles", 1, in: 1...ProcessorValues.tileLimit))),
      ("max_patches", JSON(try tower.keys.int("preproc_max_tiles", 12, in: 1...ProcessorValues.tileLimit))),
    ])
    var names = try tower.names(
      "vision.encoder.layer.",
      [
        ("ln1", "layernorm_before"), ("ln2", "layernorm_after"), ("attn_q", "attention.q_proj"),
        ("attn_k", "attention.k_proj"), ("attn_v", "attention.v_proj"), ("attn_out", "attention.projection_layer"),
        ("attn_q_norm", "attention.q_norm"), ("attn_k_norm", "attention.k_norm"), ("ffn_up", "mlp.fc1"),
        ("ffn_down", "mlp.fc2"),
      ])
    for block in 0..<(try tower.blocks) {
      names["v.blk.\(block).ls1.weight"] = "vision.encoder.layer.\(block).lambda_1"
      names["v.blk.\(block).ls2.weight"] = "vision.encoder.layer.\(block).lambda_2"
    }
    return GGUFVision(
      config: [("vision_config", .object(vision)), ("downsample_ratio", JSON(1 / Double(scale)))], processor: processor,
      names: names.with(
        layers: [
          ("v.patch_embd", "vision.embeddings.patch_embeddings.projection"), ("mm.model.mlp.0", "projector.layer_norm"),
          ("mm.model.mlp.1", "projector.linear_1"), ("mm.model.mlp.3", "projector.linear_2"),
        ],
        [
          "v.class_embd": "vision.embeddings.cls_token",
          "v.position_embd.weight": "vision.embeddings.position_embeddings",
        ]))
  }
}
