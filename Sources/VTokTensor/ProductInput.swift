/// Rows of x on their way into products with several weights: what they are rounded to is made once for all that round alike.
/// The rows must not change or end before the last product.
package final class ProductInput: @unchecked Sendable {
  let rows: UnsafePointer<Float>
  let count: Int, width: Int
  private let threads: Int
  private var rounded: [UInt32: BlockRows] = [:]

  /// - Parameter rows: `[count, width]`
  package init(_ rows: UnsafePointer<Float>, count: Int, width: Int, threads: Int) {
    self.rows = rows
    self.count = count
    self.width = width
    self.threads = threads
  }

  /// For one product at a time.
  func rounded(for type: BlockType) -> BlockRows {
    if let known = rounded[type.activation] { return known }
    let made = BlockRows(for: type, rows, count, width, width, threads: threads)
    rounded[type.activation] = made
    return made
  }
}
