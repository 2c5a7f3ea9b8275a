import VTokModels
import VTokTensor
import VTokWeights

/// Learned queries in BERT's post-norm layers, some of which look at a memory too: the Q-Former of BLIP-2 (arXiv 2301.12597) without
/// its branch for text.
struct QueryFormer: Sendable {
  private struct Layer: Sendable {
    let attention: MultiHeadAttention, norm: LayerNorm
    /// In the layers that have it.
    let cross: (attention: MultiHeadAttention, norm: LayerNorm)?
    let up: Linear, down: Linear, lastNorm: LayerNorm
  }

  private static let epsilon: Float = 1e-12

  private let norm: LayerNorm
  private let layers: [Layer]

  /// - Parameters:
  ///   - checkpoint: the view that holds `bert`.
  ///   - memory: width of the rows that are looked at.
  init(_ checkpoint: Checkpoint, width: Int, memory: Int, heads: Int) throws {
    let bert = checkpoint["bert"]
    func norm(_ view: Checkpoint, _ name: String) throws -> LayerNorm {
      try view.norm(name, width, epsilon: Self.epsilon)
    }
    self.norm = try norm(bert, "embeddings.LayerNorm")
    let list = bert["encoder"]["layer"]
    let count = bert["encoder"].count("layer")
    try requireHeads(heads, width: width, blocks: count)
    layers = try (0..<count).map { index in
      let view = list[index]
      let (own, other) = (view["attention"], view["crossattention"])
      let up = try view.linear("intermediate_query.dense", [nil, width])
      return Layer(
        attention: try MultiHeadAttention(bert: own, width: width, memory: width, heads: heads),
        norm: try norm(own, "output.LayerNorm"),
        cross: !other.tensors.isEmpty
          ? (
            try MultiHeadAttention(bert: other, width: width, memory: memory, heads: heads),
            try norm(other, "output.LayerNorm")
          ) : nil, up: up, down: try view.linear("output_query.dense", [width, up.weight.rows]),
        lastNorm: try norm(view, "output_query.LayerNorm"))
    }
    guard layers.contains(where: { $0.cross != nil }) else {
      throw ModelError.configuration(
        file: checkpoint.name, key: list.prefix, found: "no crossattention in \(count) layers",
        expected: "one that looks at the picture")
    }
  }

  /// - Parameters:
  ///   - queries: `[n, width]`
  ///   - memory: `[m, memory]`
  ///   - isCausal: queries see those before them alone; all see all of the memory.
  ///   - depth: layers that are run; nil: all.
  func callAsFunction(
    _ queries: Tensor, memory: Tensor, isCausal: Bool, depth: Int? = nil, threads: Int
  ) -> Tensor {
    var x = norm(queries)
    for layer in layers.prefix(depth ?? layers.count) {
      x = layer.norm(x + layer.attention(x, keys: x, values: x, isCausal: isCausal, threads: threads))
      if let cross = layer.cross {
        x = cross.norm(x + cross.attention(x, keys: memory, values: memory, threads: threads))
      }
      var hidden = layer.up(x, threads: threads)
      hidden.activate(.gelu)
      x = layer.lastNorm(x + layer.down(hidden, threads: threads))
    }
    return x
  }
}
