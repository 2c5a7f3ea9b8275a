import CVTokKernels
import VTokModels
import VTokTensor

/// The transformer of FlexTok's encoder and decoder: no affine norms, no positions, norms on queries and keys, gated MLP.
///
/// It runs several sequences at once, their rows on top of each other. A sequence is patches, then registers, and the two
/// kinds may be modulated differently (adaLN). Without modulation factors are 1 and offsets 0, which changes no bit.
struct FlexTransformer: Sendable {
  struct Block: Sendable {
    let query: Linear, key: Linear, value: Linear, output: Linear
    /// `down(silu(gate x) * (up x))`
    let gate: Linear, up: Linear, down: Linear
    /// `[kinds * 6 * width, width]` of SiLU of the time embedding; nil without adaLN.
    let modulation: Linear?
  }
  enum Mask: Sendable {
    /// Every row sees every row of its sequence.
    case full
    /// Patches see patches; a register sees the patches, the registers before it, and itself.
    case causalRegisters
  }

  let width: Int, heads: Int, hidden: Int
  let blocks: [Block]
  let mask: Mask

  /// One of the stacked sequences.
  struct Span: Sendable {
    let start: Int, patches: Int, registers: Int
    /// Added to all logits of the last register's key: `log(n)` for a row that stands for n equal ones.
    var lastKeyBias: Float = 0

    var rows: Range<Int> { start..<start + patches + registers }
  }

  /// What a block does to the rows of one kind: `x += gate * f(norm(x) * scale + shift)`, each `[width]`.
  struct Modulation: Sendable {
    struct Half: Sendable {
      let gate: [Float], scale: [Float], shift: [Float]
    }
    let attention: Half, mlp: Half
  }
  /// Modulations of one block, for patches and for registers.
  typealias Modulations = (patches: Modulation, registers: Modulation)

  static let epsilon: Float = 1e-5
  var headDim: Int { width / heads }

  /// Without the later blocks.
  func first(_ depth: Int) -> FlexTransformer {
    FlexTransformer(width: width, heads: heads, hidden: hidden, blocks: Array(blocks.prefix(depth)), mask: mask)
  }

  /// Modulations of all blocks for one moment.
  /// - Parameter embedding: SiLU of the time embedding, `[width]`; nil without adaLN.
  func modulations(_ embedding: [Float]?, threads: Int) -> [Modulations] {
    let one = [Float](repeating: 1, count: width)
    let zero = [Float](repeating: 0, count: width)
    let plain = Modulation.Half(gate: one, scale: one, shift: zero)
    return blocks.map { block in
      guard let linear = block.modulation, let embedding else {
        let none = Modulation(attention: plain, mlp: plain)
        return (none, none)
      }
      let parts = linear(Tensor(embedding, shape: [1, width]), threads: threads).values
      let kinds = parts.count / (6 * width)
      func modulation(_ kind: Int) -> Modulation {
        // In this order, which is not DiT's: gates, then shift and scale of attention, then of the MLP.
        let chunks = (0..<6).map { Array(parts[(kind * 6 + $0) * width..<(kind * 6 + $0 + 1) * width]) }
        return Modulation(
          attention: .init(gate: chunks[0], scale: chunks[3].map { 1 + $0 }, shift: chunks[2]),
          mlp: .init(gate: chunks[1], scale: chunks[5].map { 1 + $0 }, shift: chunks[4]))
      }
      return (modulation(0), modulation(kinds - 1))
    }
  }

  /// Runs all blocks in place. x `[rows, width]`; `spans` cover its rows in order.
  func callAsFunction(_ x: inout Tensor, _ spans: [Span], _ modulations: [Modulations], threads: Int) {
    let rows = x.rows
    let normed = Scratch(rows * width)
    let wide = Scratch(rows * max(3 * width, 2 * hidden))
    let inner = Scratch(rows * max(width, hidden))
    x.values.withUnsafeMutableBufferPointer { buffer in
      let x = Shared(buffer.baseAddress!)
      for (block, modulation) in zip(blocks, modulations) {
        attend(block, x, spans, modulation, Shared(normed.pointer), Shared(wide.pointer), threads)
        feedForward(
          block, x, spans, modulation, Shared(normed.pointer), Shared(wide.pointer), Shared(inner.pointer), threads)
      }
    }
  }

  private func attend(
    _ block: Block, _ x: Shared<Float>, _ spans: [Span], _ modulations: Modulations, _ normed: Shared<Float>,
    _ projected: Shared<Float>, _ threads: Int
  ) {
    let (width, headDim) = (width, headDim)
    let n = spans.last!.rows.upperBound
    let one = [Float](repeating: 1, count: headDim)
    let zero = [Float](repeating: 0, count: headDim)
    forRows(n, threads) { rows in
      normalise(x, rows, spans, (modulations.patches.attention, modulations.registers.attention), into: normed)
      let from = normed.pointer + rows.lowerBound * width
      let out = projected.pointer + rows.lowerBound * 3 * width
      for (part, linear) in [block.query, block.key, block.value].enumerated() {
        linear.weight.multiply(from, rows.count, width, into: out + part * width, 3 * width)
        guard let bias = linear.bias else { continue }
        for row in 0..<rows.count { vtok_add_bias(out + row * 3 * width + part * width, 1, width, bias) }
      }
      // Queries and keys lie side by side: one norm over all their heads.
      for row in 0..<rows.count {
        let heads = out + row * 3 * width
        vtok_layer_norm(heads, 2 * self.heads, headDim, one, zero, Self.epsilon, heads)
      }
    }
    for span in spans { mix(span, projected, into: normed, threads) }
    forRows(n, threads) { rows in
      let out = projected.pointer + rows.lowerBound * width
      block.output.weight.multiply(normed.pointer + rows.lowerBound * width, rows.count, width, into: out, width)
      add(
        out, to: x, rows, spans, block.output.bias, (modulations.patches.attention, modulations.registers.attention))
    }
  }

  /// softmax(8 / headDim q kᵀ) v of every head of one sequence. (8 / headDim is 1 / √headDim for heads of 64, and what
  /// maximal update parametrisation takes for others.)
  private func mix(_ span: Span, _ projected: Shared<Float>, into out: Shared<Float>, _ threads: Int) {
    let (width, headDim) = (width, headDim)
    let stride = 3 * width
    let n = span.rows.count
    let size = 128
    let bias: [Float]? =
      span.lastKeyBias == 0 ? nil : [Float](repeating: 0, count: n - 1) + [span.lastKeyBias]
    // Blocks of rows; under a causal mask those of patches, which all see the same, end where registers begin.
    let middle = mask == .full ? n : span.patches
    let blocks =
      Swift.stride(from: 0, to: middle, by: size).map { ($0, min($0 + size, middle)) }
      + Swift.stride(from: middle, to: n, by: size).map { ($0, min($0 + size, n)) }
    parallel(heads, threads: threads) { head in
      let (scores, panel) = (Scratch(size * n), Scratch(vtok_matrix.panels))
      let q = projected.pointer + span.start * stride + head * headDim
      vtok_scale_rows(q, n, headDim, stride, 8 / Float(headDim))
      for (first, end) in blocks {
        let (rows, keys) = (end - first, first < middle ? middle : end)
        let (k, v) = (
          vtok_matrix(rows: q + width, depth: headDim, stride: stride),
          vtok_matrix(columns: q + 2 * width, depth: keys, stride: stride)
        )
        vtok_product(q + first * stride, rows, stride, k, 0, keys, 0, scores.pointer, keys, panel.pointer)
        if first < middle {
          vtok_softmax_rows(scores.pointer, rows, keys, keys, bias)
        } else {
          vtok_softmax_rows_causal(scores.pointer, rows, keys, keys, first)
        }
        vtok_product(
          scores.pointer, rows, keys, v, 0, headDim, 0,
          out.pointer + (span.start + first) * width + head * headDim, width, panel.pointer)
      }
    }
  }

  private func feedForward(
    _ block: Block, _ x: Shared<Float>, _ spans: [Span], _ modulations: Modulations, _ normed: Shared<Float>,
    _ wide: Shared<Float>, _ inner: Shared<Float>, _ threads: Int
  ) {
    let (width, hidden) = (width, hidden)
    forRows(spans.last!.rows.upperBound, threads) { rows in
      normalise(x, rows, spans, (modulations.patches.mlp, modulations.registers.mlp), into: normed)
      let from = normed.pointer + rows.lowerBound * width
      let halves = wide.pointer + rows.lowerBound * 2 * hidden
      for (part, linear) in [block.gate, block.up].enumerated() {
        linear.weight.multiply(from, rows.count, width, into: halves + part * hidden, 2 * hidden)
        guard let bias = linear.bias else { continue }
        for row in 0..<rows.count { vtok_add_bias(halves + row * 2 * hidden + part * hidden, 1, hidden, bias) }
      }
      let gated = inner.pointer + rows.lowerBound * hidden
      vtok_swiglu(halves, rows.count, hidden, nil, gated)
      block.down.weight.multiply(gated, rows.count, hidden, into: from, width)
      add(from, to: x, rows, spans, block.down.bias, (modulations.patches.mlp, modulations.registers.mlp))
    }
  }

  private func normalise(
    _ x: Shared<Float>, _ rows: Range<Int>, _ spans: [Span], _ halves: (Modulation.Half, Modulation.Half),
    into out: Shared<Float>
  ) {
    forKinds(rows, spans, halves) { range, half in
      vtok_layer_norm(
        x.pointer + range.lowerBound * width, range.count, width, half.scale, half.shift, Self.epsilon,
        out.pointer + range.lowerBound * width)
    }
  }

  /// `x[rows] += gate * (y + bias)`, y from row `rows.lowerBound` on.
  private func add(
    _ y: UnsafePointer<Float>, to x: Shared<Float>, _ rows: Range<Int>, _ spans: [Span], _ bias: [Float]?,
    _ halves: (Modulation.Half, Modulation.Half)
  ) {
    forKinds(rows, spans, halves) { range, half in
      vtok_add_residual(
        x.pointer + range.lowerBound * width, y + (range.lowerBound - rows.lowerBound) * width, range.count, width,
        bias,
        half.gate)
    }
  }

  /// The parts of `rows` that are of one kind, with what belongs to patches or to registers.
  private func forKinds<Value>(
    _ rows: Range<Int>, _ spans: [Span], _ values: (Value, Value), _ body: (Range<Int>, Value) -> Void
  ) {
    for span in spans {
      let middle = span.start + span.patches
      for (range, value) in [(span.start..<middle, values.0), (middle..<span.rows.upperBound, values.1)] {
        let part = range.clamped(to: rows)
        if !part.isEmpty { body(part, value) }
      }
    }
  }
}

extension FlexTransformer {
  /// - Parameter isModulated: whether the blocks must have adaLN; others must not.
  static func load(_ module: FlexTokModule, mask: Mask, isModulated: Bool) throws -> FlexTransformer {
    for key in ["gated_mlp", "qk_norm"] { try module.require(key, true) }
    for key in ["rope_forward_read_key", "score_mod_read_key"] { try module.require(key, .null) }
    try module.require("norm_layer.elementwise_affine", false)
    let width = try module.settings.int("dim", 768)
    let headDim = try module.settings.int("head_dim", 64)
    let depth = try module.settings.int("depth", 12)
    guard width > 0, headDim > 0, width % headDim == 0 else {
      throw module.unfit("head_dim", "\(headDim)", "a divisor of the width \(width)")
    }
    guard depth > 0, module.tensors.count("blocks") == depth else {
      throw module.unfit("depth", "\(depth)", "the \(module.tensors.count("blocks")) blocks of the weights")
    }
    guard (module.config.value(at: "adaLN_emb_read_key") != nil) == isModulated else {
      throw module.unfit("adaLN_emb_read_key", isModulated ? "absent" : "present", "the opposite here")
    }
    let kinds = try module.settings.int("adaLN_expansion", 1)
    guard [1, 2].contains(kinds) else { throw module.unfit("adaLN_expansion", "\(kinds)", "1 or 2") }
    let ofInputs = try module.settings.bool("qkv_bias", false)
    let ofOutput = try module.settings.bool("proj_bias", false)
    let ofHidden = try module.settings.bool("mlp_bias", false)
    let blocks = try (0..<depth).map { index in
      var block = module.tensors["blocks"][index]
      // Left by a trainer's activation checkpointing.
      if block.has("_checkpoint_wrapped_module.attn.wq.weight") { block = block["_checkpoint_wrapped_module"] }
      let square: [Int?] = [width, width]
      let gate = try block.linear("mlp.fc1", [nil, width], bias: ofHidden)
      let hidden = gate.weight.rows
      // One row at a time passes through these, so they stay as they lie in the file.
      let modulation =
        isModulated
        ? Linear(
          weight: try block.weight("adaLN_modulation.1.weight", [kinds * 6 * width, width]),
          bias: try block.vector("adaLN_modulation.1.bias", [kinds * 6 * width])) : nil
      return Block(
        query: try block.linear("attn.wq", square, bias: ofInputs),
        key: try block.linear("attn.wk", square, bias: ofInputs),
        value: try block.linear("attn.wv", square, bias: ofInputs),
        output: try block.linear("attn.proj", square, bias: ofOutput),
        gate: gate,
        up: try block.linear("mlp.fc3", [hidden, width], bias: ofHidden),
        down: try block.linear("mlp.fc2", [width, hidden], bias: ofHidden),
        modulation: modulation)
    }
    let hidden = blocks[0].gate.weight.rows
    guard hidden > 0, blocks.allSatisfy({ $0.gate.weight.rows == hidden }) else {
      throw module.unfit("mlp_ratio", "hidden widths \(blocks.map { $0.gate.weight.rows })", "one width")
    }
    return FlexTransformer(width: width, heads: width / headDim, hidden: hidden, blocks: blocks, mask: mask)
  }
}
