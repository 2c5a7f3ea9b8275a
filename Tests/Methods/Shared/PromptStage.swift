import VTok

/// A prompt with one or two images and text around them.
struct PromptStage {
  static let width = 8
  static let shape = Shape(
    tower: SmallShapes.tower,
    decoder: Shape.Decoder(
      layers: 4, width: width, heads: 2, kvHeads: 1, headDim: 4, ffn: 16, vocabulary: 9, frequencies: [1, 0.1]),
    layout: Shape.Layout(tiling: .one))
  let tokens: TokenSequence
  let spans: [Range<Int>]
  let textAfter: Int
  private let seed: UInt64, isConstant: Bool

  init(seed: UInt64, isConstant: Bool = false) {
    var generator = SeededGenerator(seed: seed)
    func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }
    var kinds: [TokenKind] = []
    var spans: [Range<Int>] = []
    for _ in 0..<pick(1...2) {
      kinds += [TokenKind](repeating: .text, count: pick(1...6))
      let count = pick(20...50)
      spans.append(kinds.count..<kinds.count + count)
      kinds += [TokenKind](repeating: .patch, count: count)
    }
    textAfter = pick(2...9)
    kinds += [TokenKind](repeating: .text, count: textAfter)
    var patch = -1
    let origin = Origin(
      kinds.map { kind in
        if kind == .patch { patch += 1 }
        return kind == .patch ? patch : nil
      })
    tokens = TokenSequence(x: noise([kinds.count, Self.width], &generator, isConstant), kind: kinds, origin: origin)
    (self.spans, self.seed, self.isConstant) = (spans, seed, isConstant)
  }

  struct Result {
    let tokens: TokenSequence
    /// Visual rows left of every image.
    let visual: [Int]
  }

  func run(_ spec: String) throws -> Result {
    var method = try MethodSpec(spec).make(budget: nil)[0]
    let plan = try Composition([method], for: Self.shape).plans[0]
    let site = plan.act.first!
    var generator = SeededGenerator(seed: seed ^ 77)
    let recording = Recording(
      ids: tokens.id, keys: noise([1, tokens.count, 4], &generator, isConstant),
      finalNorm: noise([tokens.count, Self.width], &generator, isConstant))
    let images = spans.map { span in
      ImageLayout(
        tileRows: 1, tileColumns: 1, side: 1, thumbnail: nil, width: 1, height: 1,
        spans: [Int32(span.lowerBound)..<Int32(span.upperBound)])
    }
    let view = View(
      sequences: [tokens], images: images, shape: Self.shape, seed: seed,
      recordings: [site: [recording]])
    var notes = Notes()
    var left = tokens
    left.apply(try method.reduce(view, at: site, notes: &notes)![0])
    return Result(tokens: left, visual: spans.map { span in left.id.count { span.contains(Int($0)) } })
  }
}
