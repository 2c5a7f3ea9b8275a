import VTokCore
import VTokTensor

// Linear algebra of thin matrices, in double precision and one order of summation.

/// A matrix of doubles, row by row.
struct Matrix: Sendable {
  let rows: Int, columns: Int
  var values: [Double]

  init(_ values: [Double], rows: Int, columns: Int) {
    precondition(values.count == rows * columns, "\(values.count) numbers for \(rows) x \(columns)")
    self.values = values
    self.rows = rows
    self.columns = columns
  }

  init(_ tensor: Tensor) { self.init(tensor.values.map(Double.init), rows: tensor.rows, columns: tensor.width) }

  subscript(row: Int, column: Int) -> Double {
    get { values[row * columns + column] }
    set { values[row * columns + column] = newValue }
  }

  var transposed: Matrix {
    Matrix(
      (0..<columns).flatMap { column in (0..<rows).map { self[$0, column] } }, rows: columns, columns: rows)
  }

  /// The product with another; multiply-adds are booked.
  func times(_ other: Matrix, notes: inout Notes) -> Matrix {
    precondition(columns == other.rows, "\(columns) columns times \(other.rows) rows")
    notes.book(macs: rows * columns * other.columns)
    var out = [Double](repeating: 0, count: rows * other.columns)
    let (width, depth) = (other.columns, columns)
    values.withUnsafeBufferPointer { a in
      other.values.withUnsafeBufferPointer { b in
        out.withUnsafeMutableBufferPointer { out in
          for row in 0..<rows {
            for inner in 0..<depth {
              let factor = a[row * depth + inner]
              for column in 0..<width { out[row * width + column] += factor * b[inner * width + column] }
            }
          }
        }
      }
    }
    return Matrix(out, rows: rows, columns: other.columns)
  }

  /// An orthonormal basis of what the columns span: Gram and Schmidt, twice for orthogonality. A column that the ones before
  /// span becomes zeros.
  func orthonormalised(notes: inout Notes) -> Matrix {
    notes.book(macs: 2 * rows * columns * columns)
    var basis = transposed  // columns as rows
    for index in 0..<columns {
      let before = basis.length(index)
      for _ in 0..<2 {
        for other in 0..<index { basis.subtract(basis.dot(index, other), times: other, from: index) }
      }
      let length = basis.length(index)
      let isSpanned = length <= 1e-12 * before || length == 0
      for place in index * rows..<(index + 1) * rows { basis.values[place] *= isSpanned ? 0 : 1 / length }
    }
    return basis.transposed
  }

  /// Left singular vectors of a matrix of few rows, as columns, by falling singular value: Jacobi's rotations make the rows
  /// orthogonal (Hestenes 1958).
  func leftSingularVectors(notes: inout Notes) -> Matrix {
    // Sweeps end when numbers say so; costs must not depend on them: about eight.
    notes.book(macs: 8 * rows * rows * (7 * columns + 4 * rows) / 2)
    var turned = self
    var vectors = Matrix(
      (0..<rows * rows).map { $0 % (rows + 1) == 0 ? 1 : 0 }, rows: rows, columns: rows)  // as rows
    for _ in 0..<60 {
      var largest = 0.0
      for a in 0..<rows {
        for b in a + 1..<max(rows, a + 1) {
          let (alpha, beta, gamma) = (turned.dot(a, a), turned.dot(b, b), turned.dot(a, b))
          if gamma == 0 || abs(gamma) <= 1e-15 * (alpha * beta).squareRoot() { continue }
          largest = max(largest, abs(gamma) / (alpha * beta).squareRoot())
          let zeta = (beta - alpha) / (2 * gamma)
          let tangent = (zeta < 0 ? -1 : 1) / (abs(zeta) + (1 + zeta * zeta).squareRoot())
          let cosine = 1 / (1 + tangent * tangent).squareRoot()
          turned.rotate(a, b, cosine, cosine * tangent)
          vectors.rotate(a, b, cosine, cosine * tangent)
        }
      }
      if largest < 1e-14 { break }
    }
    let order = (0..<rows).map { (turned.dot($0, $0), $0) }.sorted { ($0.0, $1.1) > ($1.0, $0.1) }.map(\.1)
    var sorted: [Double] = []
    for row in order { sorted += vectors.values[row * rows..<(row + 1) * rows] }
    return Matrix(sorted, rows: rows, columns: rows).transposed
  }

  private func dot(_ a: Int, _ b: Int) -> Double {
    values.withUnsafeBufferPointer { values in
      var sum = 0.0
      for column in 0..<columns { sum += values[a * columns + column] * values[b * columns + column] }
      return sum
    }
  }

  private func length(_ row: Int) -> Double { dot(row, row).squareRoot() }

  private mutating func subtract(_ factor: Double, times other: Int, from row: Int) {
    for column in 0..<columns { self[row, column] -= factor * self[other, column] }
  }

  private mutating func rotate(_ a: Int, _ b: Int, _ cosine: Double, _ sine: Double) {
    for column in 0..<columns {
      let (x, y) = (self[a, column], self[b, column])
      (self[a, column], self[b, column]) = (cosine * x - sine * y, sine * x + cosine * y)
    }
  }
}
