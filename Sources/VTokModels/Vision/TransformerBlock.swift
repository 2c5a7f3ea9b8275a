import CVTokKernels
import VTokCore
import VTokLibC
import VTokTensor

/// A pre-norm transformer block: `x += s1 * Attention(LN1(x))`, `x += s2 * MLP(LN2(x))`.
///
/// The two halves are separate calls, because methods cut between them. Scratch memory is the caller's; a half splits
/// over rows (products, norms) or heads (attention) when given more than one thread.
package struct TransformerBlock: Sendable {
  package enum MLP: Sendable {
    case plain(Activation)
    /// `down(silu(a) * b)` with a, b the halves of `up(x)`.
    case gated
  }

  package let heads: Int
  package let norm1: Norm
  /// `[3 width, width]`: query, key, value rows, head-major inside each.
  package let qkv: Linear
  package let output: Linear
  package let scale1: [Float]?
  package let norm2: Norm
  package let up: Linear, down: Linear
  package let mlp: MLP
  package let scale2: [Float]?
  /// Of all heads of q and of k together, before they are rotated; nil: they are not normed.
  var wideNorms: (query: RMSNorm, key: RMSNorm)?
  /// Norms of the joined heads before the output projection, and of the hidden rows before the second one of the MLP
  /// (EVA-02).
  package var headNorm: LayerNorm?
  package var hiddenNorm: LayerNorm?
  /// Added to logits by pairs of rows.
  package var relativeBias: RelativeBias?

  package init(
    heads: Int, norm1: Norm, qkv: Linear, output: Linear, scale1: [Float]?, norm2: Norm, up: Linear, down: Linear,
    mlp: MLP, scale2: [Float]?
  ) {
    self.heads = heads
    self.norm1 = norm1
    self.qkv = qkv
    self.output = output
    self.scale1 = scale1
    self.norm2 = norm2
    self.up = up
    self.down = down
    self.mlp = mlp
    self.scale2 = scale2
  }

  package var width: Int { norm1.weight.count }
  package var headDim: Int { width / heads }
  package var hidden: Int { down.weight.columns }

  /// Rows of an attention matrix that somebody asked for, and the keys.
  package struct Taps {
    /// Rows in the sequence; empty when no attention is wanted.
    var rows: [Int] = []
    var logits = false, probabilities = false, keys = false
  }
  /// `[heads, rows, keys]`, `[heads, rows, keys]`, `[heads, n, headDim]`
  package struct Tapped: Sendable {
    var probabilities: Tensor?, logits: Tensor?, keys: Tensor?
  }

  /// Memory for sequences of up to `rows` rows.
  package final class Memory {
    let normed: Scratch, projected: Scratch, hidden: Scratch, scores: Scratch, panels: Scratch
    let blockRows: Int
    /// Rows whose attention is formed at a time.
    static let mostRows = 256
    /// Of the memory in `panels` behind those of float32; nil where attention is float32.
    let rounded: RoundedAttention?

    package init(rows: Int, block: TransformerBlock, threads: Int) {
      normed = Scratch(rows * block.width)
      projected = Scratch(rows * max(3 * block.width, block.hidden))
      hidden = Scratch(rows * block.up.weight.rows)
      blockRows = min(rows, Self.mostRows)
      let slots = max(1, min(threads, block.heads))
      scores = Scratch(blockRows * rows * slots)
      // Rounded logits take no bias of pairs.
      rounded =
        block.relativeBias == nil
        ? RoundedAttention(block.qkv.weight.precision, keys: rows, headDim: block.headDim) : nil
      panels = Scratch((vtok_matrix.panels + (rounded?.floats ?? 0)) * slots)
    }
  }

  /// First half. x `[n, width]`; `keyBias` `[n]` is added to every row of logits; `pairs` are those of the relative bias;
  /// `rotation` turns queries and keys; rows of a window attend to each other only; `causal`: row r sees keys 0...r; `only`:
  /// so many rows at the beginning are computed and others stay as they are, for blocks without windows and taps; `carried`:
  /// attention `[heads, n, n]` in place of its own.
  package func attend(
    _ x: inout Tensor, _ memory: Memory, keyBias: [Float]? = nil, pairs: [Int32]? = nil, rotation: Rotary? = nil,
    windows: [Range<Int>] = [], causal: Bool = false, taps: Taps = Taps(), only: Int? = nil, carried: Tensor? = nil,
    threads: Int = 1
  ) -> Tapped {
    let n = x.rows
    let width = width
    let wanted = only.map { Self.atLeastFive($0, of: n) } ?? n
    let projected = Shared(memory.projected.pointer)
    let normed = Shared(memory.normed.pointer)
    var tapped = Tapped()
    x.values.withUnsafeMutableBufferPointer { buffer in
      let x = Shared(buffer.baseAddress!)
      forRows(n, threads) { rows in
        let start = rows.lowerBound
        normalise(norm1, x.pointer + start * width, rows.count, into: normed.pointer + start * width)
        let out = projected.pointer + start * 3 * width
        if carried != nil {  // values alone
          qkv.weight.multiply(normed.pointer + start * width, rows.count, width, from: 2 * width, into: out, 3 * width)
        } else if wanted == n || start == 0 {
          qkv.weight.multiply(normed.pointer + start * width, min(rows.count, wanted), width, into: out, 3 * width)
        }
        if wanted < n {  // keys and values alone
          qkv.weight.multiply(normed.pointer + start * width, rows.count, width, from: width, into: out, 3 * width)
        }
        if let bias = qkv.bias { vtok_add_bias(out, rows.count, 3 * width, bias) }
        if carried != nil { return }
        normWide(out, rows.count)
        if let rotation {
          for (index, row) in rows.enumerated() {  // keys lie behind queries
            rotation.rotate(out + index * 3 * width, 1, from: row, heads: 2 * heads, headDim: headDim)
          }
        }
        scaleQueries(out, rows.count)
      }
      let pattern = Pattern(
        rows: n, mixed: wanted, windows: windows.isEmpty ? [0..<n] : windows, keyBias: keyBias, pairs: pairs,
        isCausal: causal)
      tapped = carried.map { mix(memory, carried: $0, taps) } ?? mix(memory, pattern, taps, threads)
      // The heads' outputs lie in `normed`; the projection goes where q, k and v were.
      forRows(wanted, threads) { rows in
        let start = rows.lowerBound
        let out = projected.pointer + start * width
        let mixed = normed.pointer + start * width
        if let headNorm { normalise(.layer(headNorm), mixed, rows.count, into: mixed) }
        output.weight.multiply(mixed, rows.count, width, into: out, width)
        vtok_add_residual(x.pointer + start * width, out, rows.count, width, output.bias, scale1)
      }
    }
    return tapped
  }

  /// Second half; `only` as in the first.
  package func feedForward(_ x: inout Tensor, _ memory: Memory, only: Int? = nil, threads: Int = 1) {
    let n = only.map { Self.atLeastFive($0, of: x.rows) } ?? x.rows
    let (width, wide, hidden) = (width, up.weight.rows, hidden)
    let normed = Shared(memory.normed.pointer)
    let inner = Shared(memory.hidden.pointer)
    let gated = Shared(memory.projected.pointer)
    x.values.withUnsafeMutableBufferPointer { buffer in
      let x = Shared(buffer.baseAddress!)
      forRows(n, threads) { rows in
        let start = rows.lowerBound
        let h = normed.pointer + start * width
        normalise(norm2, x.pointer + start * width, rows.count, into: h)
        var a = inner.pointer + start * wide
        up.weight.multiply(h, rows.count, width, into: a, wide)
        switch mlp {
        case .plain(let activation): vtok_bias_activation(a, rows.count, wide, up.bias, activation.kernel)
        case .gated:
          let halves = a
          a = gated.pointer + start * hidden  // q, k and v are no longer needed
          vtok_swiglu(halves, rows.count, hidden, up.bias, a)
        }
        if let hiddenNorm { normalise(.layer(hiddenNorm), a, rows.count, into: a) }
        down.weight.multiply(a, rows.count, hidden, into: h, width)
        vtok_add_residual(x.pointer + start * width, h, rows.count, width, down.bias, scale2)
      }
    }
  }

  /// A product of at most four rows with stored weights sums in another order: five have the bits of all.
  private static func atLeastFive(_ rows: Int, of count: Int) -> Int { min(count, max(rows, 5)) }

  /// Attention rows `[heads, rows, n]` that this block would form on `x`, and keys `[heads, n, headDim]`, without running it.
  /// - Parameter keyBias: added to every row of logits. `[n]`
  func probe(
    _ x: Tensor, rows: [Int], keyBias: [Float]? = nil, logits: Bool, keys wantsKeys: Bool, pairs: [Int32]? = nil,
    rotation: Rotary? = nil
  ) -> BlockProbe {
    let n = x.rows
    let (width, headDim) = (width, headDim)
    let h = norm1(x)
    var projected = qkv(h)
    projected.values.withUnsafeMutableBufferPointer { buffer in
      let p = buffer.baseAddress!
      normWide(p, n)
      if let rotation {
        for row in 0..<n { rotation.rotate(p + row * 3 * width, 1, from: row, heads: 2 * heads, headDim: headDim) }
      }
    }
    let formed = wantsKeys ? projected.values.withUnsafeBufferPointer { keys(in: $0.baseAddress!, n) } : nil
    guard !rows.isEmpty else { return BlockProbe(attention: nil, keys: formed) }
    let attention = Tensor(shape: [heads, rows.count, n]) { out in
      projected.values.withUnsafeMutableBufferPointer { buffer in
        let p = buffer.baseAddress!
        scaleQueries(p, n)
        for head in 0..<heads {
          for (index, row) in rows.enumerated() {
            let target = out + (head * rows.count + index) * n
            let keys = p + width + head * headDim
            vtok_exact_products(
              p + row * 3 * width + head * headDim, 1, 3 * width, keys, n, 3 * width, headDim, target)
            if let pairs { relativeBias?.add(to: target, rows: 1, keys: n, from: row, head: head, pairs) }
            if logits, let keyBias { vtok_add_bias(target, 1, n, keyBias) }
            if !logits { vtok_softmax_rows(target, 1, n, n, keyBias) }
          }
        }
      }
    }
    return BlockProbe(attention: attention, keys: formed)
  }

  /// Norms queries and keys among rows of queries, keys and values, where the block does that.
  private func normWide(_ projected: UnsafeMutablePointer<Float>, _ rows: Int) {
    guard let wideNorms else { return }
    for row in 0..<rows {
      let (query, key) = (projected + row * 3 * width, projected + row * 3 * width + width)
      vtok_rms_norm(query, 1, width, wideNorms.query.weight, wideNorms.query.epsilon, query)
      vtok_rms_norm(key, 1, width, wideNorms.key.weight, wideNorms.key.epsilon, key)
    }
  }

  /// Queries among rows of queries, keys and values, over √headDim.
  private func scaleQueries(_ projected: UnsafeMutablePointer<Float>, _ rows: Int) {
    vtok_scale_rows(projected, rows, width, 3 * width, 1 / Float(headDim).squareRoot())
  }

  /// Which rows of a sequence attend to which.
  private struct Pattern {
    let rows: Int
    /// So many at the beginning are computed.
    let mixed: Int
    let windows: [Range<Int>]
    /// `[rows]`
    let keyBias: [Float]?
    /// `[rows, rows]`
    let pairs: [Int32]?
    let isCausal: Bool
  }

  /// softmax(q kᵀ + bias) v of every head, queries scaled before, and what taps want of it.
  private func mix(_ memory: Memory, _ pattern: Pattern, _ taps: Taps, _ threads: Int) -> Tapped {
    var tapped = Tapped()
    if taps.keys { tapped.keys = keys(in: memory.projected.pointer, pattern.rows) }
    // Recorded rows go straight into their tensors.
    let size = [heads, taps.rows.count, pattern.rows]
    let count = size.reduce(1, *)
    var probabilities: Tensor?
    let logits = Tensor(shape: taps.logits ? size : [1]) { logits in
      probabilities = Tensor(shape: taps.probabilities ? size : [1]) { probabilities in
        if pattern.windows.count > 1 {  // what lies outside the window of a row
          if taps.probabilities { probabilities.update(repeating: 0, count: count) }
          if taps.logits { logits.update(repeating: -.infinity, count: count) }
        }
        mix(memory, pattern, taps, probabilities: Shared(probabilities), logits: Shared(logits), threads)
      }
      if taps.logits, let bias = pattern.keyBias { vtok_add_bias(logits, heads * taps.rows.count, pattern.rows, bias) }
    }
    if taps.probabilities { tapped.probabilities = probabilities }
    if taps.logits { tapped.logits = logits }
    return tapped
  }

  /// Given attention `[heads, n, n]` over the values of every head, and those rows of it that taps want.
  private func mix(_ memory: Memory, carried attention: Tensor, _ taps: Taps) -> Tapped {
    let (n, width, headDim) = (attention.width, width, headDim)
    attention.values.withUnsafeBufferPointer { attention in
      for head in 0..<heads {
        let values = vtok_matrix(
          columns: memory.projected.pointer + 2 * width + head * headDim, depth: n, stride: 3 * width)
        vtok_product(
          attention.baseAddress! + head * n * n, n, n, values, 0, headDim, 0, memory.normed.pointer + head * headDim,
          width, memory.panels.pointer)
      }
    }
    var tapped = Tapped()
    if taps.keys { tapped.keys = keys(in: memory.projected.pointer, n) }
    let lines = (0..<heads).flatMap { head in taps.rows.map { head * n + $0 } }
    let rows = attention.reshaped([heads * n, n]).gathered(lines).reshaped([heads, taps.rows.count, n])
    if taps.probabilities { tapped.probabilities = rows }
    if taps.logits { tapped.logits = Tensor(rows.values.map(logf), shape: rows.shape) }
    return tapped
  }

  /// Keys among rows of queries, keys and values. `[heads, n, headDim]`
  private func keys(in projected: UnsafePointer<Float>, _ n: Int) -> Tensor {
    Tensor(shape: [heads, n, headDim]) { keys in
      for head in 0..<heads {
        for row in 0..<n {
          (keys + (head * n + row) * headDim).update(
            from: projected + row * 3 * width + width + head * headDim, count: headDim)
        }
      }
    }
  }

  /// In blocks of rows, so that no n x n matrix is held for long sequences.
  private func mix(
    _ memory: Memory, _ pattern: Pattern, _ taps: Taps, probabilities: Shared<Float>, logits: Shared<Float>,
    _ threads: Int
  ) {
    let (n, width, headDim, heads) = (pattern.rows, width, headDim, heads)
    let stride = 3 * width
    let (projected, out) = (Shared(memory.projected.pointer), Shared(memory.normed.pointer))
    let (scores, panels) = (Shared(memory.scores.pointer), Shared(memory.panels.pointer))
    let (blockRows, rounded) = (memory.blockRows, memory.rounded)
    let panelFloats = vtok_matrix.panels + (rounded?.floats ?? 0)
    let (mixed, isCausal) = (pattern.mixed, pattern.isCausal)
    let windows = pattern.windows.map { window in (window, pattern.keyBias.map { Array($0[window]) }) }
    let slots = max(1, min(threads, heads))
    parallel(slots, threads: slots) { slot in
      let s = scores.pointer + slot * blockRows * n
      let panel = panels.pointer + slot * panelFloats
      for head in Swift.stride(from: slot, to: heads, by: slots) {
        let q = projected.pointer + head * headDim
        for (window, bias) in windows {
          let keys = window.count
          let own = q + window.lowerBound * stride
          let (k, v) = (
            vtok_matrix(rows: own + width, depth: headDim, stride: stride),
            vtok_matrix(columns: own + 2 * width, depth: keys, stride: stride)
          )
          func weigh(_ rows: Range<Int>) {
            vtok_product(q + rows.lowerBound * stride, rows.count, stride, k, 0, keys, 0, s, keys, panel)
            if let pairs = pattern.pairs {
              relativeBias?.add(to: s, rows: rows.count, keys: keys, from: rows.lowerBound, head: head, pairs)
            }
            if taps.logits { taps.copy(s, rows, head, window, of: n, to: logits) }
            if isCausal {
              vtok_softmax_rows_causal(s, rows.count, keys, keys, rows.lowerBound - window.lowerBound)
            } else {
              vtok_softmax_rows(s, rows.count, keys, keys, bias)
            }
            if taps.probabilities { taps.copy(s, rows, head, window, of: n, to: probabilities) }
          }
          let roundedHead = panel + vtok_matrix.panels
          rounded?.begin(keys: own + width, values: own + 2 * width, count: keys, stride: stride, in: roundedHead)
          let end = min(window.upperBound, mixed)
          for first in Swift.stride(from: window.lowerBound, to: end, by: blockRows) {
            let rows = first..<min(first + blockRows, end)
            let target = out.pointer + first * width + head * headDim
            guard let rounded else {
              weigh(rows)
              vtok_product(s, rows.count, keys, v, 0, headDim, 0, target, width, panel)
              continue
            }
            // What is recorded is float32 always, and changes nothing of what goes on.
            if let seen = taps.span(in: rows) { weigh(seen) }
            rounded.rows(
              q + first * stride, rows.count, stride: stride, keys: keys, bias: bias,
              visible: isCausal ? first - window.lowerBound + 1 : 0, into: target, width, in: roundedHead)
          }
        }
      }
    }
  }
}

extension TransformerBlock.Taps {
  /// From the first to the last row of `block` whose attention is wanted.
  fileprivate func span(in block: Range<Int>) -> Range<Int>? {
    let seen = rows.filter(block.contains)
    return seen.min().map { $0..<seen.max()! + 1 }
  }

  /// Copies those of `block` that are wanted, rows of a head over the keys of a window, to `[heads, rows, n]`.
  fileprivate func copy(
    _ lines: UnsafePointer<Float>, _ block: Range<Int>, _ head: Int, _ window: Range<Int>, of n: Int,
    to out: Shared<Float>
  ) {
    for (index, row) in rows.enumerated() where block.contains(row) {
      (out.pointer + (head * rows.count + index) * n + window.lowerBound).update(
        from: lines + (row - block.lowerBound) * window.count, count: window.count)
    }
  }
}

func normalise(_ norm: Norm, _ x: UnsafePointer<Float>, _ rows: Int, into out: UnsafeMutablePointer<Float>) {
  switch norm {
  case .layer(let norm): vtok_layer_norm(x, rows, norm.weight.count, norm.weight, norm.bias, norm.epsilon, out)
  case .rms(let norm): vtok_rms_norm(x, rows, norm.weight.count, norm.weight, norm.epsilon, out)
  }
}

/// Splits rows over threads, in equal parts of at least 32: below that a thread costs more than it brings.
package func forRows(_ n: Int, _ threads: Int, _ body: @Sendable (Range<Int>) -> Void) {
  let parts = max(1, min(threads, n / 32))
  parallel(parts, threads: parts) { part in body(part * n / parts..<(part + 1) * n / parts) }
}
