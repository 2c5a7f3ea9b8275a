import VTokCore
import VTokLibC
import VTokTensor

extension MCTF {
  /// Which rows fuse, and by what weights.
  /// - Parameters:
  ///   - x: rows of the residual stream. `[n, width]`
  ///   - attention: `[heads, rows, n]`, after the softmax.
  ///   - size: of every row; nil before the first fusion.
  ///   - r: rows that go.
  ///   - prefix: rows at the beginning that fuse with none.
  package static func fuse(
    _ x: Tensor, attention: Tensor, size: [Float]?, removing r: Int, prefix: Int, _ criteria: Criteria,
    notes: inout Notes
  ) -> Reduction {
    let count = x.rows
    let importance = attention.lineSum().map { $0 / Float(attention.rows) }
    let (a, b) = (Array(stride(from: 0, to: count, by: 2)), Array(stride(from: 1, to: count, by: 2)))
    let weights = affinity(x, a, b, importance, size, prefix: prefix, criteria, notes: &notes)  // [a, b]
    let first = criteria.bothWays ? r / 2 : r
    // Half of them from A into B.
    let bestOfA = a.indices.map { notes.first(Array(weights.row($0))) }
    let scoresOfA = zip(a.indices, bestOfA).map { weights.values[$0 * b.count + $1] }
    let sources = notes.top(scoresOfA, first)
    let left = Set(a.indices).subtracting(sources).sorted()
    var rows = b.map { [Int32($0)] }
    for source in sources { rows[bestOfA[source]].append(Int32(a[source])) }
    // The others from B into what is left of A, with all they hold.
    var kept = left.map { [Int32(a[$0])] }
    var order = Array(b.indices)
    if criteria.bothWays {
      let bestOfB = b.indices.map { column in notes.first(left.map { weights.values[$0 * b.count + column] }) }
      let scoresOfB = zip(b.indices, bestOfB).map { weights.values[left[$1] * b.count + $0] }
      order = notes.top(scoresOfB, scoresOfB.count)
      for source in order.prefix(r - first) { kept[bestOfB[source]] += rows[source] }
      if r > first, r - first < order.count {
        notes.book(margin: scoresOfB[order[r - first - 1]] - scoresOfB[order[r - first]])
      }
      order.removeFirst(r - first)
    }
    let others = order.map { rows[$0] }
    let all = (kept + others).filter { $0[0] >= prefix }
    let result = (0..<prefix).map { [Int32($0)] } + all
    return Reduction(rows: result, of: count, blend: .weighted(shares(result, importance, size, criteria)))
  }

  /// How well rows of A go with rows of B: similarity, how little both are attended to, how small they are.
  private static func affinity(
    _ x: Tensor, _ a: [Int], _ b: [Int], _ importance: [Float], _ size: [Float]?, prefix: Int, _ criteria: Criteria,
    notes: inout Notes
  ) -> Tensor {
    /// 1 over every value, the largest being 1.
    func inverse(_ values: [Float]) -> [Float] {
      let inverted = values.map { 1 / $0 }
      let most = inverted.max() ?? 1
      return inverted.map { $0 / most }
    }
    let (quiet, small) = (inverse(importance), size.map(inverse))
    let cosines = notes.cosines(x.gathered(a), x.gathered(b))
    func power(_ base: Float, _ tau: Float) -> Float { tau == 0 ? 1 : powf(base, 1 / tau) }
    return Tensor(shape: [a.count, b.count]) { out in
      for (row, i) in a.enumerated() {
        for (column, j) in b.enumerated() {
          let place = row * b.count + column
          guard i >= prefix, j >= prefix else {
            out[place] = -.infinity
            continue
          }
          let similar = power((cosines.values[place] + 1) / 2, criteria.similarity)
          let unseen = power(quiet[i] * quiet[j], criteria.information)
          out[place] = similar * unseen * (small.map { power($0[i] * $0[j], criteria.size) } ?? 1)
        }
      }
    }
  }

  /// Share of every member in its row.
  private static func shares(
    _ rows: [[Int32]], _ importance: [Float], _ size: [Float]?, _ criteria: Criteria
  ) -> [Float] {
    let largest = size?.max() ?? 1
    func weight(_ member: Int32) -> Float {
      let size = size?[Int(member)] ?? 1
      switch criteria.pooling {
      case .importance: return importance[Int(member)] * size / largest
      case .size: return size
      case .none: return 1
      }
    }
    return rows.flatMap { row in
      let weights = row.map(weight)
      let sum = weights.reduce(0, +)
      return row.count == 1 ? [1] : weights.map { $0 / sum }
    }
  }
}

extension Tensor {
  /// Attention `[heads, n, n]` among some of the rows. `[heads, columns, columns]`
  func taking(_ columns: [Int]) -> Tensor {
    let (heads, rows, keys) = (shape[0], shape[1], shape[2])
    if columns.count == keys { return self }
    return Tensor(shape: [heads, columns.count, columns.count]) { out in
      var place = 0
      for head in 0..<heads {
        for row in columns {
          for column in columns {
            out[place] = values[(head * rows + row) * keys + column]
            place += 1
          }
        }
      }
    }
  }
}
