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
  private let blocks: BlockStack
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
    preNorm = try checkpoint.norm("ln_pre", width, epsilon: 1e-5)
    postNorm = try checkpoint.norm("ln_post", width, epsilon: 1e-5)
    let heads = heads ?? width / 64
    blocks = try BlockStack(count: checkpoint.count("transformer"), width: width, heads: heads) {
      try checkpoint["transformer"][$0].clipBlock(width: width, heads: heads)
    }
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
    blocks(&x, threads: threads)
    return x
  }
}
