import CVTokKernels
import VTokTensor

/// Attention of one head with operands of low precision: queries, keys, values and probabilities are rounded, right before the
/// products. Its size is what a thread needs for heads of so many keys.
struct RoundedAttention {
  private let kind: vtok_attention_kind
  private let level: Int
  private let headDim: Int
  /// Scratch memory, in floats.
  let floats: Int

  /// - Returns: nil where attention is float32.
  init?(_ precision: Precision, keys: Int, headDim: Int) {
    switch precision {
    case .bf16: (kind, level) = (VTOK_ATTENTION_BF16, BF16Panels.bestLevel)
    case .int8: (kind, level) = (VTOK_ATTENTION_INT8, Int8Panels.bestLevel)
    case .f32, .int4, .file: return nil
    }
    self.headDim = headDim
    floats = (vtok_attention_bytes(kind, keys, headDim) + 63) / 64 * 16
  }

  /// Rounds the keys and values of a head, `count` rows `stride` apart, into memory of one thread.
  func begin(
    keys: UnsafePointer<Float>, values: UnsafePointer<Float>, count: Int, stride: Int,
    in memory: UnsafeMutablePointer<Float>
  ) {
    vtok_attention_begin(kind, keys, values, count, headDim, stride, memory)
  }

  /// `rows` queries, `stride` apart, over the `keys` that memory was begun with. out: `rows` of `headDim`, `ldo` apart
  /// - Parameters:
  ///   - bias: `[keys]`, added to every row of logits.
  ///   - visible: keys that the first row sees, where attention is causal; else 0.
  func rows(
    _ queries: UnsafePointer<Float>, _ rows: Int, stride: Int, keys: Int, bias: [Float]?, visible: Int,
    into out: UnsafeMutablePointer<Float>, _ ldo: Int, in memory: UnsafeMutablePointer<Float>
  ) {
    vtok_attention_rows(kind, level, queries, rows, stride, keys, headDim, bias, visible, out, ldo, memory)
  }
}
