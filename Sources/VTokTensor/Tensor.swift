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
  public init(shape: [Int], fill: (UnsafeMutablePointer<Float>) -> Void) {
    let count = shape.reduce(1, *)
    self.shape = shape
    self.values = [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
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

  /// Adds rows behind the last one. Amortised: memory grows by doubling.
  public mutating func append(rows other: Tensor) {
    precondition(other.width == width, "rows of \(other.width) behind rows of \(width)")
    shape = [rows + other.rows, width]
    values += other.values
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

/// LayerNorm over the last axis: `(x - mean) / sqrt(variance + epsilon) * weight + bias`, population variance.
public struct LayerNorm: Sendable {
  public let weight: [Float], bias: [Float]
  public let epsilon: Float

  public init(weight: [Float], bias: [Float], epsilon: Float) {
    precondition(weight.count == bias.count)
    self.weight = weight
    self.bias = bias
    self.epsilon = epsilon
  }

  public func callAsFunction(_ x: Tensor) -> Tensor {
    Tensor(shape: x.shape) { out in
      vtok_layer_norm(x.values, x.rows, x.width, weight, bias, epsilon, out)
    }
  }
}

/// RMSNorm over the last axis: `x / sqrt(mean(x²) + epsilon) * weight`.
public struct RMSNorm: Sendable {
  public let weight: [Float]
  public let epsilon: Float

  public init(weight: [Float], epsilon: Float) { (self.weight, self.epsilon) = (weight, epsilon) }

  public func callAsFunction(_ x: Tensor) -> Tensor {
    Tensor(shape: x.shape) { vtok_rms_norm(x.values, x.rows, x.width, weight, epsilon, $0) }
  }
}

/// The largest index wins nothing here: of equal values the first is returned. `nil` for an empty sequence.
public func argmax(_ values: some Collection<Float>) -> Int? {
  var best: Int?
  var top = -Float.infinity
  for (index, value) in values.enumerated() where best == nil || value > top {
    best = index
    top = value
  }
  return best
}

/// Indices of the `k` largest values, best first; among equal values the smaller index comes first. NaN ranks last.
/// O(n log n).
public func topK(_ values: [Float], _ k: Int) -> [Int] {
  precondition((0...values.count).contains(k), "top \(k) of \(values.count)")
  func key(_ index: Int) -> Float { values[index].isNaN ? -.infinity : values[index] }
  return Array(values.indices.sorted { (key($0), $1) > (key($1), $0) }.prefix(k))
}

/// Softmax of one vector, the maximum subtracted first.
public func softmax(_ logits: [Float]) -> [Float] {
  var row = logits
  vtok_softmax_rows(&row, 1, row.count, row.count, nil)
  return row
}

/// `values / |values|`; a vector of zeros stays zero.
public func normalised(_ values: [Float]) -> [Float] {
  var out = values
  _ = vtok_exact_normalise(values, 1, values.count, &out)
  return out
}
