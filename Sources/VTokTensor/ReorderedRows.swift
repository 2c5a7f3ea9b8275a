import CVTokKernels

/// A matrix whose rows are asked for in another order than they lie in. Products are formed as they lie, and what comes out is
/// put in order, so that no weight is copied.
final class ReorderedRows: WeightPanels {
  private let weight: Weight
  /// Of every row, where it lies.
  private let order: [Int32]

  init(_ weight: Weight, _ order: [Int]) {
    precondition(order.count == weight.rows, "an order of \(order.count) rows for \(weight.rows)")
    self.weight = weight
    self.order = order.map(Int32.init)
  }

  var precision: Precision { weight.precision }

  func multiply(
    _ x: UnsafePointer<Float>, _ n: Int, _ ldx: Int, from wanted: Int, accumulate: Bool,
    into out: UnsafeMutablePointer<Float>, _ ldo: Int, threads: Int
  ) {
    let rows = weight.rows
    let unordered = Scratch(n * rows)
    weight.multiply(x, n, ldx, into: unordered.pointer, rows, threads: threads)
    guard accumulate else { return put(unordered, n, from: wanted, into: out, ldo, threads) }
    for row in 0..<n {
      for index in wanted..<rows { out[row * ldo + index] += unordered.pointer[row * rows + Int(order[index])] }
    }
  }

  func multiply(_ x: ProductInput, into out: UnsafeMutablePointer<Float>, _ ldo: Int, threads: Int) {
    let unordered = Scratch(x.count * weight.rows)
    weight.multiply(x, into: unordered.pointer, weight.rows, threads: threads)
    put(unordered, x.count, from: 0, into: out, ldo, threads)
  }

  private func put(
    _ unordered: Scratch, _ n: Int, from wanted: Int, into out: UnsafeMutablePointer<Float>, _ ldo: Int, _ threads: Int
  ) {
    let (source, target, rows) = (Shared(unordered.pointer), Shared(out), weight.rows)
    parallel(0..<n, unit: 8, threads: n < 16 ? 1 : threads) { [order] first, count in
      order.withUnsafeBufferPointer { order in
        for row in first..<first + count {
          vtok_gather(
            source.pointer + row * rows, order.baseAddress! + wanted, rows - wanted,
            target.pointer + row * ldo + wanted)
        }
      }
    }
  }

  func widen(rows range: Range<Int>, into out: UnsafeMutablePointer<Float>) {
    for (index, row) in range.enumerated() {
      let source = Int(order[row])
      weight.widen(rows: source..<source + 1, into: out + index * weight.columns)
    }
  }
}
