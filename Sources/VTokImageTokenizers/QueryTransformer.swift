import VTokModels
import VTokTensor
import VTokWeights

/// Queries that look at each other and at a memory, layer by layer: the pre-norm decoder of DETR (arXiv 2005.12872), as GigaTok has
/// one on each side (`tokenizer/tokenizer_image/vq/blocks.py`). Positions are added to queries and keys, never to values; the
/// memory is not normed, and no layer changes it.
struct QueryTransformer: Sendable {
  private struct Layer: Sendable {
    let attention: MultiHeadAttention, crossAttention: MultiHeadAttention
    let norm1: LayerNorm, norm2: LayerNorm, norm3: LayerNorm
    let up: Linear, down: Linear
  }

  /// Of queries and of the memory, `[rows, width]` each.
  let positions: Tensor, memoryPositions: Tensor
  private let layers: [Layer]
  private let norm: LayerNorm

  var width: Int { positions.width }

  /// - Parameters:
  ///   - positions: names of the tables of queries and memory, stored as `[rows, 1, width]`.
  ///   - heads: nil: one for every 64 channels, as in all published sizes.
  init(_ checkpoint: Checkpoint, positions: (queries: String, memory: String), width: Int, heads: Int?) throws {
    func table(_ name: String) throws -> Tensor {
      let table = try checkpoint.tensor(name, [nil, 1, width])
      return table.reshaped([table.shape[0], width])
    }
    self.positions = try table(positions.queries)
    memoryPositions = try table(positions.memory)
    let (heads, count) = (heads ?? width / 64, checkpoint.count("transformer"))
    try requireHeads(heads, width: width, blocks: count)
    layers = try (0..<count).map { index in
      let view = checkpoint["transformer"][index]
      func norm(_ name: String) throws -> LayerNorm { try view.norm(name, width, epsilon: 1e-5) }
      let up = try view.linear("linear1", [nil, width])
      return Layer(
        attention: try MultiHeadAttention(torch: view["self_attn"], width: width, heads: heads),
        crossAttention: try MultiHeadAttention(torch: view["multihead_attn"], width: width, heads: heads),
        norm1: try norm("norm1"), norm2: try norm("norm2"), norm3: try norm("norm3"), up: up,
        down: try view.linear("linear2", [width, up.weight.rows]))
    }
    norm = try checkpoint.norm("ln_post", width, epsilon: 1e-5)
  }

  /// - Parameters:
  ///   - start: what queries begin as, `[queries, width]`.
  ///   - memory: `[memory, width]`, without positions.
  /// - Returns: queries after the last norm.
  func callAsFunction(_ start: Tensor, memory: Tensor, threads: Int) -> Tensor {
    var x = start
    let keys = memory + memoryPositions
    for layer in layers {
      let own = layer.norm1(x)
      let placed = own + positions
      x.add(layer.attention(placed, keys: placed, values: own, threads: threads))
      x.add(layer.crossAttention(layer.norm2(x) + positions, keys: keys, values: memory, threads: threads))
      var hidden = layer.up(layer.norm3(x), threads: threads)
      hidden.activate(.gelu)
      x.add(layer.down(hidden, threads: threads))
    }
    return norm(x)
  }
}
