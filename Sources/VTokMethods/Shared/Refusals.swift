import VTokCore

// What methods ask of a model, said once.
extension Shape {
  /// The tower.
  func tower(for method: String) throws(CompressionError) -> Tower {
    guard let tower else {
      throw .unsupported(
        method: method, found: "no vision tower", expected: "one", fix: CompressionError.anotherMethod)
    }
    return tower
  }

  /// The tower, if it has a class token.
  func classifierTower(for method: String) throws(CompressionError) -> Tower {
    guard let tower, tower.hasClassifier else {
      throw .unsupported(
        method: method, found: self.tower == nil ? "no vision tower" : "no class token",
        expected: "a tower with a class token", fix: CompressionError.anotherMethod)
    }
    return tower
  }

  /// The tower, if its class token is all that stands before the patches and, in a language model, its images are packed.
  func loneClassifierTower(for method: String) throws(CompressionError) -> Tower {
    let tower = try classifierTower(for: method)
    guard tower.prefix == 1 else {
      throw .unsupported(
        method: method, found: "\(tower.prefix) prefix tokens", expected: "the class token alone",
        fix: CompressionError.anotherMethod)
    }
    if layout != nil { try packs(for: method) }
    return tower
  }

  /// At `.pack` the tiles of an image, each of the tower's grid, are joined into one visual span.
  /// - Parameter fromCut: whether there must be several of them.
  func packs(for method: String, fromCut: Bool = false) throws(CompressionError) {
    if let layout, !layout.hasSpanPerTile, layout.tiling == .cut || layout.tiling == .one && !fromCut {
      if let fuse = tower?.fuse, fuse > 1 {
        throw .unsupported(
          method: method, found: "a connector that fuses \(fuse) patches into one token",
          expected: "a visual token for every patch (LLaVA)", fix: CompressionError.anotherMethod)
      }
      return
    }
    throw .unsupported(
      method: method, found: layout?.summary ?? "no connector",
      expected: fromCut ? "images cut into tiles that one span joins (LLaVA-NeXT)" : "one span an image (LLaVA)",
      fix: CompressionError.anotherMethod)
  }

  /// A block after the one whose output is used, to be asked for its attention without being run.
  func probedBlock(for method: String) throws(CompressionError) -> Int {
    let tower = try classifierTower(for: method)
    guard tower.featureBlock + 1 < tower.blocks else {
      throw .unsupported(
        method: method, found: "features of the last block", expected: "a block after them",
        fix: CompressionError.anotherMethod)
    }
    return tower.featureBlock
  }
}

extension Shape.Layout {
  /// For messages.
  fileprivate var summary: String {
    switch tiling {
    case .one: "images of one tile"
    case .cut: hasSpanPerTile ? "tiles that are spans of their own" : "tiles that one span joins"
    case .native: "images on grids of their own"
    }
  }
}
