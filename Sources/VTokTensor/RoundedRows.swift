/// Memory for rows of numbers rounded to 8 bits, their scales, and the sums of what shares a scale.
final class RoundedRows: @unchecked Sendable {
  let values: UnsafeMutablePointer<Int8>
  let scales: UnsafeMutablePointer<Float>
  let sums: UnsafeMutablePointer<Int32>

  init(bytes: Int, scales count: Int) {
    values = UnsafeMutableRawPointer.allocate(byteCount: max(bytes, 1), alignment: 64)
      .bindMemory(to: Int8.self, capacity: bytes)
    scales = .allocate(capacity: count)
    sums = .allocate(capacity: count)
  }

  deinit {
    UnsafeMutableRawPointer(values).deallocate()
    scales.deallocate()
    sums.deallocate()
  }
}
