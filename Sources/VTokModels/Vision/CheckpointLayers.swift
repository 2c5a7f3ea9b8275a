import VTokTensor
import VTokWeights

/// Shapes that no file states, checked once per model.
package func requireHeads(_ heads: Int, width: Int, blocks: Int) throws {
  guard blocks > 0 else {
    throw ModelError.configuration(
      file: "model.safetensors", key: "blocks", found: "none", expected: "at least one transformer block")
  }
  guard heads > 0, width % heads == 0 else {
    throw ModelError.configuration(
      file: "config.json", key: "num_heads", found: "\(heads)", expected: "a divisor of the width \(width)")
  }
}

/// Refuses blocks whose MLPs do not fit together or are not of one width: scratch memory is made for the first one.
package func requireEqual(_ blocks: [TransformerBlock]) throws {
  for (index, block) in blocks.enumerated() {
    let halves = if case .gated = block.mlp { 2 } else { 1 }
    guard block.hidden > 0, block.hidden == blocks[0].hidden, block.up.weight.rows == halves * block.hidden else {
      throw ModelError.configuration(
        file: "model.safetensors", key: "MLP of block \(index)",
        found: "of \(block.up.weight.rows) rows before and \(block.hidden) columns behind the activation",
        expected: "\(halves * blocks[0].hidden) and \(blocks[0].hidden), as in the first block")
    }
  }
}

extension Weight {
  func ready(forTower precision: Precision) -> Weight {
    precision.ofTower == .f32 ? packed : at(precision.ofTower)
  }
}

extension Checkpoint {
  /// `NAME.weight` with `NAME.bias`, as a copy in the order of the kernels: towers are small and hot. `nil` sizes are free. 4 bits
  /// are for language models: a tower that is loaded with one has 8.
  /// - Parameter bias: whether the layer has one. The model says so, never the file: one that a file lacks would be taken for
  ///   none.
  package func linear(_ name: String, _ shape: [Int?], bias: Bool = true) throws -> Linear {
    let weight = try weight("\(name).weight", shape)
    return Linear(weight: weight.ready(forTower: precision), bias: try self.bias(name, weight.rows, bias))
  }

  /// Several linear layers of equal input width as one (q, k, v).
  package func linear(stacking names: [String], _ shape: [Int?], bias: Bool) throws -> Linear {
    let parts = try names.map { try at(.f32).linear($0, shape, bias: bias) }
    return Linear(
      weight: Weight.stacked(parts.map(\.weight)).ready(forTower: precision),
      bias: bias ? parts.flatMap { $0.bias! } : nil)
  }

  /// The same of layers each of which has a bias or none; none counts as zero.
  func linear(stacking layers: KeyValuePairs<String, Bool>, _ shape: [Int?]) throws -> Linear {
    joined(try layers.map { try at(.f32).linear($0.key, shape, bias: $0.value) })
  }

  /// Layers that are loaded already as one.
  /// - Parameter order: of every row, where it is among them; nil: they stay.
  func joined(_ parts: [Linear], order: [Int]? = nil) -> Linear {
    var weight = Weight.stacked(parts.map(\.weight))
    var bias =
      parts.contains { $0.bias != nil }
      ? parts.flatMap { $0.bias ?? [Float](repeating: 0, count: $0.weight.rows) } : nil
    if let order {
      weight = Weight(weight.tensor.gathered(order))
      bias = bias.map { bias in order.map { bias[$0] } }
    }
    return Linear(weight: weight.ready(forTower: precision), bias: bias)
  }

  /// The patch convolution as a matrix `[width, 3 * patch * patch]`.
  package func patchProjection(_ name: String, width: Int, patch: Int, bias: Bool = true) throws -> Linear {
    let kernel = try tensor("\(name).weight", [width, 3, patch, patch])
    return Linear(
      weight: Weight(kernel.reshaped([width, 3 * patch * patch])).ready(forTower: precision),
      bias: try self.bias(name, width, bias))
  }

  private func bias(_ name: String, _ rows: Int, _ isThere: Bool) throws -> [Float]? {
    isThere ? try vector("\(name).bias", [rows]) : nil
  }

  /// A layer norm under `name`.
  package func norm(_ name: String, _ width: Int, epsilon: Float) throws -> LayerNorm {
    LayerNorm(
      weight: try vector("\(name).weight", [width]), bias: try vector("\(name).bias", [width]), epsilon: epsilon)
  }

  /// A layer norm before a half of a block.
  package func norm(_ name: String, _ width: Int, epsilon: Float) throws -> Norm {
    .layer(try norm(name, width, epsilon: epsilon))
  }

  /// The shape of a tensor of known rank.
  package func shape(_ name: String, rank: Int) throws -> [Int] {
    try tensor(name, [Int?](repeating: nil, count: rank)).shape
  }
}
