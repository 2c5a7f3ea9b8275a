/// What a method needs from the run.
public struct Plan: Sendable {
  public var record: [Site: Request]
  /// Where `reduce` is called, even only to look.
  public var act: Set<Site>
  /// nil: touches neither prompt nor cache.
  public var positions: PositionRule?
  /// Tower attention adds log(mass) per key: ToMe, DiffRate true, MustDrop false, pruners nil.
  public var massBias: Bool?
  /// Attention of the language model adds log(mass) per key (PACT): the cache remembers what its entries stand for.
  public var decoderMassBias: Bool
  /// Downsampling: the processor shrinks every image until its tokens fit.
  public var shrink: Budget?
  /// At `.pack` every tile must still have all its patches: no other method may thin the tower.
  public var completeTiles: Bool
  /// What it does before the first layer of a language model depends on the question.
  public var readsQuestion: Bool

  /// Whether it asks for rows of the question's words.
  public var readsWords: Bool { record.values.contains(where: \.words) }

  public init(
    record: [Site: Request] = [:], act: Set<Site> = [], positions: PositionRule? = nil, massBias: Bool? = nil,
    decoderMassBias: Bool = false, shrink: Budget? = nil, completeTiles: Bool = false, readsQuestion: Bool = false
  ) {
    self.record = record
    self.act = act
    self.positions = positions
    self.massBias = massBias
    self.decoderMassBias = decoderMassBias
    self.shrink = shrink
    self.completeTiles = completeTiles
    self.readsQuestion = readsQuestion
  }
}
