import Testing
import VTokTensor

/// Products with weights in blocks: the same bits at every level of the kernels, for a row alone and in company.
@Suite struct BlockWeightTests {
  /// Random blocks whose scales are halves of moderate size.
  static func blocks(_ type: BlockType, rows: Int, columns: Int, seed: UInt64) -> BlockWeight {
    let halves =
      switch type {
      case .q41, .q51, .q4K, .q5K: [0, 2]
      case .q2K: [80, 82]
      case .q3K: [108]
      case .q6K: [208]
      case .q40, .q50, .q80, .iq4NL, .iq4XS: [0]
      }
    var generator = SeededGenerator(seed: seed)
    let count = rows * columns / type.elements
    var bytes = (0..<count * type.bytes).map { _ in UInt8.random(in: 0...255, using: &generator) }
    for block in 0..<count {
      for half in halves {
        let scale = Float16(generator.normal() * 0.01).bitPattern
        bytes[block * type.bytes + half] = UInt8(truncatingIfNeeded: scale)
        bytes[block * type.bytes + half + 1] = UInt8(scale >> 8)
      }
    }
    let memory = Memory(bytes)
    return BlockWeight(rows: rows, columns: columns, type: type, base: memory.base, owner: memory)
  }

  /// Bytes at an odd address.
  final class Memory: @unchecked Sendable {
    let base: UnsafeRawPointer
    private let all: UnsafeMutableRawPointer
    init(_ bytes: [UInt8]) {
      all = .allocate(byteCount: bytes.count + 1, alignment: 64)
      (all + 1).copyMemory(from: bytes, byteCount: bytes.count)
      base = UnsafeRawPointer(all + 1)
    }
    deinit { all.deallocate() }
  }

  static func noise(_ rows: Int, _ columns: Int, seed: UInt64) -> Tensor {
    var generator = SeededGenerator(seed: seed)
    return Tensor((0..<rows * columns).map { _ in generator.normal() }, shape: [rows, columns])
  }

  static func product(_ weight: BlockWeight, _ x: Tensor, level: Int, threads: Int = 1) -> [Float] {
    var out = [Float](repeating: -7, count: x.rows * weight.rows)
    weight.multiply(x.values, x.rows, x.width, into: &out, weight.rows, threads: threads, level: level)
    return out
  }

  /// `[rows of x, rows of w]`: sums over the columns of what `term` makes of two elements.
  static func sums(_ x: Tensor, _ w: [Float], _ term: (Float, Float) -> Double) -> [Double] {
    let columns = x.width
    var sums: [Double] = []
    for row in 0..<x.rows {
      for other in 0..<w.count / columns {
        var sum = 0.0
        for column in 0..<columns { sum += term(x.values[row * columns + column], w[other * columns + column]) }
        sums.append(sum)
      }
    }
    return sums
  }

  @Test func namesAndNumbersOfTypes() {
    for type in BlockType.allCases { #expect(type.elements > 0 && type.bytes > 0, "\(type)") }
    #expect(BlockType.q4K.elements == 256 && BlockType.q4K.bytes == 144 && BlockType.q80.bytes == 34)
    #expect(Set(BlockType.allCases.map(\.number)).count == BlockType.allCases.count)
    #expect(BlockWeight.levels.last?.name == "plain")
  }

  /// Rows of x around the largest numbers that go with one row of W, and that one pass over a panel serves; rows of W that fill no
  /// panel; blocks that fill no eight.
  @Test(arguments: BlockType.allCases) func levelsAgree(_ type: BlockType) {
    for (n, blocks) in [(1, 1), (2, 2), (3, 3), (4, 7), (5, 8), (6, 9), (7, 1), (9, 9), (1, 17), (4, 30), (13, 18)] {
      let columns = type.elements * blocks
      let weight = Self.blocks(type, rows: 83, columns: columns, seed: UInt64(n))
      let x = Self.noise(n, columns, seed: 5)
      let plain = Self.product(weight, x, level: BlockWeight.levels.last!.number)
      for (name, level) in BlockWeight.levels {
        let isSame = Self.product(weight, x, level: level) == plain
        #expect(isSame, "\(name), \(n) x \(blocks) blocks")
      }
    }
  }

  /// What the definition says, in doubles, from whole numbers that were rounded before.
  @Test(arguments: BlockType.allCases) func plainIsTheDefinition(_ type: BlockType) {
    let columns = 6 * 256
    let weight = Self.blocks(type, rows: 37, columns: columns, seed: 21)
    let x = Self.noise(9, columns, seed: 22)
    let rows = BlockRows(for: type, x.values, x.rows, columns, columns)
    let scales = rows.scales(block: type.elements)
    let rounded = Tensor(
      rows.quants.enumerated().map { Float($1) * scales[$0 / type.elements] }, shape: [x.rows, columns])
    let exact = Self.sums(rounded, weight.tensor.values) { Double($0) * Double($1) }
    let largest = Self.sums(rounded, weight.tensor.values) { Double(abs($0 * $1)) }.max()!
    let found = Self.product(weight, x, level: BlockWeight.levels.last!.number)
    let worst = zip(found, exact).reduce(0) { max($0, abs(Double($1.0) - $1.1)) }
    // Q8_1 has sums of x rounded to half, Q8_K whole ones.
    #expect(worst <= ([.q41, .q51].contains(type) ? 1e-4 : 1e-6) * largest, "\(type): \(worst) of \(largest)")
  }

  /// More rows of x than pass one panel.
  @Test(arguments: [BlockType.q40, .q6K]) func manyRows(_ type: BlockType) {
    let weight = Self.blocks(type, rows: 33, columns: 512, seed: 6)
    let x = Self.noise(1300, 512, seed: 7)
    let all = Self.product(weight, x, level: BlockWeight.bestLevel)
    for row in [0, 649, 650, 1299] {
      let one = Tensor(Array(x.values[row * 512..<(row + 1) * 512]), shape: [1, 512])
      #expect(Self.product(weight, one, level: BlockWeight.bestLevel) == Array(all[row * 33..<(row + 1) * 33]))
    }
  }

  @Test(arguments: BlockType.allCases) func companyAndThreadsChangeNothing(_ type: BlockType) {
    let columns = 2304
    let weight = Self.blocks(type, rows: 150, columns: columns, seed: 3)
    let x = Self.noise(7, columns, seed: 4)
    for (name, level) in BlockWeight.levels {
      let all = Self.product(weight, x, level: level)
      #expect(Self.product(weight, x, level: level, threads: 3) == all, "\(name)")
      for row in [0, 3, 6] {
        let one = Tensor(Array(x.values[row * columns..<(row + 1) * columns]), shape: [1, columns])
        let isSame = Self.product(weight, one, level: level) == Array(all[row * 150..<(row + 1) * 150])
        #expect(isSame, "\(name), row \(row)")
      }
    }
  }

  /// The product is that of the exact weights with x as it was rounded.
  @Test func productsAreThoseOfTheValues() {
    for type in BlockType.allCases {
      let columns = 1024
      let weight = Self.blocks(type, rows: 40, columns: columns, seed: 8)
      let x = Self.noise(3, columns, seed: 9)
      let found = weight.multiply(x)
      let w = weight.tensor.values
      #expect(weight.row(17) == Array(w[17 * columns..<18 * columns]))
      let exact = Self.sums(x, w) { Double($0) * Double($1) }
      let size = exact.reduce(0) { max($0, abs($1)) }
      let worst = zip(found.values, exact).reduce(0) { max($0, abs(Double($1.0) - $1.1)) }
      #expect(worst < 0.03 * size, "\(type): \(worst) of \(size)")
    }
  }

  /// Zeros, numbers so small that their scale vanishes, and what is no number: no trap, and zeros for what is small.
  @Test func extremeRows() {
    for (type, size) in [(BlockType.q40, 32), (.q41, 32), (.q4K, 256)] {
      for value in [Float(0), .leastNonzeroMagnitude, 3e-37, 5e-37, 1e-10, 3e38, .infinity, -.infinity, .nan] {
        let x = [Float](repeating: value, count: 256)
        let rows = BlockRows(for: type, x, 1, 256, 256)
        #expect(rows.quants.allSatisfy { (-127...127).contains($0) }, "\(value)")
        if abs(value) < 4e-37 {
          let isZero = rows.quants.allSatisfy { $0 == 0 } && rows.scales(block: size).allSatisfy { $0 == 0 }
          #expect(isZero, "\(value)")
        }
      }
    }
  }
}

extension BlockWeightTests {
  /// Rows that several weights share give what each gives alone: of one type, of types that round alike or not, in another order, in
  /// float32.
  @Test func sharedRows() {
    let (n, columns, rows) = (9, 512, 48)
    let x = Self.noise(n, columns, seed: 31)
    let order = (0..<rows).map { ($0 * 7 + 3) % rows }
    let blocks = { (type: BlockType, seed: UInt64) in
      Weight(Self.blocks(type, rows: rows, columns: columns, seed: seed), rounding: true)
    }
    let weights = [
      blocks(.q40, 1), blocks(.q80, 2), blocks(.q4K, 3).reordered(order), blocks(.q6K, 4), blocks(.q41, 5),
      Weight(Self.blocks(.q40, rows: rows, columns: columns, seed: 6), rounding: false).reordered(order),
      Weight(Self.noise(rows, columns, seed: 7)),
    ]
    for threads in [1, 3] {
      x.values.withUnsafeBufferPointer { values in
        let input = ProductInput(values.baseAddress!, count: n, width: columns, threads: threads)
        for (index, weight) in weights.enumerated() {
          var shared = [Float](repeating: -7, count: n * rows)
          var alone = [Float](repeating: -7, count: n * rows)
          weight.multiply(input, into: &shared, rows, threads: threads)
          weight.multiply(x.values, n, columns, into: &alone, rows)
          #expect(shared == alone, "weight \(index), \(threads) threads")
        }
      }
    }
  }
}
