import CVTokKernels

/// A dense row-major float32 array. A value: copies share storage until one of them is written to.
public struct Tensor: Sendable, Equatable {
  /// Sizes of the axes, outermost first.
  public private(set) var shape: [Int]
  /// The elements in row-major order. Write them in place; their number is fixed by `shape`.
  public var values: [Float]

  /// - Precondition: `values.count` is the product of `shape`.
  public init(_ values: [Float], shape: [Int]) {
    precondition(values.count == shape.reduce(1, *), "\(values.count) values cannot have the shape \(shape)")
    self.shape = shape
    self.values = values
  }

  public init(zeros shape: [Int]) {
    self.init([Float](repeating: 0, count: shape.reduce(1, *)), shape: shape)
  }

  /// A tensor whose elements `fill` writes, all of them.
  /// - Parameter room: rows that may be added before it moves.
  public init(shape: [Int], room: Int = 0, fill: (UnsafeMutablePointer<Float>) -> Void) {
    let count = shape.reduce(1, *)
    self.shape = shape
    self.values = [Float](unsafeUninitializedCapacity: count + room * (shape.last ?? 1)) { buffer, initialized in
      if let base = buffer.baseAddress { fill(base) }
      initialized = count
    }
  }

  /// Number of rows of the matrix `[rows, width]` that the last axis makes of this tensor.
  @inlinable public var rows: Int { shape.isEmpty ? 1 : shape.dropLast().reduce(1, *) }
  /// Length of the last axis.
  @inlinable public var width: Int { shape.last ?? 1 }

  /// Row `index` of the `[rows, width]` matrix.
  @inlinable public func row(_ index: Int) -> ArraySlice<Float> { values[index * width..<(index + 1) * width] }

  /// The same elements under another shape.
  public func reshaped(_ shape: [Int]) -> Tensor { Tensor(values, shape: shape) }

  /// Plane `index` of the outermost axis, without that axis.
  public subscript(plane index: Int) -> Tensor {
    let size = shape.dropFirst().reduce(1, *)
    return Tensor(Array(values[index * size..<(index + 1) * size]), shape: Array(shape.dropFirst()))
  }

  /// Adds rows behind the last one. Amortised: memory grows by an eighth, for doubled caches would be most of what a long answer
  /// takes.
  public mutating func append(rows other: Tensor) {
    precondition(other.width == width, "rows of \(other.width) behind rows of \(width)")
    shape = [rows + other.rows, width]
    let needed = values.count + other.values.count
    if values.capacity < needed { values.reserveCapacity(needed + max(needed / 8, 16 * width)) }
    values += other.values
  }

  /// Adds another tensor of the same shape.
  public mutating func add(_ other: Tensor) {
    precondition(other.shape == shape, "a tensor of \(other.shape) added to one of \(shape)")
    values.withUnsafeMutableBufferPointer { out in
      other.values.withUnsafeBufferPointer {
        if $0.count > 0 { vtok_accumulate(out.baseAddress!, $0.baseAddress!, $0.count, 1) }
      }
    }
  }

  /// The `[rows, width]` matrix with rows and columns exchanged.
  package var transposed: Tensor {
    let (rows, width) = (rows, width)
    return Tensor(shape: [width, rows]) { out in
      values.withUnsafeBufferPointer { source in
        for row in 0..<rows {
          for column in 0..<width { out[column * rows + row] = source[row * width + column] }
        }
      }
    }
  }

  /// Rows `indices` of the `[rows, width]` matrix, in that order.
  public func gathered(_ indices: [Int]) -> Tensor {
    let width = width
    return Tensor(shape: [indices.count, width]) { out in
      values.withUnsafeBufferPointer { source in
        for (row, index) in indices.enumerated() {
          (out + row * width).update(from: source.baseAddress! + index * width, count: width)
        }
      }
    }
  }

  /// Columns of the `[rows, width]` matrix. `[rows, range]`
  public func columns(_ range: Range<Int>) -> Tensor {
    precondition(range.lowerBound >= 0 && range.upperBound <= width, "columns \(range) of \(width)")
    return Tensor(shape: [rows, range.count]) { out in
      values.withUnsafeBufferPointer { source in
        for row in 0..<rows {
          (out + row * range.count).update(
            from: source.baseAddress! + row * width + range.lowerBound, count: range.count)
        }
      }
    }
  }

  /// Matrices of equally many rows beside each other. `[rows, sum of widths]`
  public init(sideBySide parts: [Tensor]) {
    let (rows, width) = (parts[0].rows, parts.reduce(0) { $0 + $1.width })
    precondition(parts.allSatisfy { $0.rows == rows }, "matrices of \(parts.map(\.rows)) rows beside each other")
    self.init(shape: [rows, width]) { out in
      var column = 0
      for part in parts {
        part.values.withUnsafeBufferPointer { source in
          for row in 0..<rows {
            (out + row * width + column).update(from: source.baseAddress! + row * part.width, count: part.width)
          }
        }
        column += part.width
      }
    }
  }

  /// Mean over rows `indices`, weighted by `weights` and divided by their sum; `nil` weights count 1 each. `[width]`
  public func mean(of indices: [Int], weights: [Float]? = nil) -> [Float] {
    var sum = [Float](repeating: 0, count: width)
    var total: Float = 0
    values.withUnsafeBufferPointer { source in
      for index in indices {
        let weight = weights?[index] ?? 1
        vtok_accumulate(&sum, source.baseAddress! + index * width, width, weight)
        total += weight
      }
    }
    if total != 0 { vtok_divide(&sum, width, total) }
    return sum
  }
}
