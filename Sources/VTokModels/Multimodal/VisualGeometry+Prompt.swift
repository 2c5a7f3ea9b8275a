import VTokCore
import VTokImage
import VTokTensor

// The way of pictures into a prompt: the same whether weights or noise fill the rows.

extension VisualGeometry {
  /// The visual spans of every image, packed, with origins counted through all images.
  /// - Parameters:
  ///   - newline: the row that the model places into its packing. `[1, width]`
  ///   - tower: from an image, whose patches count on from `first`, to the features of its tiles.
  ///   - connector: of one tile; rows that become one, or nil.
  package func encode(
    _ images: [PreparedImage], newline: Tensor?, run: inout Run,
    tower: (PreparedImage, _ first: Int, inout Run) throws(CompressionError) -> [TokenSequence],
    connector: (TokenSequence, _ groups: [[Int32]]?) -> TokenSequence
  ) throws(CompressionError) -> [[TokenSequence]] {
    run.images = images.map(laidOut)
    let newline = newline.map { TokenSequence(x: $0, kind: [.newline], origin: Origin([nil])) }
    var spans: [[TokenSequence]] = []
    var first = 0
    for (index, image) in images.enumerated() {
      run.image = index
      let groups = groups(of: image)
      let tiles = try tower(image, first, &run).map { tile in
        connector(tile, groups.map { Self.left(of: $0, in: tile) })
      }
      run.passConnector(rows: tiles.reduce(0) { $0 + $1.count })
      spans.append(try run.pack(tiles, newline: newline, standard: packing(tiles, of: image, first: first)))
      first += patches(of: image)
    }
    return spans
  }

  /// The groups that a tile still has, their rows as they are numbered now: whole ones may have left before the first block.
  private static func left(of groups: [[Int32]], in tile: TokenSequence) -> [[Int32]] {
    if groups.reduce(0, { $0 + $1.count }) == tile.count { return groups }
    let row = Dictionary(zip(tile.id, tile.id.indices), uniquingKeysWith: { first, _ in first })
    return groups.compactMap { group in
      let rows = group.compactMap { row[$0].map { Int32($0) } }
      return rows.count == group.count ? rows : nil
    }
  }

  /// The prompt as it enters layer 0: text and spans with kinds, positions and origins; ids count its rows. Writes the
  /// spans' ranges into `run.images`.
  /// - Parameter text: embeddings of a range of the prompt's ids.
  package func assemble(
    _ plan: PromptPlan, _ spans: [[TokenSequence]], _ images: [PreparedImage], run: inout Run,
    text: (Range<Int>) throws -> Tensor
  ) rethrows -> TokenSequence {
    var prompt: TokenSequence?
    var positions: [Position] = []
    var next = 0  // position of the next text token
    var ranges = images.map { _ in [Range<Int32>]() }
    var first = 0
    let firstPatches = images.map { image in
      defer { first += patches(of: image) }
      return first
    }
    for piece in plan.pieces {
      var entries: TokenSequence
      switch piece {
      case .text(let range):
        entries = TokenSequence(
          x: try text(range), kind: range.map { _ in .text }, origin: Origin(range.map { _ in nil }))
        positions += (0..<range.count).map { Position(next + $0) }
        next += range.count
      case .span(let image, let index):
        entries = spans[image][index]
        let start = Int32(positions.count)
        ranges[image].append(start..<start + Int32(entries.count))
        if let cells = cells(of: images[image]) {
          positions += (0..<entries.count).map { row in
            let anchor = Int(entries.origin.patches[entries.origin.range(row).lowerBound])
            return cells.position(ofPatch: anchor - firstPatches[image], from: next)
          }
          next += max(cells.rows, cells.columns)
        } else {
          positions += (0..<entries.count).map { Position(next + $0) }
          next += entries.count
        }
      }
      if prompt == nil { prompt = entries } else { prompt!.append(entries) }
    }
    prompt!.restart(at: positions)
    run.images = zip(images, ranges).map { laidOut($0).with(spans: $1) }
    run.image = nil
    return prompt!
  }
}
