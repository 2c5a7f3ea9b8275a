import CVTokKernels

/// Element types of weights as they lie in a file.
public enum WeightType: String, Sendable, CaseIterable {
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  public var size: Int { self == .f32 ? 4 : 2 }
}

/// A matrix `[rows, columns]` of weights, kept where and how it is stored. Half types are widened panel by panel while
/// multiplying (2-5% slower than float32, half the memory); `inputMajor` makes a float32 copy for small hot models.
public struct Weight: @unchecked Sendable {
  public let rows: Int, columns: Int
  public let type: WeightType
  private let base: UnsafeRawPointer
  private let owner: AnyObject & Sendable  // keeps `base` alive: a mapped file or a boxed array
  private var isInputMajor = false  // element (r, c) lies at c * rows + r

  /// - Parameters:
  ///   - base: `rows * columns` elements of `type`, row-major, alive as long as `owner`.
  package init(rows: Int, columns: Int, type: WeightType, base: UnsafeRawPointer, owner: AnyObject & Sendable) {
    self.rows = rows
    self.columns = columns
    self.type = type
    self.base = base
    self.owner = owner
  }

  public init(_ tensor: Tensor) {
    let memory = WeightMemory(tensor.values.count)
    memory.pointer.update(from: tensor.values, count: tensor.values.count)
    self.init(
      rows: tensor.rows, columns: tensor.width, type: .f32, base: UnsafeRawPointer(memory.pointer), owner: memory)
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
    return Weight(rows: rows, columns: columns, type: .f32, base: UnsafeRawPointer(memory.pointer), owner: memory)
  }

  /// A float32 copy stored column by column. BLAS packs the weights anew in every product, and from this layout it does
  /// so with plain copies: 2-3% of a ViT's time.
  public var inputMajor: Weight {
    if isInputMajor { return self }
    let source = tensor.values
    let memory = WeightMemory(rows * columns)
    source.withUnsafeBufferPointer { source in
      // Tiles of 16 x 16 keep both sides in cache.
      for top in stride(from: 0, to: rows, by: 16) {
        for left in stride(from: 0, to: columns, by: 16) {
          for row in top..<min(top + 16, rows) {
            for column in left..<min(left + 16, columns) {
              memory.pointer[column * rows + row] = source[row * columns + column]
            }
          }
        }
      }
    }
    var copy = Weight(rows: rows, columns: columns, type: .f32, base: UnsafeRawPointer(memory.pointer), owner: memory)
    copy.isInputMajor = true
    return copy
  }

  /// The same weights as float32 in memory of their own, row by row.
  public var widened: Weight { type == .f32 && !isInputMajor ? self : .stacked([self]) }

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
    if isInputMajor {
      let source = base.assumingMemoryBound(to: Float.self)
      for (index, row) in range.enumerated() {
        for column in 0..<columns { out[index * columns + column] = source[column * rows + row] }
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

  /// `out = x W^T + beta * out` for x `[n, columns]`, out `[n, rows]` with row strides `ldx`, `ldo`; split over rows of W.
  package func multiply(
    _ x: UnsafePointer<Float>, _ n: Int, _ ldx: Int, beta: Float = 0, into out: UnsafeMutablePointer<Float>, _ ldo: Int,
    threads: Int
  ) {
    multiply(x, n, ldx, beta: beta, into: out, ldo)
  }

  /// `out = x W^T + beta * out` for x `[n, columns]`, out `[n, rows]` with row strides `ldx`, `ldo`. One thread.
  package func multiply(
    _ x: UnsafePointer<Float>, _ n: Int, _ ldx: Int, beta: Float = 0, into out: UnsafeMutablePointer<Float>, _ ldo: Int
  ) {
    if type == .f32 {
      let w = base.assumingMemoryBound(to: Float.self)
      let stride = isInputMajor ? rows : columns
      sgemm(n, rows, columns, x, ldx, w, stride, transposeB: !isInputMajor, beta: beta, out, ldo)
      return
    }
    let panelRows = min(rows, 512)
    let panel = Scratch(panelRows * columns)
    for start in stride(from: 0, to: rows, by: panelRows) {
      let end = min(start + panelRows, rows)
      widen(rows: start..<end, into: panel.pointer)
      sgemm(n, end - start, columns, x, ldx, panel.pointer, columns, transposeB: true, beta: beta, out + start, ldo)
    }
  }

  /// `out = y W` for y `[n, rows]`, out `[n, columns]` with row strides `ldy`, `ldo`: what a gradient after the product is
  /// before it. One thread.
  package func multiplyBack(
    _ y: UnsafePointer<Float>, _ n: Int, _ ldy: Int, into out: UnsafeMutablePointer<Float>, _ ldo: Int
  ) {
    if type == .f32 {
      let w = base.assumingMemoryBound(to: Float.self)
      let stride = isInputMajor ? rows : columns
      sgemm(n, columns, rows, y, ldy, w, stride, transposeB: isInputMajor, out, ldo)
      return
    }
    let panelRows = min(rows, 512)
    let panel = Scratch(panelRows * columns)
    for start in stride(from: 0, to: rows, by: panelRows) {
      let count = min(panelRows, rows - start)
      widen(rows: start..<start + count, into: panel.pointer)
      sgemm(
        n, columns, count, y + start, ldy, panel.pointer, columns, transposeB: false, beta: start == 0 ? 0 : 1, out, ldo
      )
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
