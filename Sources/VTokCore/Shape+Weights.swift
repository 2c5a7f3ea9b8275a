// How many weights a model has, norms, biases and positions left out.

extension Shape.Tower {
  /// Of all blocks and of the projection of patches.
  public var weights: Int {
    blocks * (4 * width * width + ffnMatrices * width * ffn) + 3 * frames * patch * patch * width
  }
}

extension Shape.Decoder {
  /// Of what mixes the rows of a layer.
  public func weights(mixing layer: Int) -> Int {
    if mixer(of: layer) == .deltaNet, let deltaNet {
      return width * (deltaNet.channels + 2 * deltaNet.valueWidth + 2 * deltaNet.valueHeads)
    }
    let inner = heads * headDim
    return width * (2 * (inner + kvHeads * headDim) + (gatesAttention ? inner : 0))
  }

  /// Of all layers.
  public var weights: Int { (0..<layers).reduce(0) { $0 + weights(mixing: $1) + 3 * width * ffn } }

  /// Of the head, and of the table of embeddings.
  public var tableWeights: Int { vocabulary * width }
}
