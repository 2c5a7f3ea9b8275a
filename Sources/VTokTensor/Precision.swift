/// Arithmetic of the products with weights, chosen when a model loads and recorded in every result. Norms, softmax, attention,
/// positions, the residual stream and the scores of methods are float32 always.
public enum Precision: String, Sendable, CaseIterable {
  /// Exact float32; the default.
  case f32
  /// Weights rounded to 8 bits per output channel, rows per token, sums of 32 bits: the same bits on every processor and any
  /// number of threads.
  case int8
  /// For language models: weights in 4 bits, every 32 of a row with a scale of their own, rows in 8 bits, groups added in float32
  /// (ggml's Q4_0 and Q8_0).
  case int4
}
