import CVTokKernels
import VTokCore
import VTokTensor
import VTokWeights

/// A pre-norm decoder layer of the Llama family: `x += Attention(RMS1(x))`, `x += down(silu(gate(h)) * up(h))` with
/// h = RMS2(x); Qwen3 norms the heads of q and k before it rotates them. Matrices stay mapped as stored, but for those of small models
/// and of lower precision.
package struct DecoderLayer: Sendable {
  package let norm1: RMSNorm
  package let query: Linear, key: Linear, value: Linear, output: Linear
  /// Of every head of q and of k; nil: they are not normed. `[headDim]`
  package let queryNorm: RMSNorm?, keyNorm: RMSNorm?
  package let norm2: RMSNorm
  package let gate: Linear, up: Linear, down: Linear

  /// A view `layers.i`.
  init(_ view: Checkpoint, _ config: DecoderConfig) throws {
    let shape = config.shape
    let (width, inner, kvInner) = (shape.width, shape.heads * shape.headDim, shape.kvHeads * shape.headDim)
    func linear(_ name: String, _ rows: Int, _ columns: Int, _ hasBias: Bool) throws -> Linear {
      let stored = try view.weight("\(name).weight", [rows, columns])
      return Linear(
        weight: [.f32, .file].contains(view.precision) && config.isSmall
          ? stored.packed
          : stored.at(view.precision, threads: processors),
        bias: hasBias ? try view.vector("\(name).bias", [rows]) : nil)
    }
    func norm(_ name: String, _ width: Int) throws -> RMSNorm {
      RMSNorm(weight: try view.vector("\(name).weight", [width]), epsilon: config.epsilon)
    }
    norm1 = try norm("input_layernorm", width)
    queryNorm = config.normsHeads ? try norm("self_attn.q_norm", shape.headDim) : nil
    keyNorm = config.normsHeads ? try norm("self_attn.k_norm", shape.headDim) : nil
    query = try linear("self_attn.q_proj", inner, width, config.biases.projections)
    key = try linear("self_attn.k_proj", kvInner, width, config.biases.projections)
    value = try linear("self_attn.v_proj", kvInner, width, config.biases.projections)
    output = try linear("self_attn.o_proj", width, inner, config.biases.output)
    norm2 = try norm("post_attention_layernorm", width)
    gate = try linear("mlp.gate_proj", shape.ffn, width, config.biases.mlp)
    up = try linear("mlp.up_proj", shape.ffn, width, config.biases.mlp)
    down = try linear("mlp.down_proj", width, shape.ffn, config.biases.mlp)
  }

  /// Memory of a forward pass over up to `rows` rows and `keys` keys.
  final class Memory {
    let normed: Scratch, branch: Scratch, inner: Scratch
    let attention: Attention.Memory
    let threads: Int
    /// Shared by layers that see the same positions.
    private var rotary: Rotary

    init(rows: Int, keys: Int, shape: Shape.Decoder, threads: Int) {
      self.threads = threads
      normed = Scratch(rows * shape.width)
      branch = Scratch(rows * shape.width)
      // First q, k, v, then gate and up.
      inner = Scratch(rows * max((shape.heads + 2 * shape.kvHeads) * shape.headDim, 2 * shape.ffn))
      attention = Attention.Memory(
        rows: rows, keys: keys, heads: shape.heads, threads: min(threads, shape.heads))
      rotary = Rotary([], of: shape)
    }

    func rotary(_ positions: [Position], _ shape: Shape.Decoder) -> Rotary {
      if rotary.positions != positions { rotary = Rotary(positions, of: shape) }
      return rotary
    }
  }

  /// What a layer leaves behind beside its output.
  struct Recorded {
    var attention: [Attention.Tap: [Tensor]] = [:]
    /// Attention, MLP.
    var branches: [Branch] = []
  }

  /// Runs the layer on rows that come after those in `cache`, and adds their keys and values to it.
  /// - Parameters:
  ///   - cache: empty, one sequence for all KV heads, or one per head.
  ///   - weights: of the MLP branch of every row; nil: all 1.
  func callAsFunction(
    _ tokens: inout TokenSequence, _ cache: inout [TokenSequence], weights: [Float]? = nil, shape: Shape.Decoder,
    attention: Attention, taps: Attention.Taps, branches: Bool, _ memory: Memory
  ) -> Recorded {
    var recorded = Recorded()
    let (count, threads) = (tokens.count, memory.threads)
    let (normed, branch) = (memory.normed.pointer, memory.branch.pointer)
    let inner = shape.heads * shape.headDim
    let q = memory.inner.pointer
    normalise(norm1, tokens.x, into: normed, threads)
    let input = ProductInput(normed, count: count, width: shape.width, threads: threads)
    query.apply(input, count, into: q, threads)
    let rotary = memory.rotary(tokens.position, shape)
    rotate(q, count, queryNorm, rotary, heads: shape.heads, shape, scale: shape.queryScale, threads)
    store(tokens, input, q + count * inner, rotary, shape, &cache, threads)
    withKeys(of: cache, shape) { keys in
      recorded.attention = attention(
        Shared(q), rows: Array(0..<count), of: count, over: keys, groups: cache.count, taps: taps, memory.attention,
        threads: threads)
    }
    output.apply(q, count, into: branch, threads)
    if branches { recorded.branches.append(compare(normed, branch, count, shape.width)) }
    add(branch, to: &tokens.x, threads)

    let (a, b) = (memory.inner.pointer, memory.inner.pointer + count * shape.ffn)
    normalise(norm2, tokens.x, into: normed, threads)
    let narrow = ProductInput(normed, count: count, width: shape.width, threads: threads)
    gate.apply(narrow, count, into: a, threads)
    up.apply(narrow, count, into: b, threads)
    let (wide, ffn) = ((Shared(a), Shared(b)), shape.ffn)
    forRows(count, threads) { rows in
      let start = rows.lowerBound * ffn
      vtok_silu_product(wide.0.pointer + start, wide.1.pointer + start, rows.count * ffn)
    }
    down.apply(a, count, into: branch, threads)
    if branches { recorded.branches.append(compare(normed, branch, count, shape.width)) }
    for (row, weight) in (weights ?? []).enumerated() { scale(branch + row * shape.width, shape.width, weight) }
    add(branch, to: &tokens.x, threads)
    return recorded
  }

  /// Attention rows that this layer would form on `tokens`, without running it. `[heads, rows, n]`, or `[heads, n]`.
  func probe(
    _ tokens: TokenSequence, rows: [Int], tap: Attention.Tap, shape: Shape.Decoder, attention: Attention,
    taps: Attention.Taps, _ memory: Memory
  ) -> Tensor {
    let (count, width, threads) = (tokens.count, shape.width, memory.threads)
    let normed = memory.normed.pointer
    let rotary = memory.rotary(tokens.position, shape)
    normalise(norm1, tokens.x, into: normed, threads)
    let k = memory.inner.pointer
    key.apply(normed, count, into: k, threads)
    rotate(k, count, keyNorm, rotary, heads: shape.kvHeads, shape, threads)
    let q = k + count * shape.kvHeads * shape.headDim
    for (index, row) in rows.enumerated() {
      (normed + index * width).update(from: normed + row * width, count: width)  // ascending: nothing is overtaken
    }
    query.apply(normed, rows.count, into: q, threads)
    let asked = Rotary(rows.map { tokens.position[$0] }, of: shape)
    rotate(q, rows.count, queryNorm, asked, heads: shape.heads, shape, scale: shape.queryScale, threads)
    let keys = (0..<shape.kvHeads).map { head in
      Attention.Keys(
        pointer: Shared(k + head * shape.headDim), stride: shape.kvHeads * shape.headDim, count: count, ids: tokens.id)
    }
    var taps = taps
    taps.wanted = [(tap, Array(rows.indices))]
    return attention(
      Shared(q), rows: rows, of: count, over: keys, mixing: false, taps: taps, memory.attention, threads: threads)[
        tap]![0]
  }

  /// Projects keys and values of `tokens` and adds them to the cache: per KV head key, then value.
  private func store(
    _ tokens: TokenSequence, _ normed: ProductInput, _ scratch: UnsafeMutablePointer<Float>, _ rotary: Rotary,
    _ shape: Shape.Decoder, _ cache: inout [TokenSequence], _ threads: Int
  ) {
    let (count, headDim, kvInner) = (tokens.count, shape.headDim, shape.kvHeads * shape.headDim)
    let (k, v) = (scratch, scratch + count * kvInner)
    key.apply(normed, count, into: k, threads)
    value.apply(normed, count, into: v, threads)
    rotate(k, count, keyNorm, rotary, heads: shape.kvHeads, shape, threads)
    let entries = tokens.carrying(
      Tensor(shape: [count, 2 * kvInner]) { out in
        let (out, k, v, heads) = (Shared(out), Shared(k), Shared(v), shape.kvHeads)
        forRows(count, threads) { rows in
          for head in rows.lowerBound * heads..<rows.upperBound * heads {
            let pair = out.pointer + 2 * head * headDim
            pair.update(from: k.pointer + head * headDim, count: headDim)
            (pair + headDim).update(from: v.pointer + head * headDim, count: headDim)
          }
        }
      })
    if cache.isEmpty {
      cache = [entries]
    } else {
      let parts = entries.split(into: cache.count, kvHeads: shape.kvHeads)
      for (head, part) in parts.enumerated() { cache[head].append(part) }
    }
  }

  /// Norms, rotates and scales every head of q or k `[count, heads * headDim]`.
  private func rotate(
    _ x: UnsafeMutablePointer<Float>, _ count: Int, _ norm: RMSNorm?, _ rotary: Rotary, heads: Int,
    _ shape: Shape.Decoder, scale: Float = 1, _ threads: Int
  ) {
    let (x, headDim) = (Shared(x), shape.headDim)
    forRows(count, threads) { rows in
      let first = rows.lowerBound
      let own = x.pointer + first * heads * headDim
      if let norm { vtok_rms_norm(own, rows.count * heads, headDim, norm.weight, norm.epsilon, own) }
      rotary.rotate(own, rows.count, from: first, heads: heads, headDim: headDim, scale: scale)
    }
  }
}

/// The keys of every KV head of a cache, while `body` runs.
func withKeys(of cache: [TokenSequence], _ shape: Shape.Decoder, _ body: ([Attention.Keys]) -> Void) {
  func collect(_ rest: ArraySlice<TokenSequence>, _ keys: [Attention.Keys]) {
    guard let sequence = rest.first else { return body(keys) }
    sequence.x.values.withUnsafeBufferPointer { values in
      let heads = sequence.x.width / (2 * shape.headDim)
      let own = (0..<heads).map { head in
        Attention.Keys(
          pointer: Shared(UnsafeMutablePointer(mutating: values.baseAddress! + 2 * head * shape.headDim)),
          stride: sequence.x.width, count: sequence.count, ids: sequence.id)
      }
      collect(rest.dropFirst(), keys + own)
    }
  }
  collect(cache[...], [])
}

extension Linear {
  /// x `[rows, in]`, out `[rows, out]`.
  fileprivate func apply(
    _ x: UnsafePointer<Float>, _ rows: Int, into out: UnsafeMutablePointer<Float>, _ threads: Int
  ) {
    weight.multiply(x, rows, weight.columns, into: out, weight.rows, threads: threads)
    if let bias { vtok_add_bias(out, rows, weight.rows, bias) }
  }

  /// The same for rows that other layers take too.
  fileprivate func apply(_ x: ProductInput, _ rows: Int, into out: UnsafeMutablePointer<Float>, _ threads: Int) {
    weight.multiply(x, into: out, weight.rows, threads: threads)
    if let bias { vtok_add_bias(out, rows, weight.rows, bias) }
  }
}

/// Multiplies a row.
func scale(_ row: UnsafeMutablePointer<Float>, _ width: Int, _ weight: Float) {
  for column in 0..<width { row[column] *= weight }
}

private func normalise(_ norm: RMSNorm, _ x: Tensor, into out: UnsafeMutablePointer<Float>, _ threads: Int) {
  let (out, width) = (Shared(out), x.width)
  forRows(x.rows, threads) { rows in
    let start = rows.lowerBound * width
    x.values.withUnsafeBufferPointer { x in
      vtok_rms_norm(x.baseAddress! + start, rows.count, width, norm.weight, norm.epsilon, out.pointer + start)
    }
  }
}

private func add(_ branch: UnsafeMutablePointer<Float>, to x: inout Tensor, _ threads: Int) {
  let (branch, count, width) = (Shared(branch), x.rows, x.width)
  x.values.withUnsafeMutableBufferPointer { buffer in
    let x = Shared(buffer.baseAddress!)
    forRows(count, threads) { rows in
      let start = rows.lowerBound * width
      vtok_add_residual(x.pointer + start, branch.pointer + start, rows.count, width, nil, nil)
    }
  }
}

/// Sizes and directions of the rows before and after a branch.
private func compare(_ input: UnsafePointer<Float>, _ output: UnsafePointer<Float>, _ rows: Int, _ width: Int) -> Branch
{
  func dots(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>) -> [Float] {
    (0..<rows).map { vtok_exact_dot(a + $0 * width, b + $0 * width, width) }
  }
  return Branch(
    input: dots(input, input).map { $0.squareRoot() }, output: dots(output, output).map { $0.squareRoot() },
    dot: dots(input, output))
}
