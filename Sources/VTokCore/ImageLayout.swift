/// How one image lies in tiles and in the prompt.
public struct ImageLayout: Sendable, Equatable {
  public let tileRows: Int, tileColumns: Int
  /// Patches along one edge of a tile.
  public let side: Int
  /// Index of the thumbnail tile, if there is one.
  public let thumbnail: Int?
  /// Size of the original image in pixels.
  public let width: Int, height: Int
  /// Its visual spans, as ranges of token ids.
  public let spans: [Range<Int32>]
  /// Visual tokens that the dense model reads of it, all spans together, and those of its patches that are among them:
  /// padding is cut. What budgets are shares of.
  public let tokens: Int, patches: Int

  /// - Parameters:
  ///   - tokens: nil: as many as the spans hold.
  ///   - patches: nil: all tokens.
  public init(
    tileRows: Int, tileColumns: Int, side: Int, thumbnail: Int?, width: Int, height: Int, spans: [Range<Int32>],
    tokens: Int? = nil, patches: Int? = nil
  ) {
    self.tileRows = tileRows
    self.tileColumns = tileColumns
    self.side = side
    self.thumbnail = thumbnail
    self.width = width
    self.height = height
    self.spans = spans
    self.tokens = tokens ?? spans.reduce(0) { $0 + $1.count }
    self.patches = patches ?? self.tokens
  }

  /// The same image with its spans, or with what the dense model reads of it.
  package func with(spans: [Range<Int32>]? = nil, tokens: Int? = nil, patches: Int? = nil) -> ImageLayout {
    ImageLayout(
      tileRows: tileRows, tileColumns: tileColumns, side: side, thumbnail: thumbnail, width: width, height: height,
      spans: spans ?? self.spans, tokens: tokens ?? self.tokens, patches: patches ?? self.patches)
  }
}
