import CVTokKernels
import VTokTensor

/// Votes between tokens: the attention of every head read as a graph in which row i says whom token i votes for.
///
/// Zero-TPrune's weighted page rank with its two ways of making one score of many heads (`spec` of the method: sections
/// "WPR", "VHF" and "EIR").
public struct AttentionGraph: Sendable {
  /// `[heads, n, n]`: row i holds the votes token i gives; rows sum to 1 unless `removing` left them otherwise.
  public let votes: Tensor

  public var heads: Int { votes.shape[0] }
  public var count: Int { votes.shape[1] }

  public init(_ votes: Tensor) {
    precondition(votes.shape.count == 3 && votes.shape[1] == votes.shape[2], "a graph needs [heads, n, n]")
    self.votes = votes
  }

  /// The graph of the nodes `rows`, ascending. `renormalised`: every row is divided by its sum, so that it is a vote
  /// again; a row of zeros stays.
  public func restricted(to rows: [Int], renormalised: Bool) -> AttentionGraph {
    let (n, m) = (count, rows.count)
    let ones = [Float](repeating: 1, count: m)
    let columns = rows.map(Int32.init)
    return AttentionGraph(
      Tensor(shape: [heads, m, m]) { out in
        votes.values.withUnsafeBufferPointer { source in
          var target = out
          for head in 0..<heads {
            for row in rows {
              let line = source.baseAddress! + (head * n + row) * n
              vtok_gather(line, columns, m, target)
              if renormalised {
                let sum = vtok_exact_dot(target, ones, m)
                if sum > 0 { vtok_divide(target, m, sum) }
              }
              target += m
            }
          }
        }
      })
  }

  /// Weighted page rank: `s = Aᵀ s` of every head, `iterations` times from `start` `[n]`, or until no score changes by
  /// more than `epsilon`. No factor 1/n, which would underflow float32. Scores `[heads, n]`. O(heads n² iterations).
  public func ranked(from start: [Float], iterations: Int, epsilon: Float? = nil) -> (scores: Tensor, used: Int) {
    let n = count
    precondition(start.count == n, "\(start.count) start values for \(n) tokens")
    var scores = [Float]()
    for _ in 0..<heads { scores += start }
    var next = scores
    var used = 0
    votes.values.withUnsafeBufferPointer { votes in
      func vote(_ head: Int) {
        scores.withUnsafeBufferPointer { from in
          next.withUnsafeMutableBufferPointer { to in
            vtok_exact_votes(
              votes.baseAddress! + head * n * n, n, n, n, from.baseAddress! + head * n, to.baseAddress! + head * n)
          }
        }
      }
      if let epsilon {
        while used < iterations {
          for head in 0..<heads { vote(head) }
          used += 1
          swap(&scores, &next)
          if !zip(scores, next).contains(where: { abs($0 - $1) > epsilon }) { break }
        }
      } else {
        // Head by head: the votes of one stay in cache through all iterations.
        for head in 0..<heads {
          for _ in 0..<iterations {
            vote(head)
            scores.replaceSubrange(head * n..<(head + 1) * n, with: next[head * n..<(head + 1) * n])
          }
        }
        used = iterations
      }
    }
    return (Tensor(scores, shape: [heads, n]), used)
  }
}
