import VTokCore
import VTokTensor

/// What a block adds to the logits of every pair of rows, by how far their cells lie apart (BEiT, arXiv 2106.08254;
/// `vit-towers`, section 6). Cells are those that rows had at birth: ids say them, so rows that left or merged change nothing
/// for others, and a merged row keeps the cell of its anchor.
package struct RelativeBias: Sendable {
  /// `[heads][(2 rows - 1)(2 columns - 1) + 3]`: offsets of two patches, then from the class token, to it, and of it to itself.
  let table: [Float]
  let entries: Int

  /// - Parameter tables: `[entries, heads]` each, added up.
  init(_ tables: [Tensor], heads: Int) {
    let entries = tables[0].rows
    var sum = [Float](repeating: 0, count: heads * entries)
    for table in tables {
      for entry in 0..<entries {
        for head in 0..<heads { sum[head * entries + entry] += table.values[entry * heads + head] }
      }
    }
    (table, self.entries) = (sum, entries)
  }

  /// Entries of a table for a grid.
  static func entries(rows: Int, columns: Int) -> Int { (2 * rows - 1) * (2 * columns - 1) + 3 }

  /// The entry of every pair of rows, query by query, the same in all blocks and heads. `[n, n]`
  /// - Parameter prefix: rows before the patches, which ids count too.
  static func pairs(_ tokens: TokenSequence, prefix: Int, rows: Int, columns: Int) -> [Int32] {
    let base = Int32((2 * rows - 1) * (2 * columns - 1))
    let width = Int32(2 * columns - 1)
    let cells = tokens.id.map { id -> (row: Int32, column: Int32)? in
      let cell = Int(id) - prefix
      return cell < 0 ? nil : (Int32(cell / columns), Int32(cell % columns))
    }
    return cells.flatMap { query in
      cells.map { key in
        switch (query, key) {
        case (nil, nil): base + 2
        case (nil, _): base
        case (_, nil): base + 1
        case (let query?, let key?):
          (query.row - key.row + Int32(rows - 1)) * width + query.column - key.column + Int32(columns - 1)
        }
      }
    }
  }

  /// Adds to logits of one head, rows from `first` on over all keys.
  func add(
    to logits: UnsafeMutablePointer<Float>, rows: Int, keys: Int, from first: Int, head: Int, _ pairs: [Int32]
  ) {
    table.withUnsafeBufferPointer { table in
      let own = table.baseAddress! + head * entries
      pairs.withUnsafeBufferPointer { pairs in
        let entry = pairs.baseAddress! + first * keys
        for index in 0..<rows * keys { logits[index] += own[Int(entry[index])] }
      }
    }
  }
}
