import VTokCore
import VTokTensor

/// The layers of a language model filled with noise.
package struct NoiseLayers: LayerSource {
  package let shape: Shape.Decoder
  package var tokens: TokenSequence
  private var noise: Noise

  package init(_ shape: Shape.Decoder, _ noise: Noise) {
    self.shape = shape
    self.noise = noise
    tokens = TokenSequence(x: Tensor([], shape: [0, shape.width]), kind: [], origin: Origin([]))
  }

  package mutating func embedding(of token: Int) -> Tensor { noise.values([1, shape.width]) }

  package mutating func begin(_ tokens: TokenSequence, keys: Int) { self.tokens = tokens }

  /// Cache entries are as narrow as their heads allow: methods that act on caches go by recordings and ids.
  package mutating func pass(
    _ layer: Int, _ past: inout LayerPast, for requests: [Request], _ run: Run
  ) -> LayerPassage {
    let rows = entering(layer, run)
    let entries = rows.carrying(Tensor(zeros: [rows.count, 2 * shape.kvHeads]))
    if shape.mixer(of: layer) == .deltaNet {
      // Its state says nothing to anybody.
    } else if past.cache.isEmpty {
      past.cache = [entries]
    } else {
      let parts = entries.split(into: past.cache.count, kvHeads: shape.kvHeads)
      for (head, part) in parts.enumerated() { past.cache[head].append(part) }
    }
    return LayerPassage(ids: entries.id, bypassing: tokens.count - entries.count)
  }

  /// The tokens that a layer computes: where it has a router, some visual ones drawn by lot pass it by.
  private mutating func entering(_ layer: Int, _ run: Run) -> TokenSequence {
    let visual = run.images.visualRows(of: tokens.id)
    guard let count = shape.computed(of: visual.count, in: layer) else { return tokens }
    let skipped = Set(topK(noise.values([1, visual.count]).values, visual.count - count).map { visual[$0] })
    return tokens.reduced(.keep((0..<tokens.count).filter { !skipped.contains($0) }, of: tokens.count))
  }

  package mutating func attention(
    _ request: Request, part: (index: Int, count: Int), rows: Int, keys: Int
  ) -> Tensor? {
    noise.attention(heads: shape.heads / part.count, rows: rows, keys: keys, request)
  }

  package mutating func probe(_ layer: Int, _ request: Request, rows: [Int], _ run: Run) -> Tensor {
    noise.attention(heads: shape.heads, rows: rows.count, keys: tokens.count, request)
  }

  package func turn(_ cache: inout TokenSequence, to positions: [Position]) {}

  package mutating func projections(_ layer: Int) -> Projections {
    let (inner, kvInner) = (shape.heads * shape.headDim, shape.kvHeads * shape.headDim)
    return Projections(
      queries: noise.values([tokens.count, inner]), keys: noise.values([tokens.count, kvInner]),
      rotatedKeys: noise.values([tokens.count, kvInner]))
  }

  package mutating func keys(of cache: TokenSequence) -> Tensor {
    noise.values([cache.width / 2, cache.count, shape.headDim])
  }

  package mutating func normed() -> Tensor { noise.values([tokens.count, shape.width]) }

  package mutating func branches() -> [Branch] { [branch(tokens.count), branch(tokens.count)] }

  /// Sizes and directions of a branch.
  private mutating func branch(_ count: Int) -> Branch {
    let sizes = noise.values([2, count]).values.map { $0 + 1 }
    let cosines = noise.values([1, count]).values
    let (input, output) = (Array(sizes[..<count]), Array(sizes[count...]))
    return Branch(input: input, output: output, dot: cosines.indices.map { cosines[$0] * input[$0] * output[$0] })
  }

  package func logits() -> [Float] { [] }
}
