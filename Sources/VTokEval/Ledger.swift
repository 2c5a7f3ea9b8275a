import VTokCore

/// What a run cost in multiply-adds: a pure function of its trace and the model's shape.
///
/// Counted as timm, DeiT, ToMe and DiffRate do when they print "FLOPs": products of linear layers and attention, causal
/// attention in full; norms, softmax, activations and additions are not. True FLOPs are twice the MACs. Selection stands
/// apart, since papers leave it out. How papers count language models is a `Convention`.
public struct Cost: Sendable, Equatable {
  /// One block or layer: attention with its projections, MLP, probes of rows and routers.
  public struct Layer: Sendable, Equatable {
    public let tokens: Int, mlpTokens: Int
    public let attention: Int, mlp: Int, probes: Int
    public var macs: Int { attention + mlp + probes }
  }

  public let patchEmbedding: Int
  /// Blocks of the tower that ran.
  public let layers: [Layer]
  public let head: Int
  /// Between tower and language model.
  public let connector: Int
  /// The question through the language model on its own, where the connector is conditioned on it.
  public let question: Int
  /// nil in a run without a language model.
  public let language: LanguageCost?
  /// Multiply-adds spent on choosing tokens, not part of `macs`.
  public let selection: Int

  /// Multiply-adds of the tower.
  public var tower: Int { patchEmbedding + layers.reduce(0) { $0 + $1.macs } + head }
  /// Multiply-adds of the model up to its first answer (logits, or the first new token), selection excluded.
  public var macs: Int { tower + question + connector + (language?.first ?? 0) }
  public var gmacs: Double { Double(macs) * 1e-9 }
  /// Mean number of tokens entering a block of the tower, prefix rows included.
  public var meanTokens: Double {
    layers.isEmpty ? 0 : Double(layers.reduce(0) { $0 + $1.tokens }) / Double(layers.count)
  }

  /// The cost of a run.
  public init(of trace: Trace, shape: Shape) {
    guard let tower = shape.tower else { preconditionFailure("a cost needs a tower") }
    let width = tower.width
    patchEmbedding = trace.patches * 3 * tower.frames * tower.patch * tower.patch * width
    layers = trace.tower.map { layer in
      Layer(layer, width: width, inner: width, kvInner: width, ffn: tower.ffnMatrices * tower.ffn)
    }
    head = tower.headMACs + tower.headMACsPerToken * trace.towerOutput.reduce(0, +)
    connector = shape.connectorMACs * trace.connected
    question =
      shape.decoder.map { decoder in
        trace.question.enumerated().reduce(0) { $0 + Layer($1.element, of: decoder, at: $1.offset).macs }
      } ?? 0
    language = trace.language.isEmpty ? nil : shape.decoder.map { LanguageCost(of: trace, decoder: $0) }
    selection = trace.selectionMACs
  }

  /// The cost of a run without any method on so many patches, in one tile.
  public init(denseWith patches: Int, shape: Shape) {
    guard let tower = shape.tower else { preconditionFailure("a cost needs a tower") }
    var run = Run(.dense(shape))
    let rows = patches + tower.prefix
    run.enterTower(patches: patches)
    for _ in 0...tower.featureBlock { run.passBlock(Trace.Layer(rows: [rows])) }
    run.leaveTower(rows: [rows], seconds: 0)
    self.init(of: run.trace, shape: shape)
  }
}

extension Cost.Layer {
  /// Of a language model.
  /// - Parameter index: which layer of the model it is.
  init(_ layer: Trace.Layer, of decoder: Shape.Decoder, at index: Int, routed: Int = 0) {
    let inner = decoder.heads * decoder.headDim
    if decoder.mixer(of: index) == .deltaNet, let net = decoder.deltaNet {
      let (rows, wide) = (layer.rows.reduce(0, +), net.valueWidth)
      let projections = decoder.weights(mixing: index)
      let state = net.channels * net.taps + 3 * wide * net.keyDim
      self.init(
        tokens: rows, mlpTokens: layer.mlpRows.reduce(0, +), attention: rows * (projections + state),
        mlp: layer.mlpRows.reduce(0, +) * decoder.width * 3 * decoder.ffn, probes: 0)
      return
    }
    var seen = layer
    if case .window(let count) = decoder.mixer(of: index) { seen.keys = layer.keys.map { min($0, count) } }
    self.init(
      seen, width: decoder.width, inner: inner, kvInner: decoder.kvHeads * decoder.headDim, ffn: 3 * decoder.ffn,
      gates: decoder.gatesAttention ? inner : 0, routed: routed)
  }

  /// - Parameters:
  ///   - inner, kvInner: width of all query heads, and of all key heads.
  ///   - ffn: hidden width of the MLP times its matrices.
  ///   - gates: width of the gates of all query heads.
  ///   - routed: rows for which a router has formed its weight.
  init(
    _ layer: Trace.Layer, width: Int, inner: Int, kvInner: Int, ffn: Int, gates: Int = 0, routed: Int = 0
  ) {
    tokens = layer.rows.reduce(0, +)
    mlpTokens = layer.mlpRows.reduce(0, +)
    let products = zip(layer.rows, layer.keys).reduce(0) { $0 + 2 * $1.0 * $1.1 * inner }
    // Attention that was found before needs no queries and keys: their products are among the probes of the block before.
    attention =
      layer.isCarried
      ? tokens * width * (inner + kvInner) + products / 2 : tokens * width * (2 * (inner + kvInner) + gates) + products
    mlp = mlpTokens * width * ffn
    probes = layer.probes.reduce(routed * width) { sum, probe in
      sum + (probe.rows * inner + probe.keys * kvInner) * width + (probe.isMixed ? probe.rows * probe.keys * inner : 0)
    }
  }
}

extension Trace {
  /// The language layers of the prefill and of every decoding step.
  /// - Precondition: every step passed all `layers`.
  func steps(of layers: Int) -> [ArraySlice<Layer>] {
    precondition(language.count % layers == 0, "\(language.count) layers passed, no multiple of \(layers)")
    return stride(from: 0, to: language.count, by: layers).map { language[$0..<$0 + layers] }
  }
}
