import VTokCore
import VTokLibC
import VTokTensor

/// Rotary positions of a tower: every patch row turns queries and keys by angles of its own coordinates. Prefix rows are
/// not turned. (`vit-towers`, section 1: DINOv3, arXiv 2508.10104; EVA-02, arXiv 2303.11331.)
struct TowerRotary: Sendable, Equatable {
  /// What a coordinate is.
  enum Grid: Sendable, Equatable {
    /// Centres of cells from -1 to 1, every axis by its own number of them (DINOv3).
    case centred
    /// Cells of a grid of so many rows and columns, which the picture's own is stretched to (EVA-02).
    case reference(rows: Int, columns: Int)
  }

  let grid: Grid
  /// Radians by which a unit of a coordinate turns each pair, those of rows and columns alike. `[headDim / 4]`
  let frequencies: [Float]

  /// - Parameter headDim: a multiple of 4.
  init(_ grid: Grid, theta: Double, headDim: Int) {
    self.grid = grid
    let steps = (0..<headDim / 4).map { pow(theta, -4 * Double($0) / Double(headDim)) }
    frequencies = steps.map { Float($0) }
  }

  /// Of the rows entering block 0.
  func coordinates(prefix: Int, rows: Int, columns: Int) -> [Coordinate] {
    func axis(_ count: Int, _ reference: Int?) -> [Float] {
      (0..<count).map { index in
        reference.map { Float(index) / Float(count) * Float($0) } ?? 2 * (Float(index) + 0.5) / Float(count) - 1
      }
    }
    let (vertical, horizontal) =
      switch grid {
      case .centred: (axis(rows, nil), axis(columns, nil))
      case .reference(let height, let width): (axis(rows, height), axis(columns, width))
      }
    return [Coordinate](repeating: Coordinate(row: 0, column: 0), count: prefix)
      + vertical.flatMap { row in horizontal.map { Coordinate(row: row, column: $0) } }
  }

  /// The turns of all rows as they are now.
  func callAsFunction(_ tokens: TokenSequence) -> Rotary {
    let unit: Float = grid == .centred ? 2 * .pi : 1
    var angles: [Float] = []
    angles.reserveCapacity(tokens.count * 2 * frequencies.count)
    for (kind, place) in zip(tokens.kind, tokens.coordinate) {
      for coordinate in [place.row, place.column] {
        let turn = kind == .patch ? unit * coordinate : 0
        for frequency in frequencies { angles.append(turn * frequency) }
      }
    }
    return Rotary(angles: angles, half: 2 * frequencies.count)
  }
}
