/// A grid of cells taken to another size: every new cell is a weighted sum of at most four old ones. Bilinear, without
/// antialiasing, corners not aligned (torch's `interpolate`).
struct BilinearCells: Sendable {
  let rows: Int, columns: Int
  private let width: Int
  private let vertical: [Axis], horizontal: [Axis]

  /// Two neighbours along one axis, and the share of the second.
  private struct Axis: Sendable {
    let low: Int, high: Int
    let share: Float
  }

  init(from old: (rows: Int, columns: Int), to new: (rows: Int, columns: Int)) {
    (rows, columns, width) = (new.rows, new.columns, old.columns)
    func axes(_ input: Int, _ output: Int) -> [Axis] {
      (0..<output).map { index in
        let place = max((Double(index) + 0.5) * (Double(input) / Double(output)) - 0.5, 0)
        let low = min(Int(place), input - 1)
        return Axis(low: low, high: min(low + 1, input - 1), share: Float(place - Double(low)))
      }
    }
    vertical = axes(old.rows, new.rows)
    horizontal = axes(old.columns, new.columns)
  }

  /// The old cells, row-major, that a new one is made of, the heaviest first; weights are above 0 and sum to 1.
  func parts(_ row: Int, _ column: Int) -> [(cell: Int, weight: Float)] {
    let (down, across) = (vertical[row], horizontal[column])
    var weights: [Int: Float] = [:]
    for (y, tall) in [(down.low, 1 - down.share), (down.high, down.share)] {
      for (x, wide) in [(across.low, 1 - across.share), (across.high, across.share)] where tall * wide > 0 {
        weights[y * width + x, default: 0] += tall * wide
      }
    }
    return weights.map { (cell: $0, weight: $1) }.sorted { ($1.weight, $0.cell) < ($0.weight, $1.cell) }
  }
}
