import CVTokKernels
import VTokCore
import VTokLibC
import VTokModels
import VTokTensor

/// How much every visual token matters for an answer: attention weighted with the gradient of the chosen token's logit, followed
/// from the last row through all layers down to the prompt. The labels that `generic-explain`'s net is trained on.
///
/// "Task-Related Token Compression in MLLMs from an Explainability Perspective" (arXiv 2506.01097), after Chefer et al.
/// (arXiv 2103.15679): R = I, then R += mean over heads of relu(A * dy/dA) R in every layer. Only one row of R is asked for, so it
/// is followed downwards as the gradient goes, and no product of n x n matrices is formed. Whether y is the logit or its logarithm
/// of probability is not said there; here it is the logit.
public struct RelevanceMaps: Sendable {
  public struct Map: Sendable {
    /// The answer, greedily chosen.
    public let tokens: [Int]
    /// Relevance of every visual token for every token of the answer. `[answer, visual]`
    public let steps: Tensor
    /// Mean over the answer. `[visual]`
    public let mean: [Float]
    /// What the net learns: the lower half is 0, the rest sums to 1. `[visual]`
    public var target: [Float] {
      let upper = topK(mean, mean.count - mean.count / 2)
      let sum = upper.reduce(0) { $0 + mean[$1] }
      var target = [Float](repeating: 0, count: mean.count)
      for index in upper { target[index] = sum > 0 ? mean[index] / sum : 0 }
      return target
    }
  }

  private let model: LanguageModel
  private var shape: Shape.Decoder { model.shape }

  /// - Throws: `CalibrationError` for a model whose layers tokens pass by, or whose layers are not Llama's.
  public init(_ model: LanguageModel) throws(CalibrationError) {
    guard model.shape.shares.allSatisfy({ $0 == nil }) else {
      throw .unsupported(
        found: "layers that tokens pass by (mixture of depths)", expected: "layers that compute all tokens",
        fix: "Use the model without routers.")
    }
    if let part = model.beyondLlama {
      throw .unsupported(
        found: part, expected: "a language model of Llama's layers, whose way back is known", fix: "Use another model.")
    }
    self.model = model
  }

  /// Answers a prompt and says which of its rows the answer rests on. Every token is a pass forwards and one back, without caches.
  /// - Parameters:
  ///   - prompt: as it enters layer 0.
  ///   - visual: rows of the prompt whose relevance is asked for.
  ///   - limit: most tokens of the answer, at least 1.
  ///   - stops: ids that end it; a stop token has no relevance of its own unless it is the first.
  public func callAsFunction(
    _ prompt: TokenSequence, visual: [Int], limit: Int, stops: Set<Int> = [], threads: Int = 1
  ) throws -> Map {
    precondition(limit > 0 && !visual.isEmpty)
    var whole = prompt
    var tokens: [Int] = []
    var lines: [Float] = []
    while tokens.count < limit {
      var run = Run(.dense(Shape(tower: nil, decoder: shape, layout: Shape.Layout(tiling: .one))))
      var entering: [Tensor] = []
      let decoding = try model.prefill(whole, run: &run, threads: threads) { _, hidden in entering.append(hidden) }
      let token = argmax(decoding.logits)!
      if stops.contains(token), !tokens.isEmpty { break }
      let relevance = relevance(of: token, Array(entering.dropLast()), leaving: decoding.tokens, threads)
      tokens.append(token)
      lines += visual.map { relevance[$0] }
      let next = Position(decoding.position)
      whole.append(
        TokenSequence(
          x: try model.embeddings(of: [token]), kind: [.text], position: [next], origin: Origin([nil]),
          id: [decoding.nextID]))
    }
    let steps = Tensor(lines, shape: [tokens.count, visual.count])
    return Map(tokens: tokens, steps: steps, mean: steps.mean(of: Array(tokens.indices)))
  }

  /// The row of R that belongs to the last token. `[n]`
  /// - Parameter entering: the rows entering every layer.
  private func relevance(of token: Int, _ entering: [Tensor], leaving: TokenSequence, _ threads: Int) -> [Float] {
    let (n, width) = (leaving.count, shape.width)
    var gradient = Tensor(zeros: [n, width])
    addNormGradient(
      of: leaving.x, row: n - 1, model.headRow(token)[...], weight: model.norm.weight, model.norm.epsilon, to: &gradient
    )
    var row = [Float](repeating: 0, count: n)
    row[n - 1] = 1
    for index in (0..<shape.layers).reversed() {
      passBack(
        model.layers[index], entering: entering[index], at: leaving.position, gradient: &gradient, row: &row,
        threads: threads)
    }
    return row
  }

  /// One layer backwards: `gradient` is that of its output, then of its input; `row` takes in its attention.
  private func passBack(
    _ layer: DecoderLayer, entering x: Tensor, at positions: [Position], gradient: inout Tensor, row: inout [Float],
    threads: Int
  ) {
    let attention = Attended(layer, of: model, entering: x, at: positions, threads: threads)
    var middle = layer.attention!.output(attention.mixed, threads: threads)
    for index in middle.values.indices { middle.values[index] += x.values[index] }

    // z = down(silu(gate(u)) * up(u)), u the normed middle
    let u = layer.norm2(middle)
    var (a, b) = (layer.gate(u, threads: threads), layer.up(u, threads: threads))
    let s = back(layer.down, gradient)
    for index in s.values.indices {
      let (gate, up) = (a.values[index], b.values[index])
      let sigmoid = 1 / (1 + expf(-gate))
      a.values[index] = s.values[index] * up * sigmoid * (1 + gate * (1 - sigmoid))
      b.values[index] = s.values[index] * gate * sigmoid
    }
    addNormGradient(of: middle, sum([back(layer.gate, a), back(layer.up, b)]), layer.norm2, to: &gradient)

    let (q, k, v) = attention.passBack(back(layer.attention!.output, gradient), &row)
    addNormGradient(
      of: x, sum([back(layer.attention!.query, q), back(layer.attention!.key, k), back(layer.attention!.value, v)]),
      layer.norm1, to: &gradient)
  }

  /// dL/dx of `y = x Wᵀ`.
  private func back(_ linear: Linear, _ gradient: Tensor) -> Tensor {
    Tensor(shape: [gradient.rows, linear.weight.columns]) {
      linear.weight.multiplyBack(gradient.values, gradient.rows, gradient.width, into: $0, linear.weight.columns)
    }
  }

  private func sum(_ parts: [Tensor]) -> Tensor {
    var sum = parts[0]
    for part in parts.dropFirst() { for index in sum.values.indices { sum.values[index] += part.values[index] } }
    return sum
  }

  private func addNormGradient(of x: Tensor, _ gradient: Tensor, _ norm: RMSNorm, to out: inout Tensor) {
    for row in 0..<x.rows {
      addNormGradient(of: x, row: row, gradient.row(row), weight: norm.weight, norm.epsilon, to: &out)
    }
  }

  /// Through `y = x w / rms(x)` of one row.
  private func addNormGradient(
    of x: Tensor, row: Int, _ gradient: ArraySlice<Float>, weight: [Float], _ epsilon: Float, to out: inout Tensor
  ) {
    let (width, line) = (x.width, Array(x.row(row)))
    let scaled = zip(gradient, weight).map(*)
    let scale = 1 / (vtok_exact_dot(line, line, width) / Float(width) + epsilon).squareRoot()
    let share = vtok_exact_dot(scaled, line, width) * scale * scale / Float(width)
    for column in 0..<width {
      out.values[row * width + column] += scale * (scaled[column] - line[column] * share)
    }
  }
}

/// Attention of one layer over a whole prompt, kept for the way back: head by head, so that one `[n, n]` matrix is held.
private struct Attended {
  let shape: Shape.Decoder, window: Int?
  let positions: [Position]
  /// Rotated; queries scaled too. `[n, heads * headDim]`, `[n, kvHeads * headDim]`
  private(set) var q: Tensor, k: Tensor
  let v: Tensor
  /// What goes to the output projection. `[n, heads * headDim]`
  private(set) var mixed: Tensor

  private var n: Int { q.rows }
  private var scale: Float { 1 / Float(shape.headDim).squareRoot() }

  init(
    _ layer: DecoderLayer, of model: LanguageModel, entering x: Tensor, at positions: [Position], threads: Int
  ) {
    shape = model.shape
    window = if case .window(let count) = model.shape.mixer(of: 0) { count } else { nil }
    self.positions = positions
    let u = layer.norm1(x)
    q = layer.attention!.query(u, threads: threads)
    k = layer.attention!.key(u, threads: threads)
    v = layer.attention!.value(u, threads: threads)
    mixed = q
    let rotary = Rotary(positions, of: shape)
    rotary.rotate(&q.values, n, heads: shape.heads, headDim: shape.headDim, scale: scale)
    rotary.rotate(&k.values, n, heads: shape.kvHeads, headDim: shape.headDim)
    let (scores, n, wide, narrow, headDim) = (Scratch(n * n), n, q.width, v.width, shape.headDim)
    for head in 0..<shape.heads {
      form(head, scores.pointer)
      let kv = kv(head)
      mixed.values.withUnsafeMutableBufferPointer { out in
        v.values.withUnsafeBufferPointer { v in
          sgemm(
            m: n, n: headDim, k: n, Strided(scores.pointer, stride: n), Strided(v.baseAddress! + kv, stride: narrow),
            into: out.baseAddress! + head * headDim, stride: wide)
        }
      }
    }
  }

  /// First column of the keys that a query head reads.
  private func kv(_ head: Int) -> Int { head * shape.kvHeads / shape.heads * shape.headDim }

  /// Softmaxed attention of one head. `[n, n]`
  private func form(_ head: Int, _ out: UnsafeMutablePointer<Float>) {
    q.values.withUnsafeBufferPointer { q in
      k.values.withUnsafeBufferPointer { k in
        sgemm(
          m: n, n: n, k: shape.headDim, Strided(q.baseAddress! + head * shape.headDim, stride: self.q.width),
          Strided(k.baseAddress! + kv(head), stride: self.k.width, transposed: true), into: out, stride: n)
      }
    }
    for row in 0..<n {
      let start = window.map { max(0, row + 1 - $0) } ?? 0
      let line = out + row * n
      vtok_softmax_rows(line + start, 1, row + 1 - start, row + 1 - start, nil)
      line.update(repeating: 0, count: start)
      (line + row + 1).update(repeating: 0, count: n - row - 1)
    }
  }

  /// From the gradient of `mixed` to those of the projections' outputs; `row` becomes row (I + mean of relu(A * dA)).
  func passBack(_ gradient: Tensor, _ row: inout [Float]) -> (q: Tensor, k: Tensor, v: Tensor) {
    let (attention, slope) = (Scratch(n * n), Scratch(n * n))
    var (dq, dk, dv) = (Tensor(zeros: q.shape), Tensor(zeros: k.shape), Tensor(zeros: v.shape))
    let (headDim, wide, narrow) = (shape.headDim, q.width, k.width)
    var taken = [Float](repeating: 0, count: n)
    for head in 0..<shape.heads {
      form(head, attention.pointer)
      let (own, kv) = (head * headDim, self.kv(head))
      /// `c (+)= a b`, b the rows of one head of a tensor. `[n, n] [n, headDim]`
      func multiply(
        _ a: Scratch, transposed: Bool = false, by b: Tensor, from column: Int, adding: Bool = false,
        into c: inout Tensor, at first: Int
      ) {
        let stride = c.width
        b.values.withUnsafeBufferPointer { rows in
          c.values.withUnsafeMutableBufferPointer { c in
            sgemm(
              m: n, n: headDim, k: n, Strided(a.pointer, stride: n, transposed: transposed),
              Strided(rows.baseAddress! + column, stride: b.width), beta: adding ? 1 : 0,
              into: c.baseAddress! + first, stride: stride)
          }
        }
      }
      gradient.values.withUnsafeBufferPointer { up in
        v.values.withUnsafeBufferPointer { values in
          sgemm(
            m: n, n: n, k: headDim, Strided(up.baseAddress! + own, stride: wide),
            Strided(values.baseAddress! + kv, stride: narrow, transposed: true), into: slope.pointer, stride: n)
        }
      }
      for query in 0..<n {
        let (a, d) = (attention.pointer + query * n, slope.pointer + query * n)
        let mean = vtok_exact_dot(a, d, query + 1)
        for key in 0...query {
          taken[key] += row[query] * max(0, a[key] * d[key]) / Float(shape.heads)
          d[key] = a[key] * (d[key] - mean)
        }
        (d + query + 1).update(repeating: 0, count: n - query - 1)
      }
      multiply(slope, by: k, from: kv, into: &dq, at: own)
      multiply(slope, transposed: true, by: q, from: own, adding: true, into: &dk, at: kv)
      multiply(attention, transposed: true, by: gradient, from: own, adding: true, into: &dv, at: kv)
    }
    for key in 0..<n { row[key] += taken[key] }
    // Turned back: the transpose of a rotation. Keys met scaled queries, so only queries need the scale.
    let back = Rotary(positions.map { Position(t: -$0.t, h: -$0.h, w: -$0.w) }, of: shape)
    back.rotate(&dq.values, n, heads: shape.heads, headDim: headDim, scale: scale)
    back.rotate(&dk.values, n, heads: shape.kvHeads, headDim: headDim)
    return (dq, dk, dv)
  }
}
