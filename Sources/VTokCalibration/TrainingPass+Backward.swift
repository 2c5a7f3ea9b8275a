import CVTokKernels
import VTokModels
import VTokTensor

extension TrainingPass {
  /// Goes back through the pass that `forward` made, for dL/dlogits, and fills `pruneGradient` and `mergeGradient`.
  ///
  /// Only activations have gradients, and only as far down as a mask can hear: the first block that cuts needs nothing but the
  /// gradient of its mask, which the attention of the block above gives.
  package func backward(_ logits: [Float]) {
    let c = width
    let blocks = network.blocks
    pruneGradient = [[Float]?](repeating: nil, count: blocks.count)
    mergeGradient = pruneGradient
    guard let first = steps.firstIndex(where: { $0.prunes || $0.merges }) else { return }
    // From here on x is dL/dx: the tokens are not needed once the head is passed.
    var maskGradient = backwardHead(logits, into: other.pointer)
    swap(&x, &other)
    for index in (first..<blocks.count).reversed() {
      let record = records[index]
      if index > first { backwardFeedForward(blocks[index], record) }
      backwardCut(index, record, &maskGradient)
      if index == first { return }
      var unsorted = maskGradient
      for (place, row) in record.order.enumerated() {
        (other.pointer + row * c).update(from: x.pointer + place * c, count: c)
        unsorted[row] = maskGradient[place]
      }
      swap(&x, &other)
      maskGradient = unsorted
      backwardAttention(blocks[index], record, &maskGradient, toInput: index > first + 1)
    }
  }

  /// The MLP half: x holds dL/d(out) and then dL/d(middle).
  private func backwardFeedForward(_ block: TransformerBlock, _ record: Record) {
    let (n, c, m) = (tokens, width, block.hidden)
    var up = x.pointer
    if let scale = block.scale2 {
      vtok_scale_columns(x.pointer, n, c, scale, normed.pointer)
      up = normed.pointer
    }
    block.down.weight.multiplyBack(up, n, c, into: wide.pointer, m)
    vtok_activation_backward(record.inner.pointer, n * m, block.activation.kernel, wide.pointer)
    block.up.weight.multiplyBack(wide.pointer, n, m, into: normed.pointer, c)
    vtok_layer_norm_backward(
      record.middle.pointer, n, c, block.norm2.weight, block.norm2.epsilon, normed.pointer, x.pointer)
  }

  /// Merging and pruning: features of what was merged, then the two masks.
  private func backwardCut(_ index: Int, _ record: Record, _ maskGradient: inout [Float]) {
    let step = steps[index]
    let c = width
    if step.merges {
      for (place, count) in record.arrivals.enumerated() where count > 0 {
        vtok_divide(x.pointer + place * c, c, Float(1 + count))
      }
      for (source, best) in record.destinations.enumerated() {
        vtok_accumulate(x.pointer + (step.merged + source) * c, x.pointer + best * c, c, 1)
      }
      mergeGradient[index] = zip(maskGradient, record.pruned).map(*)
      for place in step.merged..<step.pruned { maskGradient[place] = 0 }
    }
    if step.prunes {
      pruneGradient[index] = zip(maskGradient, record.sorted).map(*)
      for place in step.pruned..<step.before { maskGradient[place] = 0 }
    }
  }

  /// The attention half: x holds dL/d(x after it, unsorted) and then dL/d(input); the mask's gradient grows by what the policy
  /// softmax says.
  /// - Parameter toInput: false leaves dL/d(input) uncomputed.
  private func backwardAttention(
    _ block: TransformerBlock, _ record: Record, _ maskGradient: inout [Float], toInput: Bool
  ) {
    let (n, c, d) = (tokens, width, block.headDim)
    var up = x.pointer
    if let scale = block.scale1 {
      vtok_scale_columns(x.pointer, n, c, scale, normed.pointer)
      up = normed.pointer
    }
    block.output.weight.multiplyBack(up, n, c, into: other.pointer, c)
    let qkv = record.projected.pointer
    for head in 0..<block.heads {
      let q = qkv + head * d
      let out = other.pointer + head * d
      let down = wide.pointer + head * d  // dL/d(q), then k and v, in rows of 3c
      sgemm(
        m: n, n: n, k: d, Strided(out, stride: c), Strided(q + 2 * c, stride: 3 * c, transposed: true),
        into: scores.pointer, stride: n)
      vtok_policy_softmax_backward(
        record.exponentials.pointer + head * n * n, record.denominators.pointer + head * n, n, n, 0, record.mask,
        Self.epsilon, scores.pointer, probabilities.pointer, &maskGradient)
      guard toInput else { continue }
      sgemm(
        m: n, n: d, k: n, Strided(probabilities.pointer, stride: n, transposed: true), Strided(out, stride: c),
        into: down + 2 * c, stride: 3 * c)
      sgemm(
        m: n, n: d, k: n, alpha: block.scale, Strided(scores.pointer, stride: n), Strided(q + c, stride: 3 * c),
        into: down, stride: 3 * c)
      sgemm(
        m: n, n: d, k: n, alpha: block.scale, Strided(scores.pointer, stride: n, transposed: true),
        Strided(q, stride: 3 * c), into: down + c, stride: 3 * c)
    }
    guard toInput else { return }
    block.qkv.weight.multiplyBack(wide.pointer, n, 3 * c, into: normed.pointer, c)
    vtok_layer_norm_backward(
      record.input.pointer, n, c, block.norm1.weight, block.norm1.epsilon, normed.pointer, x.pointer)
  }
}
