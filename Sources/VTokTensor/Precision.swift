/// Arithmetic of the products with weights, chosen when a model loads and recorded in every result. Norms, softmax, positions,
/// the residual stream and the scores of methods are float32 always; attention is, but in towers of `.bf16` and `.int8`.
public enum Precision: String, Sendable, CaseIterable {
  /// Exact float32; the default.
  case f32
  /// Weights and rows rounded to bfloat16, sums in float32; in towers the products of attention too (what methods
  /// read of it is float32). Processors agree within a tolerance, not to the bit.
  case bf16
  /// Weights rounded to 8 bits per output channel, rows per token, sums of 32 bits: the same bits on every processor and any
  /// number of threads.
  case int8
  /// For language models: weights in 4 bits, every 32 of a row with a scale of their own, rows in 8 bits, groups added in float32
  /// in one order (ggml's Q4_0 and Q8_0): the same bits on every processor too.
  case int4
  /// As the file holds them; the default of GGUF files. Of their language models, products with matrices in blocks (Q4_0, Q4_K
  /// and the like), the head too, round rows to 8 bits and multiply whole numbers as llama.cpp does; products with F32, F16 and
  /// BF16 are float32, those of tower and connector too. Of other checkpoints the same as `f32`.
  case file

  /// The one of a tower and a connector beside a language model of this one: they are small, so that 4 bits would save little
  /// and a file's own rounding nothing.
  package var ofTower: Precision {
    switch self {
    case .f32, .file: .f32
    case .bf16: .bf16
    case .int8, .int4: .int8
    }
  }
}
