import VTokTensor

/// What a method sees at a site.
public struct View: Sendable {
  /// Tiles at tower sites and `.pack`, the prompt at `.layer`, one cache (or one per KV head) at `.cache`.
  public let sequences: [TokenSequence]
  /// `.features`, `.pack`: what the model does when nobody returns anything.
  public let standard: [Reduction]?
  /// `.pack`: source index of the newline row.
  public let newline: Int32?
  public let images: [ImageLayout]
  /// Which image is in the tower or being packed.
  public let image: Int?
  public let shape: Shape
  /// 0 = prefill.
  public let step: Int
  /// `.cache`: entries this cache was ever given.
  public let received: Int
  /// `[segments, width]` with `joint`.
  public let question: Tensor?
  /// `.pack`: rows of the embedding table of the method's words of the question, where it asked for them. `[m, width]`
  public let words: Tensor?
  /// Seed of this image, independent of job order.
  public let seed: UInt64

  private let recordings: [Site: [Recording]]

  /// What a run shows a method; made by hand it tests one without a model.
  /// - Parameters:
  ///   - sequences: tiles, the prompt, or caches, as the site has them.
  ///   - shape: of the model that is meant; `Shape.published` knows some.
  ///   - recordings: what the method's plan asks for, by site, one for every sequence.
  public init(
    sequences: [TokenSequence], standard: [Reduction]? = nil, newline: Int32? = nil, images: [ImageLayout] = [],
    image: Int? = nil, shape: Shape, step: Int = 0, received: Int = 0, question: Tensor? = nil, words: Tensor? = nil,
    seed: UInt64 = 0, recordings: [Site: [Recording]] = [:]
  ) {
    self.sequences = sequences
    self.standard = standard
    self.newline = newline
    self.images = images
    self.image = image
    self.shape = shape
    self.step = step
    self.received = received
    self.question = question
    self.words = words
    self.seed = seed
    self.recordings = recordings
  }

  /// What this method's plan asked to record at `site`.
  /// - Precondition: the plan asked for it and the site has been passed.
  public func recording(_ site: Site, _ sequence: Int = 0) -> Recording {
    guard let found = recordings[site], found.indices.contains(sequence) else {
      preconditionFailure("no recording at \(site): the plan did not ask for it, or the run has not come there yet")
    }
    return found[sequence]
  }

  /// Rows inside visual spans, by id; all images, or one.
  public func visual(_ tokens: TokenSequence, image: Int? = nil) -> [Int] {
    (image.map { [images[$0]] } ?? images).visualRows(of: tokens.id)
  }

  /// Rows after the last visual span, by id.
  public func text(_ tokens: TokenSequence) -> [Int] {
    let start = images.textStart
    return tokens.id.indices.filter { tokens.id[$0] >= start }
  }
}
