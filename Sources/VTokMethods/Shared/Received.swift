import VTokCore
import VTokTensor

// Attention that tokens receive from all rows of a block.

extension View {
  /// What rows of a tile were given in a recorded block, added up over heads and the rows that were asked for. Where the
  /// connector has made one token of several patches, their mean; `.features` with `tokens` must be recorded then.
  func received(_ site: Site, tile: Int, at rows: [Int], of tokens: TokenSequence) throws(CompressionError) -> [Float] {
    let recording = recording(site, tile)
    guard shape.tower!.fuse > 1 else { return try recording.summed(recording.attention!, at: rows, of: tokens) }
    let total = recording.attention!.lineSum()
    let features = self.recording(.features, tile).tokens!
    let columns = try recording.columns(of: features)
    return try members(of: rows, of: tokens, among: features).map { members in
      members.reduce(Float(0)) { $0 + total[columns[$1]] } / Float(members.count)
    }
  }

  /// The rows of a tile before the connector that every one of `rows` behind it was made of.
  func members(of rows: [Int], of tokens: TokenSequence, among features: TokenSequence) throws(CompressionError)
    -> [[Int]]
  {
    guard shape.tower!.fuse > 1 else {
      let place = Dictionary(uniqueKeysWithValues: zip(features.id, features.id.indices))
      return try rows.map { row throws(CompressionError) in
        guard let found = place[tokens.id[row]] else {
          throw .missingColumns(found: features.count, expected: tokens.count)
        }
        return [found]
      }
    }
    var place: [Int32: Int] = [:]
    for row in features.id.indices {
      for patch in features.origin.patches[features.origin.range(row)] { place[patch] = row }
    }
    return try rows.map { row throws(CompressionError) in
      let members = tokens.origin.patches[tokens.origin.range(row)].compactMap { place[$0] }
      if members.isEmpty { throw .missingColumns(found: features.count, expected: tokens.count) }
      return members
    }
  }
}

extension Shape {
  /// What stands for an image before the connector: the tower, and whether single patches can go there. Where the connector
  /// makes one token of several, methods act behind it, on images of one tile.
  func patchesOrMerged(for method: String) throws(CompressionError) -> (tower: Tower, isMerged: Bool) {
    guard let tower else {
      throw .unsupported(
        method: method, found: "no vision tower", expected: "one", fix: CompressionError.anotherMethod)
    }
    guard tower.fuse > 1 else { return (tower, false) }
    guard let layout, layout.tiling == .native else {
      throw .unsupported(
        method: method, found: "a connector that joins patches of tiles",
        expected: "one grid an image behind it (Qwen-VL), or a connector that joins none (LLaVA)",
        fix: CompressionError.anotherMethod)
    }
    return (tower, true)
  }
}
