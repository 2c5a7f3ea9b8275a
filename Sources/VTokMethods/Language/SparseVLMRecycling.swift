import VTokCore
import VTokLibC
import VTokTensor

// Version 1.5: the best of the dropped tokens become a few, one for every cluster.
extension SparseVLM {
  /// Kept rows, the clusters behind the last visual row, and all text.
  package static func reduction(keeping stay: [Int], of visual: [Int], merging clusters: [[Int]], _ count: Int)
    -> Reduction
  {
    let gone = Set(visual).subtracting(stay)
    func singles(_ rows: Range<Int>) -> [[Int]] { rows.filter { !gone.contains($0) }.map { [$0] } }
    let end = visual.last! + 1
    let rows = singles(0..<end) + clusters + singles(end..<count)
    let isCluster = rows.indices.map { $0 >= end - gone.count && $0 < end - gone.count + clusters.count }
    let weights = zip(rows, isCluster).flatMap { row, isCluster in
      row.map { _ in isCluster ? 1 / (Float(row.count) + 1e-6) : 1 }
    }
    return Reduction(rows: rows.map { $0.map(Int32.init) }, of: count, blend: .weighted(weights))
  }

  /// Density peaks: `count` clusters of the rows of x `[m, width]`, each with its center first.
  public static func cluster(_ x: Tensor, into count: Int, noise: [Float], notes: inout Notes) -> [[Int]] {
    let m = x.rows
    let squares = notes.distances(x, x, power: 2)
    let distance = squares.values.map { ($0.squareRoot() / Float(x.width).squareRoot()) }  // [m, m]
    let density = (0..<m).map { row -> Float in
      let nearest = distance[row * m..<(row + 1) * m].sorted().prefix(count)
      let mean = nearest.reduce(0) { $0 + $1 * $1 } / Float(nearest.count)
      return Float(exp(-Double(mean))) + noise[row]
    }
    let farthest = distance.max() ?? 0
    let score = (0..<m).map { row in
      let denser = (0..<m).filter { density[$0] > density[row] }.map { distance[row * m + $0] }
      return (denser.min() ?? farthest) * density[row]
    }
    let centers = notes.top(score, min(count, m))
    var clusters = centers.map { [$0] }
    for row in 0..<m where !centers.contains(row) {
      clusters[argmax(centers.map { -distance[row * m + $0] })!].append(row)
    }
    return clusters
  }
}
