import VTokWeights

/// The usual sizes of transformers, in the words of Hugging Face's configurations.
struct TransformerSize {
  let layers: Int, width: Int, heads: Int, ffn: Int

  static let small = TransformerSize(layers: 12, width: 384, heads: 6, ffn: 1536)
  static let base = TransformerSize(layers: 12, width: 768, heads: 12, ffn: 3072)
  static let large = TransformerSize(layers: 24, width: 1024, heads: 16, ffn: 4096)
  static let so400m = TransformerSize(layers: 27, width: 1152, heads: 16, ffn: 4304)

  /// A configuration of this size that says `more` too.
  /// - Precondition: `more` is an object.
  func config(_ more: JSON) -> JSON {
    var config = more.object!
    config["hidden_size"] = JSON(width)
    config["num_hidden_layers"] = JSON(layers)
    config["num_attention_heads"] = JSON(heads)
    config["intermediate_size"] = JSON(ffn)
    return .object(config)
  }
}
