import CVTokKernels
import VTokCore
import VTokTensor

/// From the attention that visual tokens get in the first layer to their relevance: 1-D convolutions along the tokens, each
/// depthwise, then pointwise, then ReLU, and a last pointwise map to one channel.
///
/// Widths and kernels are those of the tensors, in PyTorch's layout: `layers.I.depthwise.weight` `[in, 1, kernel]`,
/// `layers.I.pointwise.weight` `[out, in, 1]`, `output.weight` `[1, in, 1]`, each with a `bias` or without. The paper has
/// five layers of 32 to 512 channels; it does not say the rest, which is our choice.
struct RelevanceNet: Sendable {
  private struct Layer: Sendable {
    /// `[kernel, in]`, `[out, in]`
    let depthwise: Tensor, pointwise: Tensor
    let depthBias: [Float], pointBias: [Float]
  }
  private let layers: [Layer]
  private let output: Tensor, outputBias: [Float]

  /// What a file lacks, as found and expected.
  struct Misfit: Error { let found: String, expected: String }

  init(_ tensors: [String: Tensor]) throws(Misfit) {
    func tensor(_ name: String, _ rank: Int) throws(Misfit) -> Tensor {
      guard let found = tensors[name] else { throw Misfit(found: "no tensor '\(name)'", expected: "one") }
      guard found.shape.count == rank, !found.values.isEmpty else {
        throw Misfit(found: "'\(name)' with shape \(found.shape)", expected: "\(rank) axes")
      }
      return found
    }
    func bias(_ name: String, _ count: Int) throws(Misfit) -> [Float] {
      guard tensors[name] != nil else { return [Float](repeating: 0, count: count) }
      let found = try tensor(name, 1)
      guard found.shape == [count] else {
        throw Misfit(found: "'\(name)' with shape \(found.shape)", expected: "[\(count)]")
      }
      return found.values
    }
    func fits(_ name: String, _ shape: [Int], _ expected: [Int]) throws(Misfit) {
      guard shape == expected else { throw Misfit(found: "'\(name)' with shape \(shape)", expected: "\(expected)") }
    }
    var layers: [Layer] = []
    var channels = 1
    while tensors["layers.\(layers.count).depthwise.weight"] != nil {
      let name = "layers.\(layers.count)."
      let (deep, point) = (try tensor(name + "depthwise.weight", 3), try tensor(name + "pointwise.weight", 3))
      let (kernel, out) = (deep.shape[2], point.shape[0])
      try fits(name + "depthwise.weight", deep.shape, [channels, 1, kernel | 1])
      try fits(name + "pointwise.weight", point.shape, [out, channels, 1])
      layers.append(
        Layer(
          depthwise: Tensor(shape: [kernel, channels]) { taps in
            for index in deep.values.indices { taps[index % kernel * channels + index / kernel] = deep.values[index] }
          }, pointwise: point.reshaped([out, channels]),
          depthBias: try bias(name + "depthwise.bias", channels), pointBias: try bias(name + "pointwise.bias", out)))
      channels = out
    }
    guard !layers.isEmpty else { throw Misfit(found: "no tensor 'layers.0.depthwise.weight'", expected: "one") }
    let last = try tensor("output.weight", 3)
    try fits("output.weight", last.shape, [1, channels, 1])
    self.layers = layers
    output = last.reshaped([1, channels])
    outputBias = try bias("output.bias", 1)
  }

  /// Logits of relevance; their softmax over the tokens is the prediction. O(tokens * weights).
  func callAsFunction(_ attention: [Float], notes: inout Notes) -> [Float] {
    var x = Tensor(attention, shape: [attention.count, 1])
    for layer in layers {
      let (n, channels, kernel) = (x.rows, x.width, layer.depthwise.rows)
      let spread = Tensor(shape: [n, channels]) { out in
        for row in 0..<n {
          let line = out + row * channels
          line.update(from: layer.depthBias, count: channels)
          for tap in 0..<kernel {
            let source = row + tap - kernel / 2  // zeros outside
            guard (0..<n).contains(source) else { continue }
            for channel in 0..<channels {
              line[channel] += layer.depthwise.values[tap * channels + channel] * x.values[source * channels + channel]
            }
          }
        }
      }
      notes.book(macs: n * channels * kernel)
      x = notes.product(spread, layer.pointwise)
      for row in 0..<n {
        for (channel, bias) in layer.pointBias.enumerated() {
          let index = row * layer.pointBias.count + channel
          x.values[index] = max(0, x.values[index] + bias)
        }
      }
    }
    return notes.product(x, output).values.map { $0 + outputBias[0] }
  }
}
