/// Where a method looks or acts. A model supplies these places; a method names them and knows no model.
public enum Site: Hashable, Sendable {
  /// Vision block i, all tiles of an image in lockstep.
  case block(Int, Half)
  /// Tower output before the connector, per tile, prefix rows still there (nil = the model drops them).
  case features
  /// Connector output of all tiles with the special rows behind them: one Reduction per visual span. Ids start anew
  /// after it.
  case pack
  /// Entering language layer i (i == layers: leaving the last); every prefill.
  case layer(Int)
  /// Cache of language layer i, visited in layer order after the whole forward pass of every step.
  case cache(Int)

  /// `.middle` lies between attention and MLP, `.end` after the MLP.
  public enum Half: Hashable, Sendable { case middle, end }
}

/// Which rows of an attention matrix are wanted; `.text`: rows after the last visual span, `.classifier`: the class token.
public enum Rows: Hashable, Sendable { case none, classifier, last, text, all }

/// Which form of attention is recorded.
public enum Values: Hashable, Sendable {
  case probabilities, logits
  case gumbel(tau: Float, perStep: Float)
}

/// What to record at a site. Nothing asked, nothing computed.
public struct Request: Sendable, Equatable {
  /// Attention of the block or layer that has just run. `[heads, rows, keys]`
  public var attention = Rows.none
  /// Attention of the next one, from its own norm and weights; it need not ever run. `[heads, rows, keys]`
  public var probe = Rows.none
  public var values = Values.probabilities
  /// Rows added up as they are formed: `[heads, keys]`, never `[heads, n, n]`.
  public var summed = false
  /// Keys `[kvHeads, n, headDim]` of the one that has just run, as attention used them (after RoPE).
  public var keys = false
  /// |in|, |out|, in·out of attention and MLP per token: six floats, not four tensors.
  public var branches = false
  /// The last norm applied to x, out of place. `[n, width]`
  public var finalNorm = false
  /// `.features`: patches and question in one space (companion CLIP); refused when there is none.
  public var joint = false

  public init(
    attention: Rows = .none, probe: Rows = .none, values: Values = .probabilities, summed: Bool = false,
    keys: Bool = false, branches: Bool = false, finalNorm: Bool = false, joint: Bool = false
  ) {
    (self.attention, self.probe, self.values, self.summed) = (attention, probe, values, summed)
    (self.keys, self.branches, self.finalNorm, self.joint) = (keys, branches, finalNorm, joint)
  }
}

/// What happens to positions when a sequence is cut, and which position a decoded token gets.
public struct PositionRule: Sendable, Equatable {
  /// `renumbered` = 0..<count. Under M-RoPE it is always `original`, and the result says so.
  public enum Cut: Sendable { case original, renumbered }
  /// One past the largest position that entered layer 0; that layer's own count; no cache at all.
  public enum Decode: Sendable { case next, cacheLength, afresh }
  public var cut: Cut, decode: Decode
  public init(cut: Cut, decode: Decode) { (self.cut, self.decode) = (cut, decode) }
}

/// What a method needs from the run.
public struct Plan: Sendable {
  public var record: [Site: Request]
  /// Where `reduce` is called, even only to look.
  public var act: Set<Site>
  /// nil: touches neither prompt nor cache.
  public var positions: PositionRule?
  /// Tower attention adds log(mass) per key: ToMe, DiffRate true, MustDrop false, pruners nil.
  public var massBias: Bool?
  /// Downsampling: the processor shrinks the image to at most so many patches.
  public var patches: Int?
  /// At `.pack` every tile must still have all its patches: no other method may thin the tower.
  public var completeTiles: Bool
  /// What it does before the first layer of a language model depends on the question.
  public var readsQuestion: Bool

  public init(
    record: [Site: Request] = [:], act: Set<Site> = [], positions: PositionRule? = nil, massBias: Bool? = nil,
    patches: Int? = nil, completeTiles: Bool = false, readsQuestion: Bool = false
  ) {
    (self.record, self.act, self.positions) = (record, act, positions)
    (self.massBias, self.patches, self.completeTiles) = (massBias, patches, completeTiles)
    self.readsQuestion = readsQuestion
  }
}
