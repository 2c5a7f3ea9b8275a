import CVTokKernels

/// Element types of weights as they lie in a file.
public enum WeightType: String, Sendable, CaseIterable {
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  public var size: Int { self == .f32 ? 4 : 2 }
}

/// A matrix `[rows, columns]` of weights, kept where and how it is stored. Half types are widened block by block while
/// multiplying (half the memory); `packed` makes a float32 copy in the order of the kernels for small hot models.
///
/// A product gives every token the same bits in any company, on any number of threads and from any of these layouts; only
/// up to four tokens on stored weights, as in decoding, are summed in another order (`vtok_dots`).
public struct Weight: @unchecked Sendable {
  public let rows: Int, columns: Int
  public let type: WeightType
  /// Whether the elements lie in panels (`vtok_pack`).
  public private(set) var isPacked = false
  private let base: UnsafeRawPointer
  private let owner: AnyObject & Sendable  // keeps `base` alive: a mapped file or a boxed array

  /// - Parameters:
  ///   - base: `rows * columns` elements of `type`, row-major, alive as long as `owner`.
  package init(rows: Int, columns: Int, type: WeightType, base: UnsafeRawPointer, owner: AnyObject & Sendable) {
    self.rows = rows
    self.columns = columns
    self.type = type
    self.base = base
    self.owner = owner
  }

  private init(rows: Int, columns: Int, _ memory: WeightMemory) {
    self.init(rows: rows, columns: columns, type: .f32, base: UnsafeRawPointer(memory.pointer), owner: memory)
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
      row += part.rows
    }
    return Weight(rows: rows, columns: columns, memory)
  }

  /// A float32 copy in panels, so that no product has to copy the weights anew.
  public var packed: Weight {
    if isPacked { return self }
    let memory = WeightMemory((rows + Self.panel - 1) / Self.panel * Self.panel * columns)
    vtok_pack(matrix, 0, rows, 0, columns, memory.pointer)
    var copy = Weight(rows: rows, columns: columns, memory)
    copy.isPacked = true
    return copy
  }

  /// The same weights as float32 in memory of their own, row by row.
  public var widened: Weight { type == .f32 && !isPacked ? self : .stacked([self]) }

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
    if isPacked {
      let source = base.assumingMemoryBound(to: Float.self)
      for (index, row) in range.enumerated() {
        let panel = source + row / Self.panel * Self.panel * columns + row % Self.panel
        for column in 0..<columns { out[index * columns + column] = panel[column * Self.panel] }
      }
      return
    }
    let count = range.count * columns
    let source = base + range.lowerBound * columns * type.size
    switch type {
    case .f32: out.update(from: source.assumingMemoryBound(to: Float.self), count: count)
    case .f16: vtok_widen_f16(source.assumingMemoryBound(to: UInt16.self), count, out)
    case .bf16: vtok_widen_bf16(source.assumingMemoryBound(to: UInt16.self), count, out)
    }
  }

  /// `out = x W^T`, or `out += x W^T`, for x `[n, columns]`, out `[n, rows]` with row strides `ldx`, `ldo`. Threads split the
  /// rows of W.
  /// - Parameter wanted: the first row of W that is wanted; up to a panel of rows before it may come with it.
  package func multiply(
    _ x: UnsafePointer<Float>, _ n: Int, _ ldx: Int, from wanted: Int = 0, accumulate: Bool = false,
    into out: UnsafeMutablePointer<Float>, _ ldo: Int, threads: Int = 1
  ) {
    let out = Shared(out)
    let x = Shared(UnsafeMutablePointer(mutating: x))
    let unit = 4 * Self.panel
    let start = wanted / Self.panel * Self.panel
    let units = (rows - start + unit - 1) / unit
    let parts = threads <= 1 ? 1 : min(units, 4 * threads)
    parallel(parts, threads: threads) { part in
      let first = start + part * units / parts * unit
      let count = min(start + (part + 1) * units / parts * unit, rows) - first
      if n <= 4 && !isPacked {
        vtok_dots(x.pointer, n, ldx, matrix, first, count, accumulate ? 1 : 0, out.pointer + first, ldo)
      } else {
        let scratch = Scratch(isPacked ? 0 : vtok_matrix.panels)
        vtok_product(
          x.pointer, n, ldx, matrix, first, count, accumulate ? 1 : 0, out.pointer + first, ldo, scratch.pointer)
      }
    }
  }

  /// `out = y W` for y `[n, rows]`, out `[n, columns]` with row strides `ldy`, `ldo`: what a gradient after the product is
  /// before it. One thread.
  package func multiplyBack(
    _ y: UnsafePointer<Float>, _ n: Int, _ ldy: Int, into out: UnsafeMutablePointer<Float>, _ ldo: Int
  ) {
    let scratch = Scratch(vtok_matrix.panels)
    guard isPacked else {
      var back = matrix
      (back.depth, back.transposed) = (rows, 1)
      return vtok_product(y, n, ldy, back, 0, columns, 0, out, ldo, scratch.pointer)
    }
    // A panel is the transpose of `panel` rows, row by row.
    for first in stride(from: 0, to: rows, by: Self.panel) {
      let back = vtok_matrix(
        base: base + first * columns * 4, type: VTOK_F32, depth: min(Self.panel, rows - first), stride: Self.panel,
        transposed: 0, packed: 0)
      vtok_product(y + first, n, ldy, back, 0, columns, first > 0 ? 1 : 0, out, ldo, scratch.pointer)
    }
  }

  private static let panel = vtok_panel()

  private var matrix: vtok_matrix {
    let element =
      switch type {
      case .f32: VTOK_F32
      case .f16: VTOK_F16
      case .bf16: VTOK_BF16
      }
    return vtok_matrix(
      base: base, type: element, depth: columns, stride: columns, transposed: 0, packed: isPacked ? 1 : 0)
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

/// `y = x W^T + b` with W `[out, in]`.
public struct Linear: Sendable {
  public let weight: Weight
  public let bias: [Float]?

  public init(weight: Weight, bias: [Float]?) {
    precondition(bias == nil || bias!.count == weight.rows)
    self.weight = weight
    self.bias = bias
  }

  /// x `[n, in]`, result `[n, out]`.
  public func callAsFunction(_ x: Tensor, threads: Int = 1) -> Tensor {
    precondition(x.width == weight.columns, "a linear layer of width \(weight.columns) got rows of \(x.width)")
    return Tensor(shape: Array(x.shape.dropLast()) + [weight.rows]) { out in
      weight.multiply(x.values, x.rows, x.width, into: out, weight.rows, threads: threads)
      if let bias { vtok_add_bias(out, x.rows, weight.rows, bias) }
    }
  }
}
