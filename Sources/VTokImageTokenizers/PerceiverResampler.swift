import VTokModels
import VTokTensor
import VTokWeights

/// Many rows to a few: learned latents that look at normed rows and at themselves, layer by layer (Flamingo, arXiv 2204.14198; in the
/// form of Open Flamingo and IP-Adapter).
struct PerceiverResampler: Sendable {
  private struct Layer: Sendable {
    let memoryNorm: LayerNorm, norm: LayerNorm
    let attention: MultiHeadAttention
    let hiddenNorm: LayerNorm
    let up: Linear, down: Linear
  }

  private let latents: Tensor
  private let input: Linear, output: Linear
  private let layers: [Layer]
  private let norm: LayerNorm

  /// Latents, and numbers of one that leaves.
  var count: Int { latents.rows }
  var outputs: Int { output.weight.rows }

  init(_ checkpoint: Checkpoint, inputs: Int, heads: Int, headDim: Int) throws {
    let stored = try checkpoint.tensor("latents", [1, nil, nil])
    latents = stored.reshaped([stored.shape[1], stored.width])
    let width = latents.width
    input = try checkpoint.linear("proj_in", [width, inputs])
    output = try checkpoint.linear("proj_out", [nil, width])
    norm = try checkpoint.norm("norm_out", output.weight.rows, epsilon: 1e-5)
    let count = checkpoint.count("layers")
    guard count > 0 else {
      throw ModelError.configuration(
        file: checkpoint.name, key: checkpoint.full("layers"), found: "none", expected: "at least one layer")
    }
    layers = try (0..<count).map { index in
      let (attention, hidden) = (checkpoint["layers"][index]["0"], checkpoint["layers"][index]["1"])
      let up = try hidden.linear("1", [nil, width], bias: false)
      return Layer(
        memoryNorm: try attention.norm("norm1", width, epsilon: 1e-5),
        norm: try attention.norm("norm2", width, epsilon: 1e-5),
        attention: try MultiHeadAttention(perceiver: attention, width: width, heads: heads, headDim: headDim),
        hiddenNorm: try hidden.norm("0", width, epsilon: 1e-5), up: up,
        down: try hidden.linear("3", [width, up.weight.rows], bias: false))
    }
  }

  /// - Parameter rows: `[n, inputs]`
  /// - Returns: `[count, outputs]`
  func callAsFunction(_ rows: Tensor, threads: Int) -> Tensor {
    let memory = input(rows, threads: threads)
    var x = latents
    for layer in layers {
      let own = layer.norm(x)
      let seen = Tensor(stacking: [layer.memoryNorm(memory), own])
      x.add(layer.attention(own, keys: seen, values: seen, threads: threads))
      var hidden = layer.up(layer.hiddenNorm(x), threads: threads)
      hidden.activate(.gelu)
      x.add(layer.down(hidden, threads: threads))
    }
    return norm(output(x, threads: threads))
  }
}
