import CVTokKernels
import Testing
import VTokTensor

/// Products of bfloat16: near the exact ones at every level, whoever computes them.
@Suite struct BF16Tests {
  typealias Shape = Int8Tests.Shape

  static func rounded(_ x: Float) -> Float {
    let bits = x.bitPattern
    return Float(bitPattern: (bits &+ 0x7fff &+ (bits >> 16 & 1)) & 0xffff_0000)
  }

  /// Products of the rounded numbers in double, and how far float32 sums of so many may be off.
  static func expected(_ x: [Float], _ w: [Float], _ shape: Shape) -> [(value: Double, tolerance: Double)] {
    let columns = shape.columns
    let (p, q) = (x.map { Double(rounded($0)) }, w.map { Double(rounded($0)) })
    return (0..<shape.n).flatMap { row in
      (0..<shape.rows).map { column in
        var (sum, size) = (0.0, 0.0)
        for k in 0..<columns {
          let product = p[row * columns + k] * q[column * columns + k]
          sum += product
          size += abs(product)
        }
        return (sum, size * Double(columns) * 0x1p-24 + 1e-30)
      }
    }
  }

  static func product(
    _ x: [Float], _ panels: BF16Panels, _ n: Int, level: Int, threads: Int = 1, accumulate: Bool = false
  ) -> [Float] {
    var out = [Float](repeating: accumulate ? 1 : .nan, count: n * panels.rows)
    panels.multiply(
      x, n, panels.columns, accumulate: accumulate, into: &out, panels.rows, threads: threads, level: level)
    return out
  }

  @Test(arguments: Int8Tests.shapes + [4, 8, 12, 80].map { Shape(n: $0, rows: 130, columns: 62) })
  func everyLevelIsNear(_ shape: Shape) {
    let x = Int8Tests.noise(shape.n * shape.columns, seed: 1)
    let w = Int8Tests.noise(shape.rows * shape.columns, seed: 2)
    let panels = BF16Panels(Weight(Tensor(w, shape: [shape.rows, shape.columns])))
    let expected = Self.expected(x, w, shape)
    #expect(BF16Panels.levels.last?.name == "plain")
    for (name, level) in BF16Panels.levels {
      let one = Self.product(x, panels, shape.n, level: level)
      let isNear = zip(one, expected).allSatisfy { abs(Double($0) - $1.value) <= $1.tolerance }
      #expect(isNear, "\(name)")
      #expect(Self.product(x, panels, shape.n, level: level, threads: 3) == one, "\(name), threads")
      let added = Self.product(x, panels, shape.n, level: level, accumulate: true)
      let isSum = zip(added, expected).allSatisfy { abs(Double($0) - 1 - $1.value) <= $1.tolerance + 1e-5 }
      #expect(isSum, "\(name)")
    }
  }

  /// Rows have the same bits in any company, up to the six that tiles leave to other instructions; columns from the middle on
  /// are those that all have.
  @Test func companyChangesNothing() {
    let shape = Shape(n: 45, rows: 200, columns: 96)
    let x = Int8Tests.noise(shape.n * shape.columns, seed: 3)
    let weight = Weight(
      Tensor(Int8Tests.noise(shape.rows * shape.columns, seed: 4), shape: [shape.rows, shape.columns]))
    let panels = BF16Panels(weight)
    for (name, level) in BF16Panels.levels where name != "amx" {
      let all = Self.product(x, panels, shape.n, level: level)
      for row in [0, 7, 44] {
        let alone = Self.product(Array(x[row * 96..<(row + 1) * 96]), panels, 1, level: level)
        #expect(alone == Array(all[row * 200..<(row + 1) * 200]), "\(name)")
      }
    }
    let all = Self.product(x, panels, shape.n, level: BF16Panels.bestLevel)
    var out = [Float](repeating: 0, count: shape.n * shape.rows)
    weight.at(.bf16).multiply(x, shape.n, 96, from: 130, into: &out, 200)
    let isSame = (0..<shape.n).allSatisfy {
      out[$0 * 200 + 130..<($0 + 1) * 200] == all[$0 * 200 + 130..<($0 + 1) * 200]
    }
    #expect(isSame)
  }

  /// What is no number stays in its row; so does what is larger than bfloat16 can say.
  @Test func extremes() {
    let columns = 100
    let w = [Float](repeating: 3, count: columns) + [Float](repeating: -3, count: columns)
    let panels = BF16Panels(Weight(Tensor(w, shape: [2, columns])))
    let x = [Float](repeating: 2, count: columns)
    for (name, level) in BF16Panels.levels {
      #expect(Self.product(x, panels, 1, level: level) == [600, -600], "\(name)")
      for (value, expected) in [(Float.nan, Float.nan), (.infinity, .infinity), (.greatestFiniteMagnitude, .infinity)] {
        var bad = x
        bad[columns / 2] = value
        let out = Self.product(x + bad, panels, 2, level: level)
        #expect(Array(out[..<2]) == [600, -600], "\(name)")
        let isRight = expected.isNaN ? out[2].isNaN && out[3].isNaN : Array(out[2...]) == [.infinity, -.infinity]
        #expect(isRight, "\(name)")
      }
      // A NaN whose payload lies in the bits that are cut off.
      var odd = x
      odd[3] = Float(bitPattern: 0x7f80_0001)
      let isOdd = Self.product(odd, panels, 1, level: level).allSatisfy(\.isNaN)
      #expect(isOdd, "\(name)")
    }
  }

  /// Halves round to even; what is read back is the rounded weight.
  @Test func rounding() {
    let row: [Float] = [1, 1 + 0x1p-8, 1 + 3 * 0x1p-8, 1 + 0x1p-8 + 0x1p-20, -1 - 0x1p-8, 0, 0x1p-126, 3.14159]
    let weight = Weight(Tensor(row, shape: [1, 8])).at(.bf16)
    #expect(weight.tensor.values == [1, 1, 1 + 0x1p-6, 1 + 0x1p-7, -1, 0, 0x1p-126, 3.140625])
    #expect(weight.type == nil && weight.precision == .bf16 && weight.packed.tensor.values == weight.tensor.values)
    #expect(weight.at(.int8).tensor.values == weight.tensor.values)
  }

  /// Panels of a matrix and of its transpose, whole and with edges.
  @Test(arguments: [(1, 1), (64, 64), (70, 33), (197, 64), (130, 130)]) func packing(count: Int, depth: Int) {
    let w = Tensor(Int8Tests.noise(count * depth, seed: 7), shape: [count, depth])
    let size = (count + 63) / 64 * 64 * vtok_bf16_depth(depth)
    var (rows, columns) = ([UInt16](repeating: 9, count: size), [UInt16](repeating: 8, count: size))
    vtok_bf16_pack(w.values, 0, count, depth, depth, &rows)
    vtok_bf16_pack(w.transposed.values, 1, count, depth, count, &columns)
    #expect(rows == columns)
    for row in 0..<count {
      var out = [Float](repeating: 0, count: depth)
      vtok_bf16_widen(rows, depth, row, &out)
      #expect(out == w.row(row).map(Self.rounded))
    }
  }
}
