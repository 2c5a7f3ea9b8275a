import VTokModels
import VTokTensor
import VTokWeights

/// A vision transformer over a class token, the cells of a grid and latent tokens, as One-D-Piece and TiTok have one on
/// each side (`modeling/modules/blocks.py`).
struct LatentTransformer: Sendable {
  /// `[1, width]`
  let classToken: Tensor
  /// Of the class token and the cells, `[cells + 1, width]`.
  let positions: Tensor
  /// `[latents, width]`
  let latentPositions: Tensor
  private let preNorm: LayerNorm
  private let blocks: [TransformerBlock]
  let postNorm: LayerNorm

  var width: Int { classToken.width }
  var cells: Int { positions.rows - 1 }
  /// Of a square grid of the cells; nil if they make none.
  var gridSide: Int? {
    let side = Int(Double(cells).squareRoot().rounded())
    return side > 0 && side * side == cells ? side : nil
  }

  /// - Parameter heads: nil: one for every 64 channels, as in all published sizes.
  init(_ checkpoint: Checkpoint, latents: Int, heads: Int? = nil) throws {
    classToken = try checkpoint.tensor("class_embedding", [1, nil])
    let width = classToken.width
    positions = try checkpoint.tensor("positional_embedding", [nil, width])
    latentPositions = try checkpoint.tensor("latent_token_positional_embedding", [latents, width])
    func norm(_ name: String, _ view: Checkpoint) throws -> LayerNorm { try view.norm(name, width, epsilon: 1e-5) }
    preNorm = try norm("ln_pre", checkpoint)
    postNorm = try norm("ln_post", checkpoint)
    let heads = heads ?? width / 64
    blocks = try (0..<checkpoint.count("transformer")).map { index in
      let view = checkpoint["transformer"][index]
      let qkv = Linear(
        weight: try view.weight("attn.in_proj_weight", [3 * width, width]).packed,
        bias: try view.vector("attn.in_proj_bias", [3 * width]))
      let up = try view.linear("mlp.c_fc", [nil, width], bias: nil)
      return TransformerBlock(
        heads: heads, norm1: .layer(try norm("ln_1", view)), qkv: qkv,
        output: try view.linear("attn.out_proj", [width, width], bias: nil), scale1: nil,
        norm2: .layer(try norm("ln_2", view)),
        up: up, down: try view.linear("mlp.c_proj", [width, up.weight.rows], bias: nil), mlp: .plain(.gelu), scale2: nil
      )
    }
    try requireHeads(heads, width: width, blocks: blocks.count)
    try requireEqual(blocks)
  }

  /// - Parameters:
  ///   - grid: `[cells, width]`, without positions.
  ///   - latents: the first so many, `[k, width]`, without positions.
  /// - Returns: what leaves the last block, `[1 + cells + k, width]`.
  func callAsFunction(grid: Tensor, latents: Tensor, threads: Int) -> Tensor {
    let count = latents.rows
    precondition(grid.rows == cells && count <= latentPositions.rows)
    let values = classToken.values + grid.values + latents.values
    let added = positions.values + latentPositions.values[..<(count * width)]
    var x = preNorm(Tensor(zip(values, added).map { $0 + $1 }, shape: [1 + cells + count, width]))
    let memory = TransformerBlock.Memory(rows: x.rows, block: blocks[0], threads: threads)
    for block in blocks {
      _ = block.attend(&x, memory, threads: threads)
      block.feedForward(&x, memory, threads: threads)
    }
    return x
  }
}
