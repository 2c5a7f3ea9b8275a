import VTokCore
import VTokLibC
import VTokTensor

/// SCOPE: tokens chosen one by one for how much of the image they cover that is not covered yet, times how much the class
/// token attends to them.
///
/// Deng et al., "SCOPE: Saliency-Coverage Oriented Token Pruning for Efficient Multimodal LLMs", NeurIPS 2025
/// (arXiv 2510.24214); kinredon/SCOPE.
public struct SCOPE: Compressor {
  public static let name = "scope"
  public static let summary =
    "keep what covers most of the image and is attended to (SCOPE, NeurIPS 2025, arXiv 2510.24214)"
  public static let remarks = [
    "Attention is summed over heads, not averaged: that matters for combine=add.",
    "LLaVA-NeXT: every tile keeps equally many tokens, padding is not cut, and a newline ends images of one tile alone.",
    "A row of zeros has cosine 0 to all others; the official code gives NaN.",
  ]
  public static let rounding: String? = "a tile has no more than its patches, and no newlines are placed"

  public enum Combine: String, Sendable, CaseIterable { case multi, add }

  /// Power of the attention.
  let alpha: Double
  let combine: Combine
  private var cut: TileCut

  public init(_ amount: TileAmount, alpha: Double = 1, combine: Combine = .multi) {
    self.alpha = alpha
    self.combine = combine
    cut = TileCut(amount, endsSingleTile: true)
  }

  public init(_ options: inout Options) throws(OptionError) {
    let alpha = try options.take("alpha", default: 1.0, in: 0...100, "power of the class token's attention")
    let combine = try options.take("combine", default: Combine.multi, "coverage times attention, or plus (add)")
    let amount = try options.tileAmount("total", official: "visual_token_num") { .total($0) }
    self.init(amount, alpha: alpha, combine: combine)
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    try cut.plan(for: model, byClassToken: Self.name)
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let block = Site.block(view.shape.tower!.featureBlock, .end)
    let rule = self
    return try cut.reduce(view, at: site, for: Self.name, notes: &notes) {
      tile, patches, count, notes throws(CompressionError) in
      let (tokens, recording) = (view.sequences[tile], view.recording(block, tile))
      let attention = try recording.summed(recording.attention!, at: patches, of: tokens)
      return rule.select(tokens.x.gathered(patches), saliency: attention, keep: count, notes: &notes)
    }
  }

  /// `keep` rows of features `[n, width]` in the order chosen. O(n² width + keep n²).
  /// - Parameter saliency: the class token's attention, summed over heads. `[n]`
  public func select(_ features: Tensor, saliency: [Float], keep: Int, notes: inout Notes) -> [Int] {
    let n = features.rows
    let weights = alpha == 1 ? saliency : saliency.map { powf($0, Float(alpha)) }
    let similarity = notes.cosines(features)
    notes.book(macs: keep * n * n)
    var covered = [Float](repeating: 0, count: n)
    var isChosen = [Bool](repeating: false, count: n)
    var chosen: [Int] = []
    var scores = [Float](repeating: 0, count: n)
    similarity.values.withUnsafeBufferPointer { similarity in
      while chosen.count < keep {
        for token in 0..<n {
          guard !isChosen[token] else {
            scores[token] = -.infinity
            continue
          }
          let gain = Self.gain(similarity.baseAddress! + token * n, covered)
          scores[token] = combine == .multi ? gain * weights[token] : gain + weights[token]
        }
        let best = notes.first(scores)
        isChosen[best] = true
        chosen.append(best)
        for token in 0..<n { covered[token] = max(covered[token], similarity[best * n + token]) }
      }
    }
    return chosen
  }

  /// What a token adds to the coverage of all, first to last.
  private static func gain(_ similarity: UnsafePointer<Float>, _ covered: [Float]) -> Float {
    covered.withUnsafeBufferPointer { covered in
      var gain: Float = 0
      for token in covered.indices { gain += max(0, similarity[token] - covered[token]) }
      return gain
    }
  }
}
