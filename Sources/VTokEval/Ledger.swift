import VTokCore

/// What a run cost in multiply-adds: a pure function of its trace and the model's shape.
///
/// Counted as timm, DeiT, ToMe and DiffRate do when they print "FLOPs": products of linear layers and attention; norms,
/// softmax, activations and additions are not. True FLOPs are twice the MACs. Selection stands apart, since papers leave
/// it out.
public struct Cost: Sendable, Equatable {
  /// One block: attention with its projections, MLP, probes of rows.
  public struct Layer: Sendable, Equatable {
    public let tokens: Int, mlpTokens: Int
    public let attention: Int, mlp: Int, probes: Int
    public var macs: Int { attention + mlp + probes }
  }

  public let patchEmbedding: Int
  public let layers: [Layer]
  public let head: Int
  /// Multiply-adds spent on choosing tokens, not part of `macs`.
  public let selection: Int

  /// Multiply-adds of the model, selection excluded.
  public var macs: Int { patchEmbedding + layers.reduce(0) { $0 + $1.macs } + head }
  public var gmacs: Double { Double(macs) * 1e-9 }
  /// Mean number of tokens entering a block, prefix rows included.
  public var meanTokens: Double {
    layers.isEmpty ? 0 : Double(layers.reduce(0) { $0 + $1.tokens }) / Double(layers.count)
  }

  /// The cost of a tower run.
  public init(of trace: Trace, shape: Shape) {
    guard let tower = shape.tower else { preconditionFailure("a cost needs a tower") }
    let width = tower.width
    patchEmbedding = trace.patches * 3 * tower.patch * tower.patch * width
    layers = trace.tower.map { layer in
      let attention = zip(layer.rows, layer.keys).reduce(0) { sum, pair in
        sum + 4 * pair.0 * width * width + 2 * pair.0 * pair.1 * width
      }
      let mlpRows = layer.mlpRows.reduce(0, +)
      let probes = layer.probes.reduce(0) { sum, probe in
        sum + (probe.rows + probe.keys) * width * width + probe.rows * probe.keys * width
      }
      return Layer(
        tokens: layer.rows.reduce(0, +), mlpTokens: mlpRows, attention: attention,
        mlp: tower.ffnMatrices * mlpRows * width * tower.ffn, probes: probes)
    }
    head = tower.headMACs + tower.headMACsPerToken * trace.towerOutput.reduce(0, +)
    selection = trace.selectionMACs
  }

  /// The cost of a run without any method on so many patches, in one tile.
  public init(denseWith patches: Int, shape: Shape) {
    guard let tower = shape.tower else { preconditionFailure("a cost needs a tower") }
    var run = Run(.dense(shape))
    let rows = patches + tower.prefix
    run.enterTower(patches: patches)
    for _ in 0..<tower.blocks { run.passBlock(Trace.Layer(rows: [rows])) }
    run.leaveTower(rows: [rows], seconds: 0)
    self.init(of: run.trace, shape: shape)
  }
}
