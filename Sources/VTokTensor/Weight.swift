import CVTokKernels

/// Element types of weights as they lie in a file.
public enum WeightType: String, Sendable, CaseIterable {
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  public var size: Int { self == .f32 ? 4 : 2 }
}

/// A matrix `[rows, columns]` of weights, kept where and how it is stored. Half types are widened block by block while
/// multiplying (half the memory); `packed` makes a float32 copy in the order of the kernels for small hot models, `at(_:)` one
/// of lower precision.
///
/// A product gives every token the same bits in any company, on any number of threads and from any float32 layout; only
/// up to four tokens on stored weights, as in decoding, are summed in another order (`vtok_dots`).
public struct Weight: Sendable {
  public let rows: Int, columns: Int
  private let form: Form

  private enum Form: Sendable {
    case stored(StoredWeight)
    /// float32 in panels (`vtok_pack`).
    case packed(WeightMemory)
    /// In an order or a form of their own.
    case panels(any WeightPanels)
  }

  /// - Parameters:
  ///   - base: `rows * columns` elements of `type`, row-major, alive as long as `owner`.
  package init(rows: Int, columns: Int, type: WeightType, base: UnsafeRawPointer, owner: AnyObject & Sendable) {
    self.init(rows, columns, .stored(StoredWeight(type: type, base: base, owner: owner)))
  }

  private init(_ rows: Int, _ columns: Int, _ form: Form) {
    self.rows = rows
    self.columns = columns
    self.form = form
  }

  private init(rows: Int, columns: Int, _ memory: WeightMemory) {
    self.init(rows: rows, columns: columns, type: .f32, base: UnsafeRawPointer(memory.pointer), owner: memory)
  }

  /// Weights in blocks, where and as a file holds them.
  /// - Parameter rounding: whether products round the rows of x too and multiply whole numbers, as llama.cpp does; else they
  ///   are float32 products with the exact values of the weights, which are widened on the way.
  package init(_ blocks: BlockWeight, rounding: Bool) {
    self.init(blocks.rows, blocks.columns, .panels(BlockPanels(blocks, precision: rounding ? .file : .f32)))
  }

  public init(_ tensor: Tensor) {
    let memory = WeightMemory(tensor.values.count)
    memory.pointer.update(from: tensor.values, count: tensor.values.count)
    self.init(rows: tensor.rows, columns: tensor.width, memory)
  }

  /// Several matrices of equal width on top of each other, as float32. (Separate q, k and v become one product.)
  public static func stacked(_ parts: [Weight]) -> Weight {
    let columns = parts[0].columns
    precondition(parts.allSatisfy { $0.columns == columns })
    let rows = parts.reduce(0) { $0 + $1.rows }
    let memory = WeightMemory(rows * columns)
    var row = 0
    for part in parts {
      part.widen(rows: 0..<part.rows, into: memory.pointer + row * columns)
      part.forget(rows: 0..<part.rows)
      row += part.rows
    }
    return Weight(rows: rows, columns: columns, memory)
  }

  /// The same matrix with its rows in another order; they stay where they are.
  /// - Parameter order: of every row, where it is now; each once.
  package func reordered(_ order: [Int]) -> Weight { Weight(rows, columns, .panels(ReorderedRows(self, order))) }

  /// Of the products; `.file` where they are those of blocks in a file.
  package var precision: Precision { if case .panels(let panels) = form { panels.precision } else { .f32 } }

  /// Type of the elements as stored; nil for a copy in the order of the kernels.
  public var type: WeightType? { if case .stored(let stored) = form { stored.type } else { nil } }

  /// A float32 copy in panels, so that no product has to copy the weights anew. What has been rounded stays as it is.
  public var packed: Weight {
    guard case .stored(let stored) = form else {
      if case .panels = form, precision == .f32 { return widened.packed }
      return self
    }
    let memory = WeightMemory((rows + Self.panel - 1) / Self.panel * Self.panel * columns)
    vtok_pack(stored.matrix(columns), 0, rows, 0, columns, memory.pointer)
    forget(rows: 0..<rows)
    return Weight(rows, columns, .packed(memory))
  }

  /// The same weights for products of this precision; `.f32` and `.file` change nothing. Reads the weights panel by panel, from
  /// a mapped file too. What has been rounded stays as it is.
  public func at(_ precision: Precision, threads: Int = 1) -> Weight {
    if self.precision != .f32 { return self }
    switch precision {
    case .f32, .file: return self
    case .bf16: return Weight(rows, columns, .panels(BF16Panels(self, threads: threads)))
    case .int8: return Weight(rows, columns, .panels(Int8Panels(self, threads: threads)))
    case .int4:
      // A width that is no whole number of groups: 8 bits are the next more exact.
      guard BlockWeight.fits(self) else { return at(.int8, threads: threads) }
      let blocks = BlockWeight(rounding: self, threads: threads)
      return Weight(rows, columns, .panels(BlockPanels(blocks, precision: .int4)))
    }
  }

  /// The same weights as float32 in memory of their own, row by row.
  public var widened: Weight { type == .f32 ? self : .stacked([self]) }

  /// All elements as float32.
  public var tensor: Tensor {
    Tensor(shape: [rows, columns]) { widen(rows: 0..<rows, into: $0) }
  }

  /// Row `index` as float32.
  public func row(_ index: Int) -> [Float] {
    [Float](unsafeUninitializedCapacity: columns) { buffer, count in
      widen(rows: index..<index + 1, into: buffer.baseAddress!)
      count = columns
    }
  }

  package func widen(rows range: Range<Int>, into out: UnsafeMutablePointer<Float>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= rows)
    switch form {
    case .stored(let stored): stored.widen(from: range.lowerBound * columns, range.count * columns, into: out)
    case .packed(let memory):
      for (index, row) in range.enumerated() {
        let panel = memory.pointer + row / Self.panel * Self.panel * columns + row % Self.panel
        for column in 0..<columns { out[index * columns + column] = panel[column * Self.panel] }
      }
    case .panels(let panels): panels.widen(rows: range, into: out)
    }
  }

  /// Rows that were read once and will not be for long may leave memory, where they lie in a mapped file.
  func forget(rows range: Range<Int>) {
    guard case .stored(let stored) = form, let memory = stored.owner as? any MappedMemory else { return }
    let rowBytes = columns * stored.type.size
    memory.forget(
      UnsafeRawBufferPointer(start: stored.base + range.lowerBound * rowBytes, count: range.count * rowBytes))
  }

  /// `out = x W^T`, or `out += x W^T`, for x `[n, columns]`, out `[n, rows]` with row strides `ldx`, `ldo`. Threads split the
  /// rows of W.
  /// - Parameter wanted: the first row of W that is wanted; up to a panel of rows before it may come with it.
  package func multiply(
    _ x: UnsafePointer<Float>, _ n: Int, _ ldx: Int, from wanted: Int = 0, accumulate: Bool = false,
    into out: UnsafeMutablePointer<Float>, _ ldo: Int, threads: Int = 1
  ) {
    guard let matrix else {
      guard case .panels(let panels) = form else { return }
      return panels.multiply(
        x, n, ldx, from: wanted, accumulate: accumulate, into: out, ldo, threads: threads)
    }
    let out = Shared(out)
    let x = Shared(UnsafeMutablePointer(mutating: x))
    let isPacked = matrix.packed != 0
    let unit = 4 * Self.panel
    let start = wanted / Self.panel * Self.panel
    let units = (rows - start + unit - 1) / unit
    let parts = threads <= 1 ? 1 : min(units, 4 * threads)
    parallel(parts, threads: threads) { part in
      let first = start + part * units / parts * unit
      let count = min(start + (part + 1) * units / parts * unit, rows) - first
      let matrix = self.matrix!
      if n <= 4 && !isPacked {
        vtok_dots(x.pointer, n, ldx, matrix, first, count, accumulate ? 1 : 0, out.pointer + first, ldo)
      } else {
        let scratch = Scratch(isPacked ? 0 : vtok_matrix.panels)
        vtok_product(
          x.pointer, n, ldx, matrix, first, count, accumulate ? 1 : 0, out.pointer + first, ldo, scratch.pointer)
      }
    }
  }

  /// `out = x W^T` for rows that other weights multiply too.
  package func multiply(_ x: ProductInput, into out: UnsafeMutablePointer<Float>, _ ldo: Int, threads: Int = 1) {
    precondition(x.width == columns, "a product of width \(columns) got rows of \(x.width)")
    if case .panels(let panels) = form { return panels.multiply(x, into: out, ldo, threads: threads) }
    multiply(x.rows, x.count, x.width, into: out, ldo, threads: threads)
  }

  /// `out = y W` for y `[n, rows]`, out `[n, columns]` with row strides `ldy`, `ldo`: what a gradient after the product is
  /// before it. One thread; float32 weights only.
  package func multiplyBack(
    _ y: UnsafePointer<Float>, _ n: Int, _ ldy: Int, into out: UnsafeMutablePointer<Float>, _ ldo: Int
  ) {
    guard var back = matrix else { preconditionFailure("a gradient through rounded weights") }
    let scratch = Scratch(vtok_matrix.panels)
    guard case .packed(let memory) = form else {
      (back.depth, back.transposed) = (rows, 1)
      return vtok_product(y, n, ldy, back, 0, columns, 0, out, ldo, scratch.pointer)
    }
    // A panel is the transpose of `panel` rows, row by row.
    for first in stride(from: 0, to: rows, by: Self.panel) {
      let back = vtok_matrix(
        base: memory.pointer + first * columns, type: VTOK_F32, depth: min(Self.panel, rows - first),
        stride: Self.panel,
        transposed: 0, packed: 0)
      vtok_product(y + first, n, ldy, back, 0, columns, first > 0 ? 1 : 0, out, ldo, scratch.pointer)
    }
  }

  private static let panel = vtok_panel()

  /// As the float32 kernels take it; nil for rounded weights.
  private var matrix: vtok_matrix? {
    switch form {
    case .stored(let stored): stored.matrix(columns)
    case .packed(let memory):
      vtok_matrix(base: memory.pointer, type: VTOK_F32, depth: columns, stride: columns, transposed: 0, packed: 1)
    case .panels: nil
    }
  }
}

/// Weights in another form than that of the float32 kernels.
package protocol WeightPanels: AnyObject, Sendable {
  /// Of the products; all but `.f32` round the rows of x.
  var precision: Precision { get }
  /// As `Weight.multiply`.
  func multiply(
    _ x: UnsafePointer<Float>, _ n: Int, _ ldx: Int, from wanted: Int, accumulate: Bool,
    into out: UnsafeMutablePointer<Float>, _ ldo: Int, threads: Int)
  /// The same for rows that other weights multiply too.
  func multiply(_ x: ProductInput, into out: UnsafeMutablePointer<Float>, _ ldo: Int, threads: Int)
  /// Rows as float32.
  func widen(rows: Range<Int>, into out: UnsafeMutablePointer<Float>)
}

extension WeightPanels {
  package func multiply(_ x: ProductInput, into out: UnsafeMutablePointer<Float>, _ ldo: Int, threads: Int) {
    multiply(x.rows, x.count, x.width, from: 0, accumulate: false, into: out, ldo, threads: threads)
  }
}

/// Bytes of a file in memory: what is forgotten comes back when it is read again.
package protocol MappedMemory: AnyObject {
  func forget(_ part: UnsafeRawBufferPointer)
}

/// Elements as they lie in a file or an array, row by row.
private struct StoredWeight: @unchecked Sendable {
  let type: WeightType
  let base: UnsafeRawPointer
  let owner: AnyObject & Sendable  // keeps `base` alive: a mapped file or a boxed array

  func matrix(_ columns: Int) -> vtok_matrix {
    let element =
      switch type {
      case .f32: VTOK_F32
      case .f16: VTOK_F16
      case .bf16: VTOK_BF16
      }
    return vtok_matrix(base: base, type: element, depth: columns, stride: columns, transposed: 0, packed: 0)
  }

  func widen(from first: Int, _ count: Int, into out: UnsafeMutablePointer<Float>) {
    let source = base + first * type.size
    switch type {
    case .f32: out.update(from: source.assumingMemoryBound(to: Float.self), count: count)
    case .f16: vtok_widen_f16(source.assumingMemoryBound(to: UInt16.self), count, out)
    case .bf16: vtok_widen_bf16(source.assumingMemoryBound(to: UInt16.self), count, out)
    }
  }
}

private final class WeightMemory: @unchecked Sendable {
  let pointer: UnsafeMutablePointer<Float>
  init(_ count: Int) {
    let raw = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1) * 4, alignment: 64)
    pointer = raw.bindMemory(to: Float.self, capacity: count)
  }
  deinit { UnsafeMutableRawPointer(pointer).deallocate() }
}
