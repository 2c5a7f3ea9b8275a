import VTokCore
import VTokLibC
import VTokTensor

extension PruneSID {
  public struct Selection: Sendable {
    /// Group of every patch.
    public let component: [Int]
    /// Tokens that every group keeps.
    public let shares: [Int]
    /// Patches kept, group by group.
    public let kept: [Int]
  }

  /// - Parameters:
  ///   - x: features of the patches. `[n, width]`
  ///   - attention: of the class token, summed over heads. `[n]`
  ///   - keep: tokens, the class token among them.
  ///   - omega: normal numbers. `[min(width, n), keep / 4]`
  public static func select(
    _ x: Tensor, attention: [Float], keep: Int, omega: Tensor, notes: inout Notes
  ) -> Selection {
    let component = components(x, omega, notes: &notes)
    let groups = (0..<omega.width).map { group in component.indices.filter { component[$0] == group } }
    let ranked = suppressed(notes.cosines(x), attention, groups, keep: keep, notes: &notes)
    let shares = shares(groups.map(\.count), left: ranked.map(\.left), keep: keep, notes: &notes)
    return Selection(
      component: component, shares: shares,
      kept: zip(ranked, shares).flatMap { ranked, share in ranked.order.prefix(share) })
  }

  /// The principal component on which every token lies most.
  private static func components(_ x: Tensor, _ omega: Tensor, notes: inout Notes) -> [Int] {
    let tokens = Matrix(
      (0..<x.rows).flatMap { row in
        let line = x.row(row).map { 1 / (1 + exp(-Double($0))) }
        let mean = line.reduce(0, +) / Double(line.count)
        return line.map { $0 - mean }
      }, rows: x.rows, columns: x.width)
    // Tokens are columns; where there are more tokens than channels, rows of what is decomposed.
    let isTall = x.width < x.rows
    let a = isTall ? tokens : tokens.transposed
    let across = a.transposed
    var q = a.times(Matrix(omega), notes: &notes).orthonormalised(notes: &notes)
    for _ in 0..<2 {
      q = across.times(q, notes: &notes).orthonormalised(notes: &notes)
      q = a.times(q, notes: &notes).orthonormalised(notes: &notes)
    }
    let small = q.transposed.times(a, notes: &notes)  // [groups, columns of a]
    let left = small.leftSingularVectors(notes: &notes)
    // Of tokens: Q times left vectors where they are rows of a, right vectors (over singular values) else.
    let vectors = isTall ? q.times(left, notes: &notes) : rightVectors(small, left, notes: &notes)
    return (0..<x.rows).map { token in notes.first((0..<omega.width).map { Float(abs(vectors[token, $0])) }) }
  }

  /// Right singular vectors of a matrix with these left ones, as columns.
  private static func rightVectors(_ small: Matrix, _ left: Matrix, notes: inout Notes) -> Matrix {
    var vectors = small.transposed.times(left, notes: &notes)
    for column in 0..<vectors.columns {
      let length = (0..<vectors.rows).reduce(0.0) { $0 + vectors[$1, column] * vectors[$1, column] }.squareRoot()
      for row in 0..<vectors.rows where length > 0 { vectors[row, column] /= length }
    }
    return vectors
  }

  /// Every group's tokens by falling score: those that repeat no better attended one in the order found, then the others;
  /// and how many the former are.
  private static func suppressed(
    _ similarity: Tensor, _ attention: [Float], _ groups: [[Int]], keep: Int, notes: inout Notes
  ) -> [(order: [Int], left: Int)] {
    let n = attention.count
    var sum = 0.0
    for row in 0..<n { for value in similarity.row(row).dropFirst(row + 1) { sum += Double(value) } }
    let pairs = max(1, n * (n - 1) / 2)
    let limit = Float(Double(keep) / 32 * sum / Double(pairs))
    return groups.map { group in
      let ranked = notes.ranked(group.map { attention[$0] }).map { group[$0] }
      var (left, repeated): ([Int], [Int]) = ([], [])
      for token in ranked {
        let line = similarity.row(token)
        var repeats = false
        for better in left {
          let likeness = line[line.startIndex + better]
          notes.book(margin: abs(likeness - limit))
          if likeness > limit { repeats = true }
        }
        if repeats { repeated.append(token) } else { left.append(token) }
      }
      return (left + repeated, left.count)
    }
  }

  /// Tokens of every group.
  /// - Parameters:
  ///   - counts: tokens that it has.
  ///   - left: those that repeat no better one.
  static func shares(_ counts: [Int], left: [Int], keep: Int, notes: inout Notes) -> [Int] {
    let lower = counts.map { min(1, $0) }
    let step = 5 * ((keep + 63) / 64)
    var upper = zip(counts, left).map { min(step, $0, $1) }
    while upper.reduce(0, +) < keep {
      let next = zip(upper, counts).map { min($0 + 1, $1) }
      if next == upper { break }
      upper = next
    }
    let rest = max(0, keep - lower.reduce(0, +) - 1)
    let total = Float(left.reduce(0, +))
    var (before, sum): (Int, Float) = (0, 0)
    var shares: [Int] = []
    for group in counts.indices {
      sum += Float(left[group]) / total
      let place = sum * Float(rest)
      notes.book(margin: abs(place - place.rounded(.down) - 0.5))
      let now = Int(place.rounded(.toNearestOrEven))
      shares.append(min(now - before + lower[group], upper[group]))
      before = now
    }
    var missing = keep - 1 - shares.reduce(0, +)
    for group in topK(left.map(Float.init), left.count) where missing > 0 {
      let more = min(missing, upper[group] - shares[group])
      shares[group] += more
      missing -= more
    }
    return shares
  }
}
