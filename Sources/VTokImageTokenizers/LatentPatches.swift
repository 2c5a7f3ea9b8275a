import CVTokKernels
import VTokTensor
import VTokWeights

/// Latents to rows of a transformer: square patches, one linear layer, positions added.
struct LatentPatches: Sendable {
  /// Latents along the side of a patch.
  let side: Int
  let channels: Int
  let projection: Linear
  /// `[rows, columns, width]`: absolute, so a smaller grid takes its upper left part.
  let positions: Tensor

  /// Rows and columns of patches for latents `[channels, height, width]`.
  func grid(_ latents: Tensor) -> (rows: Int, columns: Int) { (latents.shape[1] / side, latents.shape[2] / side) }

  /// `[rows * columns, width]`
  func callAsFunction(_ latents: Tensor, threads: Int = 1) -> Tensor {
    let (rows, columns) = grid(latents)
    precondition(latents.shape == [channels, rows * side, columns * side], "latents of shape \(latents.shape)")
    precondition(rows <= positions.shape[0] && columns <= positions.shape[1], "a grid of \(rows)x\(columns) patches")
    var x = projection(patchify(latents), threads: threads)
    let width = x.width
    for row in 0..<rows {
      for column in 0..<columns {
        let from = (row * positions.shape[1] + column) * width
        let to = (row * columns + column) * width
        for index in 0..<width { x.values[to + index] += positions.values[from + index] }
      }
    }
    return x
  }

  /// `[rows * columns, side * side * channels]`, inside a patch by row, column, channel.
  private func patchify(_ latents: Tensor) -> Tensor {
    let (rows, columns) = grid(latents)
    var patches = Tensor(zeros: [rows * columns, side * side * channels])
    forLatents(rows, columns) { latent, place in patches.values[place] = latents.values[latent] }
    return patches
  }

  /// The reverse of cutting into patches. `[channels, rows * side, columns * side]`
  func unpatchify(_ patches: Tensor, _ grid: (rows: Int, columns: Int)) -> Tensor {
    var latents = Tensor(zeros: [channels, grid.rows * side, grid.columns * side])
    forLatents(grid.rows, grid.columns) { latent, place in latents.values[latent] = patches.values[place] }
    return latents
  }

  private func forLatents(_ rows: Int, _ columns: Int, _ body: (_ latent: Int, _ place: Int) -> Void) {
    let (height, width) = (rows * side, columns * side)
    for y in 0..<height {
      for x in 0..<width {
        let patch = y / side * columns + x / side
        let place = (patch * side * side + y % side * side + x % side) * channels
        for channel in 0..<channels { body((channel * height + y) * width + x, place + channel) }
      }
    }
  }

  static func load(_ embedder: FlexTokModule, _ adder: FlexTokModule, channels: Int, width: Int) throws -> LatentPatches
  {
    let sizes = try embedder.settings.ints("patch_sizes") ?? []
    guard sizes.count == 2, sizes[0] == sizes[1], (1...64).contains(sizes[0]) else {
      throw embedder.unfit("patch_sizes", "\(sizes)", "two equal sizes")
    }
    let (patch, side) = (sizes[0] * sizes[0] * channels, sizes[0])
    return LatentPatches(
      side: side, channels: channels, projection: try embedder.tensors.linear("patch_proj", [width, patch]),
      positions: try table(adder, width))
  }

  /// The table of a positional adder with two axes, `[rows, columns, width]`.
  private static func table(_ adder: FlexTokModule, _ width: Int) throws -> Tensor {
    try adder.require("posemb_scaling", "absolute")
    let sizes = try adder.settings.ints("max_sizes", count: 2, in: 1...1024) ?? []
    let kind = try adder.settings.string("posemb_type") ?? "sincos"
    let (rows, columns) = (sizes[0], sizes[1])
    switch kind {
    case "sincos":
      let stored = try adder.tensors.tensor("posembs", [1, width, rows, columns])
      return channelsLast(stored.reshaped([width, rows, columns]))
    case "learnable_sum":
      let axes = try adder.tensors.tensor("posembs", [2, 1, width, max(rows, columns)])
      let (down, across) = (axes[plane: 0], axes[plane: 1])  // [1, width, size]
      return Tensor(shape: [rows, columns, width]) { out in
        for row in 0..<rows {
          for column in 0..<columns {
            for index in 0..<width {
              out[(row * columns + column) * width + index] =
                down.values[index * down.width + row] + across.values[index * across.width + column]
            }
          }
        }
      }
    default: throw adder.unfit("posemb_type", "'\(kind)'", "sincos or learnable_sum")
    }
  }
}
