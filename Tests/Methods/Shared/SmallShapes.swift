import VTok

/// Shapes of small models.
enum SmallShapes {
  static let tower = Shape.Tower(
    blocks: 4, width: 8, heads: 2, ffn: 16, prefix: 1, hasClassifier: true, rows: 4, columns: 4, patch: 4)
  static let decoder = Shape.Decoder(
    layers: 3, width: 8, heads: 2, kvHeads: 2, headDim: 4, ffn: 16, vocabulary: 9, frequencies: [1, 0.1])
  static let vit = Shape(tower: tower)

  /// A language model behind the tower.
  static func language(heads: Int = 4, kvHeads: Int = 4, layers: Int = 6, sections: [Int] = []) -> Shape {
    let decoder = Shape.Decoder(
      layers: layers, width: 4 * heads, heads: heads, kvHeads: kvHeads, headDim: 4, ffn: 16, vocabulary: 9,
      frequencies: [1, 0.1], sections: sections)
    return Shape(tower: SmallShapes.tower, decoder: decoder, layout: Shape.Layout(tiling: .one))
  }
  static let window = Shape(
    tower: Shape.Tower(
      blocks: 4, featureBlock: 2, width: 8, heads: 2, ffn: 16, prefix: 1, hasClassifier: true, rows: 6, columns: 6,
      patch: 4), decoder: language().decoder, layout: Shape.Layout(tiling: .one))

  /// A tower whose features of block 2 go to a language model, by default as tiles.
  static func tiles(
    prefix: Int = 1, classifier: Bool = true, feature: Int = 2,
    layout: Shape.Layout? = Shape.Layout(tiling: .cut, hasNewline: true),
    layers: Int = 4
  ) -> Shape {
    let tower = Shape.Tower(
      blocks: 4, featureBlock: feature, width: 8, heads: 2, ffn: 16, prefix: prefix, hasClassifier: classifier, rows: 4,
      columns: 4, patch: 4)
    let decoder = Shape.Decoder(
      layers: layers, width: 8, heads: 2, kvHeads: 2, headDim: 4, ffn: 16, vocabulary: 9, frequencies: [1, 0.1])
    return Shape(tower: tower, decoder: layout == nil ? nil : decoder, layout: layout)
  }
}
