import CVTokKernels
import VTokTensor

/// The two products of the attention of one head, `q kᵀ` and `softmax(q kᵀ) v`: in float32, or with operands rounded to bfloat16.
struct AttentionProducts {
  /// What a thread needs for heads of so many keys, and blocks of so many queries.
  struct Sizes {
    let isRounded: Bool
    let rows: Int, keys: Int, headDim: Int

    /// - Parameter precision: of the tower; all but `.bf16` have attention in float32.
    init(_ precision: Precision, rows: Int, keys: Int, headDim: Int) {
      isRounded = precision == .bf16
      self.rows = rows
      self.keys = keys
      self.headDim = headDim
    }

    /// Scratch memory, in floats.
    var floats: Int { vtok_matrix.panels + (isRounded ? (keyPanels + valuePanels + left + 1) / 2 : 0) }

    // In elements of bfloat16.
    fileprivate var keyPanels: Int { Self.panels(keys) * vtok_bf16_depth(headDim) }
    fileprivate var valuePanels: Int { Self.panels(headDim) * vtok_bf16_depth(keys) }
    private var left: Int { rows * max(vtok_bf16_depth(headDim), vtok_bf16_depth(keys)) }
    private static func panels(_ columns: Int) -> Int { (columns + 63) / 64 * 64 }
  }

  private let sizes: Sizes
  private let memory: UnsafeMutablePointer<Float>
  private let keys: vtok_matrix, values: vtok_matrix
  private let count: Int

  /// - Parameters:
  ///   - memory: `sizes.floats` of one thread.
  ///   - keys: `count` rows of `headDim`, `stride` apart, and values likewise.
  init(
    _ sizes: Sizes, _ memory: UnsafeMutablePointer<Float>, keys: UnsafePointer<Float>, values: UnsafePointer<Float>,
    count: Int, stride: Int
  ) {
    self.sizes = sizes
    self.memory = memory
    self.count = count
    self.keys = vtok_matrix(rows: keys, depth: sizes.headDim, stride: stride)
    self.values = vtok_matrix(columns: values, depth: count, stride: stride)
    guard isRounded else { return }
    vtok_bf16_pack(keys, 0, count, sizes.headDim, stride, keyPanels)
    vtok_bf16_pack(values, 1, sizes.headDim, count, stride, valuePanels)
  }

  var isRounded: Bool { sizes.isRounded }

  // Behind the float32 panels.
  private var keyPanels: UnsafeMutablePointer<UInt16> {
    UnsafeMutableRawPointer(memory + vtok_matrix.panels).assumingMemoryBound(to: UInt16.self)
  }
  private var valuePanels: UnsafeMutablePointer<UInt16> { keyPanels + sizes.keyPanels }
  private var left: UnsafeMutablePointer<UInt16> { valuePanels + sizes.valuePanels }

  /// Logits of `rows` queries, `stride` apart. out `[rows, count]`
  /// - Parameter exactly: in float32, because somebody looks at them.
  func logits(
    _ queries: UnsafePointer<Float>, _ rows: Int, stride: Int, exactly: Bool, into out: UnsafeMutablePointer<Float>
  ) {
    guard isRounded, !exactly else {
      return vtok_product(queries, rows, stride, keys, 0, count, 0, out, count, memory)
    }
    vtok_bf16_round(queries, rows, sizes.headDim, stride, left)
    vtok_bf16_product(BF16Panels.bestLevel, left, rows, sizes.headDim, keyPanels, 0, count, 0, out, count)
  }

  /// Values mixed by probabilities `[rows, count]`. out: `rows` of `headDim`, `stride` apart
  func mix(
    _ probabilities: UnsafePointer<Float>, _ rows: Int, into out: UnsafeMutablePointer<Float>, stride: Int
  ) {
    let headDim = sizes.headDim
    guard isRounded else {
      return vtok_product(probabilities, rows, count, values, 0, headDim, 0, out, stride, memory)
    }
    vtok_bf16_round(probabilities, rows, count, count, left)
    vtok_bf16_product(BF16Panels.bestLevel, left, rows, count, valuePanels, 0, headDim, 0, out, stride)
  }
}
