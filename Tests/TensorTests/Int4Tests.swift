import Testing
import VTokTensor

/// Products of 4-bit weights in groups of 32.
@Suite struct Int4Tests {
  /// What the definition says, in doubles, from the rounded weights that `widen` gives.
  static func expected(_ x: [Float], _ weight: Weight, _ n: Int) -> [Float] {
    let columns = weight.columns
    let w = weight.tensor.values
    return (0..<n).flatMap { row in
      (0..<weight.rows).map { column in
        var sum = 0.0
        for start in stride(from: 0, to: columns, by: 32) {
          let group = x[row * columns + start..<row * columns + start + 32]
          let largest = group.map(abs).max()!
          guard largest > 0 else { continue }
          let scale = Double(Float(Float16(largest / 127)))
          for (offset, value) in group.enumerated() {
            let rounded = (value * (127 / largest)).rounded(.toNearestOrEven)
            sum += Double(rounded) * scale * Double(w[column * columns + start + offset])
          }
        }
        return Float(sum)
      }
    }
  }

  @Test(arguments: [(1, 64, 32), (2, 70, 96), (3, 1, 320), (4, 129, 64), (5, 200, 128), (17, 65, 256)])
  func everyLevelIsTheDefinition(n: Int, rows: Int, columns: Int) {
    let x = Int8Tests.noise(n * columns, seed: 1)
    let weight = Weight(Tensor(Int8Tests.noise(rows * columns, seed: 2), shape: [rows, columns])).at(.int4, threads: 2)
    let blocks = BlockWeight(
      rounding: Weight(Tensor(Int8Tests.noise(rows * columns, seed: 2), shape: [rows, columns])))
    #expect(blocks.tensor.values == weight.tensor.values)
    let expected = Self.expected(x, weight, n)
    let size = expected.map(abs).max()!
    var product = [Float](repeating: -7, count: n * rows)
    weight.multiply(x, n, columns, into: &product, rows, threads: 3)
    let worst = zip(product, expected).map { abs($0 - $1) }.max()!
    #expect(worst < 2e-6 * size)
    for (name, level) in BlockWeight.levels {
      var out = [Float](repeating: -7, count: n * rows)
      blocks.multiply(x, n, columns, into: &out, rows, level: level)
      #expect(out == product, "\(name)")
    }
    var added = [Float](repeating: 1, count: n * rows)
    weight.multiply(x, n, columns, accumulate: true, into: &added, rows)
    let isSum = zip(added, product).allSatisfy { $0 == 1 + $1 }
    #expect(isSum)
  }

  /// A number that is not finite makes its block NaN, of weights and of rows, and no other.
  @Test func whatIsNoNumber() {
    for value in [Float.nan, .infinity, -.infinity] {
      var numbers = Int8Tests.noise(2 * 96, seed: 4)
      numbers[40] = value
      let weight = Weight(Tensor(numbers, shape: [2, 96])).at(.int4).tensor.values
      let bad = weight.indices.filter { !weight[$0].isFinite }
      #expect(bad == Array(32..<64), "\(value)")
      let plain = Weight(Tensor(Int8Tests.noise(5 * 96, seed: 5), shape: [5, 96])).at(.int4)
      var out = [Float](repeating: 0, count: 10)
      plain.multiply(numbers, 2, 96, into: &out, 5)
      #expect(out[..<5].allSatisfy(\.isNaN) && out[5...].allSatisfy(\.isFinite), "\(value)")
    }
  }

  /// The codes of ggml's Q4_0: the largest magnitude becomes -8 steps, the rest is cut after adding a half.
  @Test func rounding() {
    var row = [Float](repeating: 0, count: 32)
    (row[0], row[1], row[2], row[3], row[31]) = (-8, 7, 0.4, 0.6, 7.9)
    let weight = Weight(Tensor(row, shape: [1, 32])).at(.int4)
    var expected = [Float](repeating: 0, count: 32)
    (expected[0], expected[1], expected[3], expected[31]) = (-8, 7, 1, 7)
    #expect(weight.tensor.values == expected)
    #expect(
      Weight(Tensor([Float](repeating: 0, count: 32), shape: [1, 32])).at(.int4).tensor.values.allSatisfy { $0 == 0 })
  }

  /// Rows that are no whole groups take 8 bits.
  @Test func oddWidths() {
    let weight = Weight(Tensor(Int8Tests.noise(3 * 40, seed: 3), shape: [3, 40]))
    #expect(weight.at(.int4).tensor.values == weight.at(.int8).tensor.values)
  }

  @Test func isNearFloat() {
    let (n, rows, columns) = (20, 64, 384)
    let x = Tensor(Int8Tests.noise(n * columns, seed: 5), shape: [n, columns])
    let linear = Linear(
      weight: Weight(Tensor(Int8Tests.noise(rows * columns, seed: 6), shape: [rows, columns])), bias: nil)
    let exact = linear(x).values
    let near = linear.at(.int4)(x).values
    let error = zip(exact, near).reduce(Float(0)) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    #expect((error / exact.reduce(Float(0)) { $0 + $1 * $1 }).squareRoot() < 0.15)
  }
}
