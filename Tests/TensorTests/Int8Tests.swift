import CVTokKernels
import Testing
import VTokTensor

/// Products of 8 bits: one result, whoever computes it.
@Suite struct Int8Tests {
  struct Shape: CustomTestStringConvertible, Sendable {
    let n: Int, rows: Int, columns: Int
    var testDescription: String { "\(n) x \(columns) x \(rows)" }
  }
  static let shapes =
    [1, 2, 3, 5, 6, 7, 13, 16, 17, 31, 32, 33, 65].map { Shape(n: $0, rows: 70, columns: 130) }
    + [(4, 1, 1), (9, 64, 64), (3, 65, 63), (40, 192, 384), (2, 300, 4)].map {
      Shape(n: $0.0, rows: $0.1, columns: $0.2)
    }

  static func noise(_ count: Int, seed: UInt64) -> [Float] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { _ in generator.normal() }
  }

  /// What the definition says, in whole numbers, one element at a time.
  static func expected(_ x: [Float], _ w: [Float], _ shape: Shape) -> [Float] {
    func rounded(_ row: ArraySlice<Float>) -> (values: [Int32], scale: Float) {
      let largest = row.map(abs).max()!
      let scale = largest > 0 ? largest / 127 : 1
      return (row.map { Int32(($0 / scale).rounded(.toNearestOrEven)) }, scale)
    }
    let columns = shape.columns
    let weights = (0..<shape.rows).map { rounded(w[$0 * columns..<($0 + 1) * columns]) }
    return (0..<shape.n).flatMap { row in
      let p = rounded(x[row * columns..<(row + 1) * columns])
      return weights.map { q in
        Float(zip(p.values, q.values).reduce(Int32(0)) { $0 + $1.0 * $1.1 }) * (p.scale * q.scale)
      }
    }
  }

  static func product(
    _ x: [Float], _ panels: Int8Panels, _ n: Int, level: Int, threads: Int = 1, accumulate: Bool = false
  ) -> [Float] {
    var out = [Float](repeating: accumulate ? 1 : -7, count: n * panels.rows)
    panels.multiply(
      x, n, panels.columns, accumulate: accumulate, into: &out, panels.rows, threads: threads, level: level)
    return out
  }

  @Test(arguments: shapes) func everyLevelIsTheDefinition(_ shape: Shape) {
    let x = Self.noise(shape.n * shape.columns, seed: 1)
    let w = Self.noise(shape.rows * shape.columns, seed: 2)
    let panels = Int8Panels(Weight(Tensor(w, shape: [shape.rows, shape.columns])))
    let expected = Self.expected(x, w, shape)
    #expect(Int8Panels.levels.last?.name == "plain")
    for (name, level) in Int8Panels.levels {
      for threads in [1, 3] {
        let isSame = Self.product(x, panels, shape.n, level: level, threads: threads) == expected
        #expect(isSame, "\(name), \(threads) threads")
      }
      let added = Self.product(x, panels, shape.n, level: level, accumulate: true)
      let isSum = zip(added, expected).allSatisfy { $0 == 1 + $1 }
      #expect(isSum, "\(name)")
    }
  }

  /// A row alone has the bits that it has in company, and columns from the middle on those that all have.
  @Test func companyChangesNothing() {
    let shape = Shape(n: 45, rows: 200, columns: 96)
    let x = Self.noise(shape.n * shape.columns, seed: 3)
    let weight = Weight(Tensor(Self.noise(shape.rows * shape.columns, seed: 4), shape: [shape.rows, shape.columns]))
    let panels = Int8Panels(weight)
    let all = Self.product(x, panels, shape.n, level: Int8Panels.bestLevel)
    for row in [0, 7, 44] {
      let alone = Self.product(Array(x[row * 96..<(row + 1) * 96]), panels, 1, level: Int8Panels.bestLevel)
      #expect(alone == Array(all[row * 200..<(row + 1) * 200]))
    }
    var out = [Float](repeating: 0, count: shape.n * shape.rows)
    weight.at(.int8).multiply(x, shape.n, 96, from: 130, into: &out, 200)
    let isSame = (0..<shape.n).allSatisfy {
      out[$0 * 200 + 130..<($0 + 1) * 200] == all[$0 * 200 + 130..<($0 + 1) * 200]
    }
    #expect(isSame)
  }

  /// The largest sums that can be, zeros, and rows that are no numbers: they alone come out as no numbers.
  @Test func extremes() {
    let columns = 60_000
    let w =
      [Float](repeating: 3, count: columns) + [Float](repeating: 0, count: columns)
      + [Float](repeating: -3, count: columns)
    let panels = Int8Panels(Weight(Tensor(w, shape: [3, columns])))
    let most = Float(127 * 127 * columns) * (Float(2) / 127 * (Float(3) / 127))
    let odd: [Float] = [.nan, .infinity, -.infinity]
    for (name, level) in Int8Panels.levels {
      let x = [Float](repeating: 2, count: columns)
      #expect(Self.product(x, panels, 1, level: level) == [most, 0, -most], "\(name)")
      #expect(Self.product([Float](repeating: 0, count: columns), panels, 1, level: level) == [0, 0, 0], "\(name)")
      for value in odd {
        var bad = x
        bad[columns / 2] = value
        let out = Self.product(x + bad, panels, 2, level: level)
        #expect(Array(out[..<3]) == [most, 0, -most] && out[3...].allSatisfy(\.isNaN), "\(name)")
      }
    }
  }

  /// Halves round to even; what is read back is the rounded weight.
  @Test func rounding() {
    let row: [Float] = [127, 0.5, 1.5, 2.5, -0.5, -1.5, 126.5, -127]
    let weight = Weight(Tensor(row + [0, 0, 0, 0, 0, 0, 0, 0], shape: [2, 8])).at(.int8)
    #expect(weight.tensor.values == [127, 0, 2, 2, 0, -2, 126, -127] + [Float](repeating: 0, count: 8))
    #expect(weight.type == nil && weight.packed.tensor.values == weight.tensor.values)
    #expect(weight.at(.int8).tensor.values == weight.tensor.values)
  }

  /// A product stays as near to float32 as 8 bits are.
  @Test func isNearFloat() {
    let (n, rows, columns) = (20, 64, 384)
    let x = Self.noise(n * columns, seed: 5)
    let weight = Weight(Tensor(Self.noise(rows * columns, seed: 6), shape: [rows, columns]))
    let tensor = Tensor(x, shape: [n, columns])
    let exact = Linear(weight: weight, bias: nil)(tensor).values
    let near = Linear(weight: weight, bias: nil).at(.int8)(tensor).values
    let error = zip(exact, near).reduce(Float(0)) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    let size = exact.reduce(Float(0)) { $0 + $1 * $1 }
    #expect((error / size).squareRoot() < 0.02)
  }
}
