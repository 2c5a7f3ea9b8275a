import CVTokKernels
import VTokCore
import VTokLibC
import VTokTensor

extension ZeroTPrune {
  /// Where the page rank starts: the class token outweighs all others by √n ("Zero-TPrune"), or all are equal
  /// ("Zero-TPrune-uni"). Without a class token both are the same.
  public enum Start: String, Sendable, CaseIterable { case classifier, uniform }

  /// Who may be removed as similar (A) and whom they are compared with (B), by rank of importance: B first, A first, or
  /// every second rank.
  public enum Partition: String, Sendable, CaseIterable {
    case sequentialU = "sequential-u"
    case sequentialI = "sequential-i"
    case alternate
  }

  /// How alike two keys are: cosine, dot product, or a distance, negated.
  public enum Metric: String, Sendable, CaseIterable {
    case cosine, dot, manhattan, euclidean, minkowski3, minkowski4, minkowski5, chebyshev

    /// Exponent of the distance, 0 for the largest difference; nil for products.
    var power: Int32? {
      switch self {
      case .cosine, .dot: nil
      case .manhattan: 1
      case .euclidean: 2
      case .minkowski3: 3
      case .minkowski4: 4
      case .minkowski5: 5
      case .chebyshev: 0
      }
    }
  }

  /// How tokens are ranked, the same in every pruning layer.
  public struct Ranking: Sendable, Equatable {
    public var start = Start.classifier
    public var partition = Partition.sequentialU
    public var metric = Metric.cosine
    /// Heads whose score variance lies outside do not vote (VHF); nil: all heads vote.
    public var variance: ClosedRange<Float>? = 0.01...0.7
    /// Root mean square over heads (EIR); off: plain mean.
    public var rootMeanSquare = true
    /// After a removal every row becomes a vote distribution again.
    public var renormalise = true
    /// Stops the page rank when no score changes by more than this; nil: the full number of iterations.
    public var epsilon: Float?
    public init() {}
  }

  /// What the S-stage found. Indices are those of the sequence.
  public struct Similar: Sendable {
    /// By rank of importance.
    public let groupA: [Int], groupB: [Int]
    /// Similarity of every member of A to its most similar member of B.
    public let best: [Float]
    /// Ascending.
    public let dropped: [Int]
  }

  /// Importance of the patch tokens of a graph of `[heads, n, n]`, with the page rank it comes from.
  public static func importance(
    _ graph: AttentionGraph, prefix: Int, hasClassifier: Bool, iterations: Int, _ ranking: Ranking,
    epsilon: Float? = nil, notes: inout Notes
  ) -> (mixture: HeadMixture, scores: Tensor, used: Int) {
    let n = graph.count
    var start = [Float](repeating: 1, count: n)
    if ranking.start == .classifier, hasClassifier { start[0] = Float(n).squareRoot() }
    let sum = start.reduce(0, +)
    let (scores, used) = graph.ranked(
      from: start.map { $0 * Float(n) / sum }, iterations: iterations, epsilon: epsilon)
    notes.book(macs: graph.heads * n * n * used)
    let mixture = HeadMixture(
      scores, prefix: prefix, variance: ranking.variance, rootMeanSquare: ranking.rootMeanSquare)
    return (mixture, scores, used)
  }

  /// S-stage: of the less important half, the `count` patch tokens most similar to one of the others. Keys `[n, c]`,
  /// all heads side by side; `importance` has one entry per patch token.
  public static func similar(
    _ keys: Tensor, importance: [Float], prefix: Int, count: Int, _ ranking: Ranking, notes: inout Notes
  ) -> Similar {
    let patches = importance.count
    let half = patches / 2
    let order = topK(importance, patches).map { $0 + prefix }
    let (groupA, groupB): ([Int], [Int])
    switch ranking.partition {
    case .sequentialU: (groupA, groupB) = (Array(order[(patches - half)...]), Array(order[..<(patches - half)]))
    case .sequentialI: (groupA, groupB) = (Array(order[..<half]), Array(order[half...]))
    case .alternate:
      groupA = stride(from: 1, to: patches, by: 2).map { order[$0] }
      groupB = stride(from: 0, to: patches, by: 2).map { order[$0] }
    }
    let best = nearest(keys.gathered(groupA), keys.gathered(groupB), ranking.metric, notes: &notes)
    // Of equals the token that comes first in the sequence goes.
    let ascending = groupA.indices.sorted { groupA[$0] < groupA[$1] }
    let dropped = notes.top(ascending.map { best[$0] }, count).map { groupA[ascending[$0]] }
    return Similar(groupA: groupA, groupB: groupB, best: best, dropped: dropped.sorted())
  }

  /// For every row of a the similarity to the most similar row of b. O(a.rows b.rows c).
  private static func nearest(_ a: Tensor, _ b: Tensor, _ metric: Metric, notes: inout Notes) -> [Float] {
    guard let power = metric.power else {
      let products = metric == .cosine ? notes.cosines(a, b) : notes.product(a, b)
      return (0..<a.rows).map { products.row($0).max()! }
    }
    let distances = notes.distances(a, b, power: power)
    return (0..<a.rows).map { row in
      let smallest = distances.row(row).min()!
      return power < 2 ? -smallest : -Float(pow(Double(smallest), 1 / Double(power)))
    }
  }
}
