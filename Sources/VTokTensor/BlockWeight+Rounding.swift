import CVTokKernels

extension BlockWeight {
  /// Whether a row is whole blocks of Q4_0.
  static func fits(_ weight: Weight) -> Bool { weight.columns % 32 == 0 && weight.columns > 0 }

  /// Weights rounded to 4 bits as ggml's Q4_0 is: every 32 along a row have one scale, 4.5 bits a weight. Reads a few rows at a
  /// time.
  package init(rounding weight: Weight, threads: Int = 1) {
    precondition(Self.fits(weight), "rows of \(weight.columns) are no whole blocks of 32")
    let (rows, columns, type) = (weight.rows, weight.columns, BlockType.q40)
    let rowBytes = columns / type.elements * type.bytes
    let memory = BlockMemory(rows * rowBytes)
    parallel(0..<rows, unit: 16, threads: threads) { first, count in
      let wide = Scratch(16 * columns)
      for row in stride(from: first, to: first + count, by: 16) {
        let part = row..<min(row + 16, first + count)
        weight.widen(rows: part, into: wide.pointer)
        vtok_gguf_round_q4_0(wide.pointer, part.count * columns, memory.pointer + row * rowBytes)
      }
      weight.forget(rows: first..<first + count)
    }
    self.init(rows: rows, columns: columns, type: type, base: UnsafeRawPointer(memory.pointer), owner: memory)
  }
}

private final class BlockMemory: @unchecked Sendable {
  let pointer: UnsafeMutablePointer<UInt8>

  init(_ count: Int) {
    pointer = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1), alignment: 64)
      .bindMemory(to: UInt8.self, capacity: count)
  }

  deinit { UnsafeMutableRawPointer(pointer).deallocate() }
}
