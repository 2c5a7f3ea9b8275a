import VTokCore
import VTokTensor

extension MustDrop {
  /// The windows of one grid behind a class token, and how similar the patches of each are.
  public struct Windows: Sendable {
    /// Token indices of every window, row-major.
    public let members: [[Int]]
    /// Mean cosine of all pairs of a window.
    public let similarity: [Float]

    public init(_ x: Tensor, rows: Int, columns: Int, edge: Int, notes: inout Notes) {
      let unit = notes.normalised(x)
      let size = edge * edge
      members = (0..<rows / edge * (columns / edge)).map { window in
        let (top, left) = (window / (columns / edge) * edge, window % (columns / edge) * edge)
        return (0..<size).map { 1 + (top + $0 / edge) * columns + left + $0 % edge }
      }
      similarity = members.map { tokens in
        let cosines = notes.product(unit.gathered(tokens), unit.gathered(tokens)).values
        let pairs = cosines.indices.filter { $0 / size != $0 % size }
        return pairs.reduce(0) { $0 + cosines[$1] } / Float(size * (size - 1))
      }
    }

    /// How many windows are similar enough.
    public func count(from limit: Float, notes: inout Notes) -> Int { notes.below(similarity, limit).count { !$0 } }

    /// Class token, the `merged` most similar windows in falling order, then all other patches.
    public func reduction(merging merged: Int) -> Reduction {
      let best = topK(similarity, merged)
      // The official merge goes into the last patch of a window.
      let windows = best.map { members[$0].suffix(1) + members[$0].dropLast() }
      let gone = Set(windows.joined())
      let count = 1 + members.reduce(0) { $0 + $1.count }
      let rest = (1..<count).filter { !gone.contains($0) }.map { [Int32($0)] }
      return Reduction(rows: [[0]] + windows.map { $0.map(Int32.init) } + rest, of: count, blend: .byMass)
    }
  }
}
