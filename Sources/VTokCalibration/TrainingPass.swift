import CVTokKernels
import VTokLibC
import VTokModels
import VTokTensor

/// One image through a frozen network as DiffRate trains on it: every block keeps all tokens, and a mask says which of them a
/// network that really cuts would still have. What is dropped is still computed, because the gradient of the mask is how
/// learning hears that dropping hurts.
///
/// OpenGVLab/DiffRate, `DiffRate/patch/deit.py` in training mode. Memory is made once and used for image after image; one pass
/// belongs to one thread.
package final class TrainingPass {
  /// eps of the policy softmax.
  static let epsilon: Float = 1e-6

  /// What the way back needs of one block. n tokens, width c, h heads, MLP width m.
  final class Record {
    /// `[n, c]` entering the block.
    let input: Scratch
    /// `[n, 3c]` q, k and v.
    let projected: Scratch
    /// `[h, n, n]` e of the policy softmax and `[h, n]` its denominators.
    let exponentials: Scratch, denominators: Scratch
    /// `[n, c]` entering the MLP half, sorted and merged.
    let middle: Scratch
    /// `[n, m]` before the activation.
    let inner: Scratch
    /// `[n]` mask entering attention; after sorting; after pruning too.
    var mask: [Float] = [], sorted: [Float] = [], pruned: [Float] = []
    /// `[n]` the place before sorting of what is now at a place.
    var order: [Int] = []
    /// Where each of the merged tokens went, and how many came to each that stayed.
    var destinations: [Int] = [], arrivals: [Int] = []

    init(_ block: TransformerBlock, tokens n: Int) {
      input = Scratch(n * block.width)
      projected = Scratch(n * 3 * block.width)
      exponentials = Scratch(block.heads * n * n)
      denominators = Scratch(block.heads * n)
      middle = Scratch(n * block.width)
      inner = Scratch(n * block.hidden)
    }
  }

  package let network: FrozenNetwork
  let tokens: Int, width: Int
  let records: [Record]
  /// `[n, c]` the tokens on the way, and a place to put them in another order.
  var x: Scratch, other: Scratch
  /// `[n, c]` rows after a norm; `[n, max(3c, m)]`; two of `[n, n]`.
  let normed: Scratch, wide: Scratch, scores: Scratch, probabilities: Scratch
  /// `[n]` as they are now.
  package var mask: [Float] = [], size: [Float] = []
  /// `[features]` of the head after pooling; before the norm of `Head.mean`.
  var pooled: [Float] = [], unnormed: [Float] = []
  var steps: [RatePlan.Step] = []
  /// `[blocks]` dL/dM of pruning and of merging, by sorted position; nil where nothing was cut. Filled by `backward`.
  package internal(set) var pruneGradient: [[Float]?] = [], mergeGradient: [[Float]?] = []

  package init(_ network: FrozenNetwork) {
    self.network = network
    tokens = network.tokens
    width = network.width
    records = network.blocks.map { Record($0, tokens: network.tokens) }
    x = Scratch(tokens * width)
    other = Scratch(tokens * width)
    normed = Scratch(tokens * width)
    wide = Scratch(tokens * max(3 * width, network.blocks.map(\.hidden).max() ?? 0))
    scores = Scratch(tokens * tokens)
    probabilities = Scratch(tokens * tokens)
  }

  /// Tokens `[n, c]`, sorted, those that are alive in front.
  package var hidden: Tensor { Tensor(shape: [tokens, width]) { $0.update(from: x.pointer, count: tokens * width) } }

  /// Logits of one image.
  /// - Parameters:
  ///   - pixels: `[3, height, width]` at the model's own size, normalised.
  ///   - afterBlock: called with the number of each block when it is done.
  package func forward(_ pixels: Tensor, steps: [RatePlan.Step], afterBlock: (Int) -> Void = { _ in }) -> [Float] {
    let embedded = network.tower.embed(pixels).x
    precondition(embedded.rows == tokens, "\(embedded.rows) tokens of an image, the network has \(tokens)")
    x.pointer.update(from: embedded.values, count: tokens * width)
    mask = [Float](repeating: 1, count: tokens)
    size = mask
    self.steps = steps
    for (index, block) in network.blocks.enumerated() {
      let record = records[index]
      attend(block, record)
      cut(steps[index], record)
      feedForward(block, record)
      afterBlock(index)
    }
    return classify()
  }

  /// `x += attention(norm(x))` with the policy softmax, then everything sorted by the class token's attention.
  private func attend(_ block: TransformerBlock, _ record: Record) {
    let (n, c, d) = (tokens, width, block.headDim)
    record.input.pointer.update(from: x.pointer, count: n * c)
    record.mask = mask
    let norm = block.norm1
    vtok_layer_norm(x.pointer, n, c, norm.weight, norm.bias, norm.epsilon, normed.pointer)
    let qkv = record.projected.pointer
    block.qkv.weight.multiply(normed.pointer, n, c, into: qkv, 3 * c)
    if let bias = block.qkv.bias { vtok_add_bias(qkv, n, 3 * c, bias) }
    let bias = size.contains { $0 != 1 } ? size.map { logf($0) } : nil
    var importance = [Float](repeating: 0, count: n)
    for head in 0..<block.heads {
      let q = qkv + head * d
      let e = record.exponentials.pointer + head * n * n
      sgemm(
        m: n, n: n, k: d, alpha: block.scale, Strided(q, stride: 3 * c),
        Strided(q + c, stride: 3 * c, transposed: true), into: e, stride: n)
      vtok_policy_softmax(
        e, n, n, 0, bias, mask, Self.epsilon, record.denominators.pointer + head * n, probabilities.pointer)
      vtok_accumulate(&importance, probabilities.pointer, n, 1)
      sgemm(
        m: n, n: d, k: n, Strided(probabilities.pointer, stride: n), Strided(q + 2 * c, stride: 3 * c),
        into: normed.pointer + head * d, stride: c)
    }
    block.output.weight.multiply(normed.pointer, n, c, into: wide.pointer, c)
    vtok_add_residual(x.pointer, wide.pointer, n, c, block.output.bias, block.scale1)

    record.order = [0] + topK(Array(importance[1...]), n - 1).map { $0 + 1 }
    for (place, row) in record.order.enumerated() {
      (other.pointer + place * c).update(from: x.pointer + row * c, count: c)
    }
    swap(&x, &other)
    mask = record.order.map { mask[$0] }
    size = record.order.map { size[$0] }
    record.sorted = mask
  }

  /// Prunes by masking, merges by giving the mean to the token that stays; the merged one goes on unchanged, masked.
  private func cut(_ step: RatePlan.Step, _ record: Record) {
    if step.prunes { for place in step.pruned..<step.before { mask[place] = 0 } }
    record.pruned = mask
    (record.destinations, record.arrivals) = ([], [])
    guard step.merges else { return }
    let (c, kept) = (width, step.merged)
    let sources = step.pruned - kept
    // Similarity of the tokens as they are now, not of keys. `x / |x|`
    _ = vtok_exact_normalise(x.pointer, step.pruned, c, normed.pointer)
    vtok_exact_products(normed.pointer + kept * c, sources, c, normed.pointer, kept, c, c, scores.pointer)
    record.arrivals = [Int](repeating: 0, count: kept)
    for source in 0..<sources {
      // Nothing merges into the class token, unless it is the only one left.
      let line = UnsafeBufferPointer(start: scores.pointer + source * kept, count: kept)
      let best = kept > 1 ? 1 + argmax(line[1...].map { $0 })! : 0
      record.destinations.append(best)
      record.arrivals[best] += 1
      size[kept + source] *= kept > 1 ? line[best] : -.infinity
      vtok_accumulate(x.pointer + best * c, x.pointer + (kept + source) * c, c, 1)
    }
    for (place, count) in record.arrivals.enumerated() where count > 0 {
      vtok_divide(x.pointer + place * c, c, Float(1 + count))
    }
    for place in 0..<step.pruned { size[place] = max(size[place], 1) }  // in training only
    for (source, best) in record.destinations.enumerated() { size[best] += size[kept + source] }
    for place in kept..<step.pruned { mask[place] = 0 }
  }

  /// `x += MLP(norm(x))`
  private func feedForward(_ block: TransformerBlock, _ record: Record) {
    let (n, c, m) = (tokens, width, block.hidden)
    record.middle.pointer.update(from: x.pointer, count: n * c)
    let norm = block.norm2
    vtok_layer_norm(x.pointer, n, c, norm.weight, norm.bias, norm.epsilon, normed.pointer)
    let inner = record.inner.pointer
    block.up.weight.multiply(normed.pointer, n, c, into: inner, m)
    if let bias = block.up.bias { vtok_add_bias(inner, n, m, bias) }
    wide.pointer.update(from: inner, count: n * m)
    vtok_bias_activation(wide.pointer, n, m, nil, block.activation.kernel)
    block.down.weight.multiply(wide.pointer, n, m, into: normed.pointer, c)
    vtok_add_residual(x.pointer, normed.pointer, n, c, block.down.bias, block.scale2)
  }
}

extension TransformerBlock {
  var scale: Float { 1 / Float(headDim).squareRoot() }

  var activation: Activation {
    guard case .plain(let activation) = mlp else { preconditionFailure("a gated MLP is refused by FrozenNetwork") }
    return activation
  }
}
