import VTokCore

// What methods ask of a model, said once.
extension Shape {
  /// The tower, if it has a class token.
  func classifierTower(for method: String) throws(CompressionError) -> Tower {
    guard let tower, tower.hasClassifier else {
      throw .unsupported(
        method: method, found: self.tower == nil ? "no vision tower" : "no class token",
        expected: "a tower with a class token", fix: CompressionError.anotherMethod)
    }
    return tower
  }

  /// LLaVA-1.5 and LLaVA-NeXT join the tiles of an image into one visual span at `.pack`.
  func packs(for method: String, _ layouts: Set<Layout> = [.single, .anyres]) throws(CompressionError) {
    guard layouts.contains(layout) else {
      throw .unsupported(
        method: method, found: "images laid out as '\(layout)'",
        expected: layouts.map { "'\($0)'" }.sorted().joined(separator: " or ") + " (LLaVA)",
        fix: CompressionError.anotherMethod)
    }
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
