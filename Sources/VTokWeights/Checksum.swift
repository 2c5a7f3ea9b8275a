/// CRC-32 as zip, PNG and gzip compute it (polynomial 0xEDB88320, reflected).
/// - Parameter before: the checksum of the bytes in front of these, where they come in pieces.
public func crc32(_ bytes: UnsafeRawBufferPointer, after before: UInt32 = 0) -> UInt32 {
  table.withUnsafeBufferPointer { table in
    var crc = ~before
    var at = 0
    // Eight bytes a step, one table each: about a gigabyte a second.
    while at <= bytes.count - 8 {
      let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)) ^ UInt64(crc)
      crc = 0
      for byte in 0..<8 { crc ^= table[(7 - byte) << 8 | Int(truncatingIfNeeded: word >> UInt64(8 * byte)) & 0xFF] }
      at += 8
    }
    while at < bytes.count {
      crc = crc >> 8 ^ table[Int((crc ^ UInt32(bytes[at])) & 0xFF)]
      at += 1
    }
    return ~crc
  }
}

/// `[8, 256]`: the effect of a byte that is followed by so many others.
private let table: [UInt32] = {
  var table = [UInt32](repeating: 0, count: 8 * 256)
  for byte in 0..<256 {
    table[byte] = (0..<8).reduce(UInt32(byte)) { crc, _ in crc >> 1 ^ (crc & 1 == 1 ? 0xEDB8_8320 : 0) }
  }
  for index in 256..<table.count { table[index] = table[index - 256] >> 8 ^ table[Int(table[index - 256] & 0xFF)] }
  return table
}()
