import CVTokKernels
import VTokCore
import VTokTensor
import VTokWeights

/// Attention of a decoder layer with its projections: q, k and v, norms of their heads (Qwen3, Gemma 3), rotation, keys and
/// values into the cache, and what the heads give back to the width of the rows.
package struct SelfAttention: Sendable {
  package let query: Linear, key: Linear, value: Linear, output: Linear
  /// Of every head of q and of k; nil: they are not normed. `[headDim]`
  package let queryNorm: RMSNorm?, keyNorm: RMSNorm?
  /// Whether every head of q has a gate of its own width behind it, whose sigmoid multiplies what the head gives (Qwen3.5).
  let isGated: Bool
  /// Of the rotation.
  let frequencies: [Float]

  /// A view `layers.i.self_attn`.
  init(_ view: Checkpoint, _ config: DecoderConfig, _ mixer: Shape.Decoder.Mixer) throws {
    let shape = config.shape
    let (width, inner, kvInner) = (shape.width, shape.heads * shape.headDim, shape.kvHeads * shape.headDim)
    isGated = shape.gatesAttention
    frequencies = shape.frequencies(of: mixer)
    query = try config.linear(view, "q_proj", [isGated ? 2 * inner : inner, width], bias: config.biases.projections)
    key = try config.linear(view, "k_proj", [kvInner, width], bias: config.biases.projections)
    value = try config.linear(view, "v_proj", [kvInner, width], bias: config.biases.projections)
    output = try config.linear(view, "o_proj", [width, inner], bias: config.biases.output)
    queryNorm = config.normsHeads ? try config.norm(view, "q_norm", shape.headDim) : nil
    keyNorm = config.normsHeads ? try config.norm(view, "k_norm", shape.headDim) : nil
  }

  /// Numbers that a row takes in `Memory.inner`: q, then k and v; with gates q, gates, and what they are parted from, where
  /// k and v follow.
  static func scratch(_ shape: Shape.Decoder) -> Int {
    let (inner, kvInner) = (shape.heads * shape.headDim, shape.kvHeads * shape.headDim)
    return shape.gatesAttention ? 2 * inner + max(2 * inner, 2 * kvInner) : inner + 2 * kvInner
  }

  /// What attention gives of normed rows `[count, width]` that come after those in `cache`, to which their keys and values are
  /// added.
  func callAsFunction(
    _ tokens: TokenSequence, _ normed: UnsafePointer<Float>, into branch: UnsafeMutablePointer<Float>,
    _ cache: inout [TokenSequence], shape: Shape.Decoder, attention: Attention, sight: Attention.Sight,
    taps: Attention.Taps, massBias: Bool, _ memory: DecoderLayer.Memory
  ) -> [Attention.Tap: [Tensor]] {
    let (count, inner, threads) = (tokens.count, shape.heads * shape.headDim, memory.threads)
    let q = memory.inner.pointer
    let gates = q + count * inner
    let rest = isGated ? gates + count * inner : gates
    let rotary = memory.rotary(tokens.position, frequencies, shape)
    let input = ProductInput(normed, count: count, width: shape.width, threads: threads)
    project(input, count, into: q, gates, rest, shape, threads)
    rotate(q, count, queryNorm, rotary, heads: shape.heads, shape, scale: shape.queryScale, threads)
    store(tokens, input, rest, rotary, shape, attention.kv, &cache, threads)
    var recorded: [Attention.Tap: [Tensor]] = [:]
    withKeys(of: cache, shape, massBias: massBias) { keys in
      recorded = attention(
        Shared(q), rows: Array(0..<count), of: count, over: keys, groups: cache.count, sight: sight, taps: taps,
        memory.attention, threads: threads)
    }
    if isGated {
      let (q, gates) = (Shared(q), Shared(gates))
      forRows(count, threads) { rows in
        let start = rows.lowerBound * inner
        vtok_sigmoid_product(q.pointer + start, gates.pointer + start, rows.count * inner)
      }
    }
    output.apply(q, count, into: branch, threads)
    return recorded
  }

  /// Queries, and where there are any their gates.
  private func project(
    _ normed: ProductInput, _ count: Int, into q: UnsafeMutablePointer<Float>,
    _ gates: UnsafeMutablePointer<Float>, _ rest: UnsafeMutablePointer<Float>, _ shape: Shape.Decoder, _ threads: Int
  ) {
    guard isGated else { return query.apply(normed, count, into: q, threads) }
    query.apply(normed, count, into: rest, threads)
    let headDim = shape.headDim
    for head in 0..<count * shape.heads {
      let pair = rest + 2 * head * headDim
      (q + head * headDim).update(from: pair, count: headDim)
      (gates + head * headDim).update(from: pair + headDim, count: headDim)
    }
  }

  /// Attention rows that would be formed on `tokens`, which `norm` norms, without running the layer: nothing is stored, and
  /// nothing rounded. `[heads, rows, n]`, or `[heads, n]`.
  func probe(
    _ tokens: TokenSequence, _ norm: RMSNorm, rows: [Int], tap: Attention.Tap, shape: Shape.Decoder,
    attention: Attention, sight: Attention.Sight, taps: Attention.Taps, massBias: Bool,
    _ memory: DecoderLayer.Memory
  ) -> Tensor {
    let (count, width, threads) = (tokens.count, shape.width, memory.threads)
    let normed = memory.normed.pointer
    let rotary = memory.rotary(tokens.position, frequencies, shape)
    normalise(norm, tokens.x, into: normed, threads)
    let k = memory.inner.pointer
    key.apply(normed, count, into: k, threads)
    rotate(k, count, keyNorm, rotary, heads: shape.kvHeads, shape, threads)
    let q = k + count * shape.kvHeads * shape.headDim
    for (index, row) in rows.enumerated() {
      (normed + index * width).update(from: normed + row * width, count: width)  // ascending: nothing is overtaken
    }
    let inner = rows.count * shape.heads * shape.headDim
    let gates = isGated ? Scratch(3 * inner) : nil
    let asking = ProductInput(normed, count: rows.count, width: width, threads: threads)
    project(asking, rows.count, into: q, gates?.pointer ?? q, gates.map { $0.pointer + inner } ?? q, shape, threads)
    let asked = Rotary(rows.map { tokens.position[$0] }, frequencies: frequencies, of: shape)
    rotate(q, rows.count, queryNorm, asked, heads: shape.heads, shape, scale: shape.queryScale, threads)
    let bias = massBias ? tokens.logMass : nil
    let keys = (0..<shape.kvHeads).map { head in
      Attention.Keys(
        place: .exact(Shared(k + head * shape.headDim), stride: shape.kvHeads * shape.headDim), headDim: shape.headDim,
        count: count, ids: tokens.id, bias: bias)
    }
    var taps = taps
    taps.wanted = [(tap, Array(rows.indices))]
    return attention(
      Shared(q), rows: rows, of: count, over: keys, mixing: false, sight: sight, taps: taps, memory.attention,
      threads: threads)[tap]![0]
  }

  /// Queries and keys that would be formed of `tokens`, which `norm` norms, without running the layer.
  func projections(_ tokens: TokenSequence, _ norm: RMSNorm, shape: Shape.Decoder, threads: Int) -> Projections {
    let count = tokens.count
    let normed = norm(tokens.x)
    let keys = key(normed, threads: threads)
    var rotated = keys
    let rotary = Rotary(tokens.position, frequencies: frequencies, of: shape)
    rotated.values.withUnsafeMutableBufferPointer {
      rotate($0.baseAddress!, count, keyNorm, rotary, heads: shape.kvHeads, shape, threads)
    }
    return Projections(queries: query(normed, threads: threads), keys: keys, rotatedKeys: rotated)
  }

  /// Tokens that a new cache has room for behind its prompt: a short answer moves none.
  static let room = 128

  /// Projects keys and values of `tokens` and adds them to the cache, rounded as it holds them: per KV head key, then value.
  private func store(
    _ tokens: TokenSequence, _ normed: ProductInput, _ scratch: UnsafeMutablePointer<Float>, _ rotary: Rotary,
    _ shape: Shape.Decoder, _ kv: CachePrecision, _ cache: inout [TokenSequence], _ threads: Int
  ) {
    let (count, headDim, kvInner) = (tokens.count, shape.headDim, shape.kvHeads * shape.headDim)
    let (k, v) = (scratch, scratch + count * kvInner)
    key.apply(normed, count, into: k, threads)
    value.apply(normed, count, into: v, threads)
    rotate(k, count, keyNorm, rotary, heads: shape.kvHeads, shape, threads)
    let room = cache.isEmpty ? Self.room : 0
    let entries = tokens.carrying(
      Tensor(shape: [count, 2 * kvInner], room: kv == .f32 ? room : 0) { out in
        let (out, k, v, heads) = (Shared(out), Shared(k), Shared(v), shape.kvHeads)
        forRows(count, threads) { rows in
          for head in rows.lowerBound * heads..<rows.upperBound * heads {
            let pair = out.pointer + 2 * head * headDim
            pair.update(from: k.pointer + head * headDim, count: headDim)
            (pair + headDim).update(from: v.pointer + head * headDim, count: headDim)
          }
        }
      }
    ).stored(in: kv, group: headDim, room: room, threads: threads)
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
