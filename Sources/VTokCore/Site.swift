/// Where a method looks or acts. A model supplies these places; a method names them and knows no model.
public enum Site: Hashable, Sendable {
  /// Entering block 0 of the tower, patches embedded, all tiles of an image in lockstep.
  case patches
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

  /// Whether it lies in the blocks of a tower, the entrance of the first included.
  public var isInBlocks: Bool {
    switch self {
    case .patches, .block: true
    case .features, .pack, .layer, .cache: false
    }
  }
}

extension Site: Comparable {
  /// In the order in which a run comes by, caches last.
  public static func < (a: Site, b: Site) -> Bool { a.place.lexicographicallyPrecedes(b.place) }

  private var place: [Int] {
    switch self {
    case .patches: [0]
    case .block(let index, let half): [1, index, half == .middle ? 0 : 1]
    case .features: [2]
    case .pack: [3]
    case .layer(let index): [4, index]
    case .cache(let index): [5, index]
    }
  }
}
