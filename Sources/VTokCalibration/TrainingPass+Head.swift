import CVTokKernels
import VTokTensor

extension TrainingPass {
  /// Final norm, pooling, classifier. `[classes]`. The normed tokens stay in `normed`.
  func classify() -> [Float] {
    let (n, c) = (tokens, width)
    if let norm = network.tower.finalNorm {
      vtok_layer_norm(x.pointer, n, c, norm.weight, norm.bias, norm.epsilon, normed.pointer)
    } else {
      normed.pointer.update(from: x.pointer, count: n * c)
    }
    let first = Array(UnsafeBufferPointer(start: normed.pointer, count: c))
    switch network.head {
    case .token: pooled = first
    case .tokenAndMean: pooled = first + patchMean()
    case .mean(let norm):
      unnormed = patchMean()
      pooled = norm.map { $0(Tensor(unnormed, shape: [1, c])).values } ?? unnormed
    }
    return network.classifier(Tensor(pooled, shape: [1, pooled.count])).values
  }

  /// `sum of m_j s_j x_j / sum of m_j s_j` over patch tokens j.
  private func patchMean() -> [Float] {
    var mean = [Float](repeating: 0, count: width)
    for token in 1..<tokens where mask[token] != 0 {
      vtok_accumulate(&mean, normed.pointer + token * width, width, mask[token] * size[token])
    }
    vtok_divide(&mean, width, massAlive)
    return mean
  }

  private var massAlive: Float { (1..<tokens).reduce(0) { $0 + mask[$1] * size[$1] } }

  /// From dL/dlogits to dL/dx of the last tokens, which `out` `[n, c]` becomes, and to dL/dmask `[n]`. The divisor of the mean
  /// counts as constant, as in the official code.
  func backwardHead(_ logits: [Float], into out: UnsafeMutablePointer<Float>) -> [Float] {
    let (n, c) = (tokens, width)
    var maskGradient = [Float](repeating: 0, count: n)
    var features = [Float](repeating: 0, count: pooled.count)
    network.classifier.weight.multiplyBack(logits, 1, logits.count, into: &features, pooled.count)
    // dL/d(normed tokens) goes to `wide`.
    let up = wide.pointer
    up.update(repeating: 0, count: n * c)
    var mean: [Float]?
    switch network.head {
    case .token: up.update(from: features, count: c)
    case .tokenAndMean:
      up.update(from: features, count: c)
      mean = Array(features[c...])
    case .mean(let norm?):
      var before = [Float](repeating: 0, count: c)
      vtok_layer_norm_backward(unnormed, 1, c, norm.weight, norm.epsilon, features, &before)
      mean = before
    case .mean(nil): mean = features
    }
    if let mean {
      let mass = massAlive
      mean.withUnsafeBufferPointer {
        sgemm(
          m: n, n: 1, k: c, Strided(normed.pointer, stride: c), Strided($0.baseAddress!, stride: 1),
          into: &maskGradient, stride: 1)
      }
      maskGradient[0] = 0
      for token in 1..<n {
        maskGradient[token] *= size[token] / mass
        vtok_accumulate(up + token * c, mean, c, mask[token] * size[token] / mass)
      }
    }
    if let norm = network.tower.finalNorm {
      out.update(repeating: 0, count: n * c)
      vtok_layer_norm_backward(x.pointer, n, c, norm.weight, norm.epsilon, up, out)
    } else {
      out.update(from: up, count: n * c)
    }
    return maskGradient
  }
}
