import CVTokKernels
import Testing
import VTokTensor

/// Attention with operands of low precision, beside the definition in double.
@Suite struct RoundedAttentionTests {
  struct Case: CustomTestStringConvertible, Sendable {
    let rows: Int, keys: Int, depth: Int
    var isCausal = false, hasBias = false
    var testDescription: String {
      "\(rows) over \(keys) of \(depth)\(isCausal ? ", causal" : "")\(hasBias ? ", biased" : "")"
    }
  }
  static let cases =
    [1, 2, 5, 6, 7, 40].map { Case(rows: $0, keys: 70, depth: 64) }
    + [(1, 1, 1), (3, 64, 72), (9, 33, 80), (13, 129, 130), (7, 16, 8)].map {
      Case(rows: $0.0, keys: $0.1, depth: $0.2)
    }
    + [
      Case(rows: 50, keys: 50, depth: 64, isCausal: true), Case(rows: 20, keys: 90, depth: 32, hasBias: true),
      Case(rows: 33, keys: 40, depth: 64, isCausal: true, hasBias: true),
    ]

  /// Rows of queries, keys and values beside each other, as towers have them; biases.
  static func operands(_ one: Case) -> (rows: [Float], bias: [Float]) {
    let width = 3 * one.depth
    var rows = Int8Tests.noise(max(one.rows, one.keys) * width, seed: UInt64(one.keys))
    for index in rows.indices where index % width < one.depth { rows[index] /= Float(one.depth).squareRoot() }
    return (rows, Int8Tests.noise(one.keys, seed: 9))
  }

  static func visible(_ row: Int, _ one: Case) -> Int { one.isCausal ? min(row + 1, one.keys) : one.keys }

  static func expected(_ one: Case) -> [Double] {
    let (rows, bias) = operands(one)
    let (depth, width) = (one.depth, 3 * one.depth)
    return (0..<one.rows).flatMap { row -> [Double] in
      let logits = (0..<visible(row, one)).map { key in
        (0..<depth).reduce(one.hasBias ? Double(bias[key]) : 0) {
          $0 + Double(rows[row * width + $1]) * Double(rows[key * width + depth + $1])
        }
      }
      let powers = logits.map { exp2(($0 - logits.max()!) / 0.6931471805599453) }
      let sum = powers.reduce(0, +)
      return (0..<depth).map { column in
        powers.indices.reduce(0) { $0 + powers[$1] / sum * Double(rows[$1 * width + 2 * depth + column]) }
      }
    }
  }

  static func exp2(_ x: Double) -> Double {
    let whole = x.rounded(.down)
    var (term, sum) = (1.0, 1.0)
    for k in 1...30 {
      term *= (x - whole) * 0.6931471805599453 / Double(k)
      sum += term
    }
    return sum * Double(sign: .plus, exponent: Int(max(whole, -1000)), significand: 1)
  }

  /// - Parameter blocks: the rows are computed in so many calls.
  static func attention(_ kind: vtok_attention_kind, level: Int, _ one: Case, _ rows: [Float], blocks: Int = 1)
    -> [Float]
  {
    let (depth, width) = (one.depth, 3 * one.depth)
    let memory = Scratch(vtok_attention_bytes(kind, one.keys, depth) / 4 + 16)
    let bias = one.hasBias ? operands(one).bias : nil
    var out = [Float](repeating: .nan, count: one.rows * depth)
    rows.withUnsafeBufferPointer { buffer in
      let x = buffer.baseAddress!
      vtok_attention_begin(kind, x + depth, x + 2 * depth, one.keys, depth, width, memory.pointer)
      out.withUnsafeMutableBufferPointer { out in
        for block in 0..<blocks {
          let first = block * one.rows / blocks
          vtok_attention_rows(
            kind, level, x + first * width, (block + 1) * one.rows / blocks - first, width, one.keys, depth, bias,
            one.isCausal ? first + 1 : 0, out.baseAddress! + first * depth, depth, memory.pointer)
        }
      }
    }
    return out
  }

  static func error(_ values: [Float], _ expected: [Double]) -> Double {
    let squares = zip(values, expected).reduce(0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) }
    return (squares / expected.reduce(0) { $0 + $1 * $1 }).squareRoot()
  }

  @Test(arguments: cases) func bfloat16IsNear(_ one: Case) {
    let expected = Self.expected(one)
    for (name, level) in BF16Panels.levels {
      let out = Self.attention(VTOK_ATTENTION_BF16, level: level, one, Self.operands(one).rows)
      let error = Self.error(out, expected)
      #expect(error < 0.01, "\(name)")
    }
  }

  /// The same bits at every level, and in any number of calls.
  @Test(arguments: cases) func eightBitsAreNearAndTheSame(_ one: Case) {
    let rows = Self.operands(one).rows
    let best = Self.attention(VTOK_ATTENTION_INT8, level: Int8Panels.bestLevel, one, rows)
    let error = Self.error(best, Self.expected(one))
    #expect(error < 0.03)
    for (name, level) in Int8Panels.levels {
      let out = Self.attention(VTOK_ATTENTION_INT8, level: level, one, rows, blocks: min(3, one.rows))
      #expect(out == best, "\(name)")
    }
  }

  /// A query that is no number spoils its row alone, a key every row, a value its column.
  @Test(arguments: [0, 1, 2]) func whatIsNoNumber(part: Int) {
    let one = Case(rows: 9, keys: 20, depth: 16)
    var rows = Self.operands(one).rows
    rows[3 * 48 + part * 16 + 5] = .nan
    func check(_ kind: vtok_attention_kind, _ levels: [(name: String, number: Int)]) {
      for (name, level) in levels {
        let out = Self.attention(kind, level: level, one, rows)
        for (index, value) in out.enumerated() {
          let isSpoilt = [index / 16 == 3, true, index % 16 == 5][part]
          #expect(value.isNaN == isSpoilt, "\(name)")
        }
      }
    }
    check(VTOK_ATTENTION_BF16, BF16Panels.levels)
    check(VTOK_ATTENTION_INT8, Int8Panels.levels)
  }
}
