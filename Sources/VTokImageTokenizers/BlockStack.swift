import VTokModels
import VTokTensor
import VTokWeights

/// Transformer blocks of one size, one behind the other.
struct BlockStack: Sendable {
  private let blocks: [TransformerBlock]

  var count: Int { blocks.count }

  /// - Parameter heads: of every block; must divide the width.
  /// - Throws: `ModelError` for no blocks, or blocks that are not of one size.
  init(count: Int, width: Int, heads: Int, _ block: (Int) throws -> TransformerBlock) throws {
    try requireHeads(heads, width: width, blocks: count)
    blocks = try (0..<count).map(block)
    try requireEqual(blocks)
  }

  /// - Parameter windows: rows of each attend to each other only; none: all rows do.
  func callAsFunction(_ x: inout Tensor, windows: [Range<Int>] = [], threads: Int) {
    let memory = TransformerBlock.Memory(rows: x.rows, block: blocks[0], threads: threads)
    for block in blocks {
      _ = block.attend(&x, memory, windows: windows, threads: threads)
      block.feedForward(&x, memory, threads: threads)
    }
  }
}

extension Checkpoint {
  /// A pre-norm block as OpenAI's and Open CLIP name it.
  func clipBlock(
    width: Int, heads: Int, activation: Activation = .gelu, epsilon: Float = 1e-5
  ) throws -> TransformerBlock {
    let qkv = Linear(
      weight: try weight("attn.in_proj_weight", [3 * width, width]).packed,
      bias: try vector("attn.in_proj_bias", [3 * width]))
    let up = try linear("mlp.c_fc", [nil, width])
    return TransformerBlock(
      heads: heads, norm1: try norm("ln_1", width, epsilon: epsilon), qkv: qkv,
      output: try linear("attn.out_proj", [width, width]), scale1: nil,
      norm2: try norm("ln_2", width, epsilon: epsilon), up: up,
      down: try linear("mlp.c_proj", [width, up.weight.rows]), mlp: .plain(activation), scale2: nil)
  }

  /// A pre-norm block as timm names it. EVA keeps the biases of queries and values apart; its keys have none.
  func timmBlock(width: Int, heads: Int, epsilon: Float) throws -> TransformerBlock {
    let biases =
      has("attn.q_bias")
      ? try vector("attn.q_bias", [width]) + [Float](repeating: 0, count: width) + vector("attn.v_bias", [width])
      : try vector("attn.qkv.bias", [3 * width])
    let up = try linear("mlp.fc1", [nil, width])
    return TransformerBlock(
      heads: heads, norm1: try norm("norm1", width, epsilon: epsilon),
      qkv: Linear(weight: try weight("attn.qkv.weight", [3 * width, width]).packed, bias: biases),
      output: try linear("attn.proj", [width, width]), scale1: nil,
      norm2: try norm("norm2", width, epsilon: epsilon), up: up,
      down: try linear("mlp.fc2", [width, up.weight.rows]), mlp: .plain(.gelu), scale2: nil)
  }
}
