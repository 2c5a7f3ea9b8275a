/// A matrix whose rows are asked for in another order than they lie in. Products are formed as they lie, and what comes out is
/// put in order, so that no weight is copied.
final class ReorderedRows: WeightPanels {
  private let weight: Weight
  /// Of every row, where it lies.
  private let order: [Int]

  init(_ weight: Weight, _ order: [Int]) {
    precondition(order.count == weight.rows, "an order of \(order.count) rows for \(weight.rows)")
    self.weight = weight
    self.order = order
  }

  var precision: Precision { weight.precision }

  func multiply(
    _ x: UnsafePointer<Float>, _ n: Int, _ ldx: Int, from wanted: Int, accumulate: Bool,
    into out: UnsafeMutablePointer<Float>, _ ldo: Int, threads: Int
  ) {
    let rows = weight.rows
    let unordered = Scratch(n * rows)
    weight.multiply(x, n, ldx, into: unordered.pointer, rows, threads: threads)
    for row in 0..<n {
      let (source, target) = (unordered.pointer + row * rows, out + row * ldo)
      for index in wanted..<rows {
        target[index] = (accumulate ? target[index] : 0) + source[order[index]]
      }
    }
  }

  func widen(rows range: Range<Int>, into out: UnsafeMutablePointer<Float>) {
    for (index, row) in range.enumerated() {
      weight.widen(rows: order[row]..<order[row] + 1, into: out + index * weight.columns)
    }
  }
}
