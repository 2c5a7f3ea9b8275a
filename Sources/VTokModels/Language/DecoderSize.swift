import VTokWeights

/// The size of a published decoder of the Llama family.
struct DecoderSize {
  let width: Int, layers: Int, heads: Int, kvHeads: Int, ffn: Int, vocabulary: Int
  /// nil: the default of its type.
  var theta: Double?
  /// nil: a head's share of the width.
  var headDim: Int?

  /// The same in the words of `config.json`.
  var config: JSON {
    [
      "hidden_size": JSON(width), "num_hidden_layers": JSON(layers), "num_attention_heads": JSON(heads),
      "num_key_value_heads": JSON(kvHeads), "intermediate_size": JSON(ffn), "vocab_size": JSON(vocabulary),
      "rope_theta": theta.map { JSON($0) } ?? .null, "head_dim": headDim.map { JSON($0) } ?? .null,
    ]
  }
}
