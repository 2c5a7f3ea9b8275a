import VTok

/// Largest distance of two vectors' elements.
package func distance(_ a: some Collection<Float>, _ b: some Collection<Float>) -> Float {
  precondition(a.count == b.count)
  return zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) }
}

/// A net with random weights for `generic-explain:weights=net`.
package let relevanceNet: OptionFile = {
  var generator = SeededGenerator(seed: 6)
  func noise(_ shape: [Int]) -> Tensor {
    Tensor((0..<shape.reduce(1, *)).map { _ in generator.normal() }, shape: shape)
  }
  return OptionFile(tensors: [
    "layers.0.depthwise.weight": noise([1, 1, 3]), "layers.0.pointwise.weight": noise([8, 1, 1]),
    "layers.0.pointwise.bias": noise([8]), "layers.1.depthwise.weight": noise([8, 1, 5]),
    "layers.1.depthwise.bias": noise([8]), "layers.1.pointwise.weight": noise([16, 8, 1]),
    "output.weight": noise([1, 16, 1]),
  ])
}()
