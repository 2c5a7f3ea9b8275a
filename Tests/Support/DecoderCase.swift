import VTok

/// How far the decoder may be from `DoubleLlama`.
package let decoderTolerance: Float = 2e-4

package func near(_ found: some Collection<Float>, _ wanted: [Double]) -> Bool {
  distance(found, wanted.map { Float($0) }) < decoderTolerance
}

private func decoderShape(_ decoder: Shape.Decoder) -> Shape {
  Shape(tower: nil, decoder: decoder, layout: Shape.Layout(tiling: .one))
}

/// A run of methods on a decoder alone, with an image in the prompt.
package func decoderRun(_ methods: [any Compressor] = [], on model: LanguageModel, image: Range<Int> = 0..<0) throws
  -> Run
{
  var run = Run(
    try Composition(methods, for: decoderShape(model.shape)),
    seed: 4)
  if !image.isEmpty {
    run.images = [
      ImageLayout(
        tileRows: 1, tileColumns: 1, side: 1, thumbnail: nil, width: 1, height: 1,
        spans: [Int32(image.lowerBound)..<Int32(image.upperBound)])
    ]
  }
  return run
}

/// A model, a prompt with one image in it, and tokens to be fed after it.
package struct DecoderCase {
  package let reference: DoubleLlama
  package let prompt: TokenSequence, image: Range<Int>
  package let fed: [Int]

  package init(seed: UInt64, isWide: Bool, isGrouped: Bool) {
    var generator = SeededGenerator(seed: seed)
    var size = DoubleLlama.Size(layers: Int.random(in: 4...5, using: &generator))
    size.heads = isWide ? 14 : 2 * Int.random(in: 1...2, using: &generator)
    size.kvHeads = isGrouped ? size.heads / 2 : size.heads
    size.headDim = isWide ? 4 : [4, 8].randomElement(using: &generator)!
    reference = DoubleLlama(size, seed: seed + 1)
    let start = Int.random(in: 1...5, using: &generator)
    image = start..<start + Int.random(in: 14...24, using: &generator)
    prompt = reference.prompt(
      image.upperBound + Int.random(in: 3...6, using: &generator), image: image, seed: seed + 2)
    fed = (0..<5).map { _ in Int.random(in: 0..<size.vocabulary, using: &generator) }
  }

  package var shape: Shape { get throws { decoderShape(try reference.model().shape) } }
}
