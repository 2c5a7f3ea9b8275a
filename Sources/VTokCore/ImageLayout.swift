/// How one image lies in tiles and in the prompt.
public struct ImageLayout: Sendable, Equatable {
  public let tileRows: Int, tileColumns: Int
  /// Patches along one edge of a tile.
  public let side: Int
  /// Index of the thumbnail tile, if there is one.
  public let thumbnail: Int?
  /// Size of the original image in pixels.
  public let width: Int, height: Int
  /// Whether the picture was padded to a square before it became the only tile.
  public let isSquared: Bool
  /// Its visual spans, as ranges of token ids.
  public let spans: [Range<Int32>]
  /// Visual tokens that the dense model reads of it, all spans together, and those of its patches that are among them:
  /// padding is cut. What budgets are shares of.
  public let tokens: Int, patches: Int

  /// - Parameters:
  ///   - tokens: nil: as many as the spans hold.
  ///   - patches: nil: all tokens.
  public init(
    tileRows: Int, tileColumns: Int, side: Int, thumbnail: Int?, width: Int, height: Int,
    isSquared: Bool = false, spans: [Range<Int32>], tokens: Int? = nil, patches: Int? = nil
  ) {
    self.tileRows = tileRows
    self.tileColumns = tileColumns
    self.side = side
    self.thumbnail = thumbnail
    self.width = width
    self.height = height
    self.isSquared = isSquared
    self.spans = spans
    self.tokens = tokens ?? spans.reduce(0) { $0 + $1.count }
    self.patches = patches ?? self.tokens
  }

  /// The same image with its spans, or with what the dense model reads of it.
  package func with(spans: [Range<Int32>]? = nil, tokens: Int? = nil, patches: Int? = nil) -> ImageLayout {
    ImageLayout(
      tileRows: tileRows, tileColumns: tileColumns, side: side, thumbnail: thumbnail, width: width, height: height,
      isSquared: isSquared, spans: spans ?? self.spans, tokens: tokens ?? self.tokens, patches: patches ?? self.patches)
  }
}

extension [ImageLayout] {
  /// Id of the first row after the last visual span.
  package var textStart: Int32 { flatMap(\.spans).map(\.upperBound).max() ?? 0 }

  /// Whether the row with this id lies in a visual span.
  package func contains(id: Int32) -> Bool { contains { $0.spans.contains { $0.contains(id) } } }

  /// How many rows, counted from the first, each of those with these ids sees where the rows of an image see all of it: an
  /// image is a run of visual rows without text between; other rows see those up to themselves.
  package func reach(of ids: [Int32]) -> [Int] {
    let spans = flatMap(\.spans).filter { !$0.isEmpty }.sorted { $0.lowerBound < $1.lowerBound }
    let runs = spans.reduce(into: [Range<Int32>]()) { runs, span in
      if let last = runs.last, last.upperBound == span.lowerBound {
        runs[runs.count - 1] = last.lowerBound..<span.upperBound
      } else {
        runs.append(span)
      }
    }
    let own = ids.map { id in runs.firstIndex { $0.contains(id) } }
    var reach = ids.indices.map { $0 + 1 }
    for row in ids.indices.dropLast().reversed() where own[row] != nil && own[row] == own[row + 1] {
      reach[row] = reach[row + 1]
    }
    return reach
  }

  /// Which rows of a sequence with these ids lie in visual spans.
  package func visualRows(of ids: [Int32]) -> [Int] { ids.indices.filter { contains(id: ids[$0]) } }
}
