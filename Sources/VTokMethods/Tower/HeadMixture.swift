import CVTokKernels
import VTokTensor

/// One importance per patch token, made of the scores of all heads.
public struct HeadMixture: Sendable {
  /// Population variance over patch tokens of the scores of each head, scaled to mean 1.
  public let variance: [Float]
  /// Heads that passed the filter; when none did, all take part.
  public let passed: [Bool]
  /// One per patch token.
  public let importance: [Float]

  /// - Parameters:
  ///   - scores: `[heads, n]`; the first `prefix` columns belong to prefix tokens and are dropped.
  ///   - variance: heads outside this range are left out, unless that would leave none. nil: no filter.
  ///   - rootMeanSquare: emphasise what a few heads find important; else the plain mean over heads.
  public init(_ scores: Tensor, prefix: Int, variance range: ClosedRange<Float>?, rootMeanSquare: Bool) {
    let heads = scores.rows
    let patches = scores.width - prefix
    var scaled: [[Float]] = []
    var variance: [Float] = []
    for head in 0..<heads {
      let row = Array(scores.row(head).dropFirst(prefix))
      let mean = row.reduce(0, +) / Float(patches)
      let p = mean == 0 ? row : row.map { $0 / mean }
      let centre = p.reduce(0, +) / Float(patches)
      variance.append(p.reduce(0) { $0 + ($1 - centre) * ($1 - centre) } / Float(patches))
      scaled.append(p)
    }
    let passed = variance.map { range?.contains($0) ?? true }
    let voting = passed.contains(true) ? passed : passed.map { _ in true }
    var importance = [Float](repeating: 0, count: patches)
    for head in 0..<heads where voting[head] {
      for token in 0..<patches {
        let p = scaled[head][token]
        importance[token] += rootMeanSquare ? p * p : p
      }
    }
    let count = Float(voting.count { $0 })
    self.importance = importance.map { rootMeanSquare ? ($0 / count).squareRoot() : $0 / count }
    self.variance = variance
    self.passed = passed
  }
}
