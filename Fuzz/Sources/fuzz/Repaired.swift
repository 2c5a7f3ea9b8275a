import VTok

/// Inputs with their checksums put right: else a changed byte is refused before anything behind it is read.
enum Repaired {
  /// PNG: the CRC of every chunk.
  static func png(_ bytes: [UInt8]) -> [UInt8] {
    guard bytes.starts(with: [0x89, 0x50, 0x4E, 0x47]) else { return bytes }
    var out = bytes
    var at = 8
    while at + 12 <= bytes.count {
      let length = bytes[at..<at + 4].reduce(0) { $0 << 8 | Int($1) }
      guard length <= bytes.count - at - 12 else { break }
      let crc = bytes.withUnsafeBytes { crc32(UnsafeRawBufferPointer(rebasing: $0[at + 4..<at + 8 + length])) }
      put(crc.byteSwapped, at: at + 8 + length, in: &out)
      at += 12 + length
    }
    return out
  }

  /// Token files: the CRC at the end.
  static func tokens(_ bytes: [UInt8]) -> [UInt8] {
    guard bytes.count >= 4 else { return bytes }
    var out = bytes
    let crc = bytes.withUnsafeBytes { crc32(UnsafeRawBufferPointer(rebasing: $0.dropLast(4))) }
    put(crc, at: bytes.count - 4, in: &out)
    return out
  }

  /// Tar archives: the sum of every header.
  static func tar(_ bytes: [UInt8]) -> [UInt8] {
    var out = bytes
    for start in stride(from: 0, through: bytes.count - 512, by: 512)
    where bytes[start + 257..<start + 262].elementsEqual("ustar".utf8) {
      out.replaceSubrange(start + 148..<start + 156, with: Array("        ".utf8))
      let sum = String(out[start..<start + 512].reduce(0) { $0 + Int($1) }, radix: 8)
      out.replaceSubrange(start + 148..<start + 148 + sum.utf8.count, with: sum.utf8)
    }
    return out
  }

  /// A zip archive as torch.save writes it: this pickle, and three storages of 64 bytes with the keys 0, 1, 2.
  static func archive(pickle: [UInt8]) -> [UInt8] {
    let files =
      [("a/data.pkl", pickle)] + (0..<3).map { ("a/data/\($0)", [UInt8](repeating: UInt8($0 + 1), count: 64)) }
    var out: [UInt8] = []
    var directory: [UInt8] = []
    for (name, content) in files {
      let crc = content.withUnsafeBytes { crc32($0) }
      let size = UInt32(content.count)
      // Version, flags, method, time, date, checksum, sizes, length of the name, of extra fields: both headers have these.
      let common =
        little(UInt16(0)) + little(UInt16(0)) + little(UInt16(0)) + little(UInt16(0)) + little(UInt16(0)) + little(crc)
        + little(size) + little(size) + little(UInt16(name.utf8.count)) + little(UInt16(0))
      directory += little(UInt32(0x0201_4B50)) + little(UInt16(0)) + common
      directory += [UInt8](repeating: 0, count: 10) + little(UInt32(out.count)) + Array(name.utf8)
      out += little(UInt32(0x0403_4B50)) + common + Array(name.utf8) + content
    }
    let end =
      little(UInt32(0x0605_4B50)) + little(UInt32(0)) + little(UInt16(files.count)) + little(UInt16(files.count))
      + little(UInt32(directory.count)) + little(UInt32(out.count)) + little(UInt16(0))
    return out + directory + end
  }

  private static func little<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.littleEndian) { Array($0) }
  }

  private static func put(_ number: UInt32, at: Int, in bytes: inout [UInt8]) {
    for (index, byte) in little(number).enumerated() { bytes[at + index] = byte }
  }
}
