import CVTokKernels

/// Types of weights whose elements lie in blocks that share scales, as GGUF files have them.
public enum BlockType: String, Sendable, CaseIterable {
  case q40 = "Q4_0"
  case q41 = "Q4_1"
  case q50 = "Q5_0"
  case q51 = "Q5_1"
  case q80 = "Q8_0"
  case q2K = "Q2_K"
  case q3K = "Q3_K"
  case q4K = "Q4_K"
  case q5K = "Q5_K"
  case q6K = "Q6_K"
  case iq4NL = "IQ4_NL"
  case iq4XS = "IQ4_XS"

  /// The number that stands for it in a GGUF file.
  public var number: UInt32 {
    switch self {
    case .q40: 2
    case .q41: 3
    case .q50: 6
    case .q51: 7
    case .q80: 8
    case .q2K: 10
    case .q3K: 11
    case .q4K: 12
    case .q5K: 13
    case .q6K: 14
    case .iq4NL: 20
    case .iq4XS: 23
    }
  }

  /// Elements of one block: 32 or 256.
  public var elements: Int { vtok_gguf_elements(number) }
  /// Bytes of one block.
  public var bytes: Int { vtok_gguf_bytes(number) }
  /// GGUF's number of the type that rows of x are rounded to.
  var activation: UInt32 { vtok_gguf_activation(number) }

  /// The exact values of `count` elements, a multiple of `elements`, from any address.
  package func dequantise(_ blocks: UnsafeRawPointer, _ count: Int, into out: UnsafeMutablePointer<Float>) {
    precondition(count % elements == 0)
    vtok_gguf_dequantise(number, blocks, count, out)
  }
}

/// A matrix `[rows, columns]` of weights in blocks, where and as a file holds it.
///
/// A product rounds the rows of x to 8 bits in blocks of their own and multiplies whole numbers, as llama.cpp does on
/// CPUs: it is the product with x as rounded, about 0.4% of the largest number of a block off. Blocks are added in float32 in one
/// order: a row of x has the same bits on every processor, in any company and on any number of threads.
public struct BlockWeight: @unchecked Sendable {
  public let rows: Int, columns: Int
  public let type: BlockType
  private let base: UnsafeRawPointer
  private let owner: AnyObject & Sendable  // keeps `base` alive

  /// - Parameters:
  ///   - columns: a multiple of the type's `elements`.
  ///   - base: `rows` rows of whole blocks one after the other, at any address, alive as long as `owner`.
  package init(rows: Int, columns: Int, type: BlockType, base: UnsafeRawPointer, owner: AnyObject & Sendable) {
    precondition(columns % type.elements == 0)
    self.rows = rows
    self.columns = columns
    self.type = type
    self.base = base
    self.owner = owner
  }

  /// Bytes from one row to the next.
  public var rowBytes: Int { columns / type.elements * type.bytes }

  /// All elements as float32.
  public var tensor: Tensor { Tensor(shape: [rows, columns]) { widen(rows: 0..<rows, into: $0) } }

  /// Row `index` as float32, exactly.
  public func row(_ index: Int) -> [Float] {
    [Float](unsafeUninitializedCapacity: columns) { buffer, count in
      widen(rows: index..<index + 1, into: buffer.baseAddress!)
      count = columns
    }
  }

  /// The rows from `first` on, where they lie.
  package func from(row first: Int) -> BlockWeight {
    precondition((0...rows).contains(first))
    return BlockWeight(
      rows: rows - first, columns: columns, type: type, base: base + first * rowBytes, owner: owner)
  }

  package func widen(rows range: Range<Int>, into out: UnsafeMutablePointer<Float>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= rows)
    type.dequantise(base + range.lowerBound * rowBytes, range.count * columns, into: out)
  }

  /// `x W^T` for x `[n, columns]`, result `[n, rows]`.
  public func multiply(_ x: Tensor, threads: Int = 1) -> Tensor {
    precondition(x.width == columns, "a product of width \(columns) got rows of \(x.width)")
    return Tensor(shape: Array(x.shape.dropLast()) + [rows]) { out in
      multiply(x.values, x.rows, x.width, into: out, rows, threads: threads)
    }
  }

  /// `out = x W^T` for x `[n, columns]`, out `[n, rows]` with row strides `ldx`, `ldo`. Threads split the rows of W.
  package func multiply(
    _ x: UnsafePointer<Float>, _ n: Int, _ ldx: Int, into out: UnsafeMutablePointer<Float>, _ ldo: Int,
    threads: Int = 1, level: Int = bestLevel
  ) {
    multiply(BlockRows(for: type, x, n, columns, ldx, threads: threads), into: out, ldo, threads: threads, level: level)
  }

  /// The same for rows that were rounded before, which several matrices may share.
  package func multiply(
    _ x: BlockRows, into out: UnsafeMutablePointer<Float>, _ ldo: Int, threads: Int = 1, level: Int = bestLevel
  ) {
    precondition(x.columns == columns && x.activation == type.activation)
    let out = Shared(out)
    parallel(0..<rows, unit: Self.unit, threads: threads) { first, count in
      var rounded = x.rows
      vtok_gguf_product(level, type.number, base, first, count, &rounded, x.count, out.pointer + first, ldo)
    }
  }

  /// Rows of W that one thread takes at least.
  private static let unit = 32

  /// Of the kernels.
  package static let levels = KernelLevels.running(VTOK_GGUF_PRODUCT)
  package static let bestLevel = vtok_best_level(VTOK_GGUF_PRODUCT)
}

/// Rows of x rounded for products with weights in blocks: Q8_0, Q8_1 or Q8_K.
package final class BlockRows: @unchecked Sendable {
  package let count: Int, columns: Int
  /// GGUF's number of the type that they were rounded to.
  package let activation: UInt32
  fileprivate let rows: vtok_gguf_rows

  /// - Parameter type: of the weights; types with the same activations share rows.
  package init(
    for type: BlockType, _ x: UnsafePointer<Float>, _ n: Int, _ columns: Int, _ ldx: Int, threads: Int = 1
  ) {
    let activation = type.activation
    let elements = type.elements
    count = n
    self.columns = columns
    self.activation = activation
    rows = vtok_gguf_rows(
      columns: columns, quants: .allocate(capacity: n * columns), scales: .allocate(capacity: n * columns / elements),
      groups: .allocate(capacity: n * columns / 16), sums: .allocate(capacity: n * columns / 32))
    let all = SharedRows(rows: rows)
    let x = Shared(UnsafeMutablePointer(mutating: x))
    let parts = max(1, min(threads, n))
    parallel(parts, threads: threads) { part in
      let first = part * n / parts
      var own = vtok_gguf_rows(
        columns: columns, quants: all.rows.quants + first * columns,
        scales: all.rows.scales + first * columns / elements, groups: all.rows.groups + first * columns / 16,
        sums: all.rows.sums + first * columns / 32)
      vtok_gguf_round(activation, x.pointer + first * ldx, (part + 1) * n / parts - first, ldx, &own)
    }
  }

  deinit {
    rows.quants.deallocate()
    rows.scales.deallocate()
    rows.groups.deallocate()
    rows.sums.deallocate()
  }

  private struct SharedRows: @unchecked Sendable { let rows: vtok_gguf_rows }

  // MARK: What was rounded

  /// `[count, columns]`
  package var quants: [Int8] { Array(UnsafeBufferPointer(start: rows.quants, count: count * columns)) }
  /// `[count, columns / block]`
  package func scales(block: Int) -> [Float] {
    Array(UnsafeBufferPointer(start: rows.scales, count: count * columns / block))
  }
  /// Sums of 16 quants, `[count, columns / 16]`.
  package var groups: [Int16] { Array(UnsafeBufferPointer(start: rows.groups, count: count * columns / 16)) }
  /// Of Q8_1, `[count, columns / 32]`: the scale times the sum of the quants of each block.
  package var sums: [Float] { Array(UnsafeBufferPointer(start: rows.sums, count: count * columns / 32)) }
}
