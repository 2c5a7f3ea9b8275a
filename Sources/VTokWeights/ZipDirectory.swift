/// The directory of a zip archive whose files are stored as they are (method 0), as PyTorch writes them; zip64 too.
/// (PKWARE APPNOTE 6.3.9.) Everything in it is hostile until proven otherwise.
struct ZipDirectory {
  struct Entry {
    let name: String
    /// Where its bytes lie in the archive.
    let range: Range<Int>
    /// CRC-32 of the bytes.
    let checksum: UInt32
  }

  private(set) var entries: [Entry] = []
  private let bytes: UnsafeRawBufferPointer
  private let path: String

  /// - Parameters:
  ///   - bytes: the whole archive; used only here.
  ///   - path: names the file in messages.
  static func entries(_ bytes: UnsafeRawBufferPointer, path: String) throws(WeightError) -> [Entry] {
    var directory = ZipDirectory(bytes: bytes, path: path)
    try directory.read()
    return directory.entries
  }

  private init(bytes: UnsafeRawBufferPointer, path: String) {
    self.bytes = bytes
    self.path = path
  }

  private static let endSize = 22, headerSize = 46, localSize = 30

  private mutating func read() throws(WeightError) {
    let (start, size, count) = try directory()
    guard count <= size / Self.headerSize else {
      throw damaged("\(count) files in a directory of \(size) bytes", "\(Self.headerSize) bytes or more for each")
    }
    guard count <= ReadBudget.archivedFiles else {
      throw WeightError(
        .budget, path, found: "\(count) files in the archive",
        expected: "at most \(ReadBudget.archivedFiles), one for each tensor", fix: damagedFile)
    }
    var at = start
    for _ in 0..<count {
      let (entry, next) = try header(at, end: start + size, data: start)
      entries.append(entry)
      at = next
    }
    guard at == start + size else {
      throw damaged("\(start + size - at) bytes after the last file of the directory", "none")
    }
  }

  /// Finds the central directory, which follows the files, and their number.
  private func directory() throws(WeightError) -> (start: Int, size: Int, count: Int) {
    // The record at the end carries a comment of up to 65535 bytes, which must end with the file.
    let earliest = max(0, bytes.count - Self.endSize - 0xFFFF)
    let found = stride(from: bytes.count - Self.endSize, through: earliest, by: -1).first { at in
      number(at, UInt32.self) == 0x0605_4b50 && number(at + 20, UInt16.self) == bytes.count - at - Self.endSize
    }
    guard let end = found else { throw damaged("no end of a zip directory", "a whole zip archive") }
    var (count, size, start) = (
      number(end + 10, UInt16.self)!, number(end + 12, UInt32.self)!, number(end + 16, UInt32.self)!
    )
    var limit = end
    let locator = end - 20
    if number(locator, UInt32.self) == 0x0706_4b50 {  // zip64: PyTorch always writes it
      guard let record = number(locator + 8, UInt64.self), record >= 0, record <= locator - 56,
        number(record, UInt32.self) == 0x0606_4b50, let count64 = number(record + 32, UInt64.self),
        let size64 = number(record + 40, UInt64.self), let start64 = number(record + 48, UInt64.self)
      else { throw damaged("a zip64 locator that points to no record", "the record of its directory") }
      (count, size, start, limit) = (count64, size64, start64, record)
    }
    guard start >= 0, size >= 0, start <= limit, size <= limit - start else {
      throw damaged("a directory at byte \(start) of \(size) bytes", "one within the first \(limit) bytes")
    }
    return (start, size, count)
  }

  /// One header of the central directory, and where the next one starts. The file's bytes lie below `data`.
  private func header(_ at: Int, end: Int, data: Int) throws(WeightError) -> (Entry, next: Int) {
    guard at <= end - Self.headerSize, number(at, UInt32.self) == 0x0201_4b50 else {
      throw damaged("no file header at byte \(at) of the directory", "one for every file")
    }
    let sizes = (0..<3).map { number(at + 28 + 2 * $0, UInt16.self)! }  // name, extra field, comment
    let next = at + Self.headerSize + sizes.reduce(0, +)
    guard next <= end else { throw damaged("a file header that ends behind the directory", "one within it") }
    let nameBytes = bytes[at + Self.headerSize..<at + Self.headerSize + sizes[0]]
    guard let name = String(validating: nameBytes, as: UTF8.self) else {
      throw damaged("a file name that is no UTF-8", "plain names")
    }
    guard number(at + 8, UInt16.self)! & 1 == 0, number(at + 10, UInt16.self) == 0 else {
      throw WeightError(
        .unsupportedFormat, path, found: "`\(shortened(name))` compressed or encrypted",
        expected: "an archive that stores files as they are", fix: "Save it again with torch.save.")
    }
    var stored = number(at + 20, UInt32.self)!
    var size = number(at + 24, UInt32.self)!
    var local = number(at + 42, UInt32.self)!
    let extra = at + Self.headerSize + sizes[0]
    try widen(&size, &stored, &local, extra: extra..<extra + sizes[1], name)
    guard stored == size else {
      throw damaged("`\(shortened(name))` with \(stored) bytes stored for \(size)", "as many")
    }
    guard local >= 0, local <= data - Self.localSize, number(local, UInt32.self) == 0x0403_4b50,
      let nameLength = number(local + 26, UInt16.self), let extraLength = number(local + 28, UInt16.self),
      case let start = local + Self.localSize + nameLength + extraLength, size >= 0, start <= data,
      size <= data - start,
      bytes[local + Self.localSize..<local + Self.localSize + nameLength].elementsEqual(nameBytes)
    else { throw damaged("`\(shortened(name))` where the archive has no such file", "its \(size) bytes") }
    let checksum = UInt32(number(at + 16, UInt32.self)!)
    return (Entry(name: name, range: start..<start + size, checksum: checksum), next)
  }

  /// Sizes and offsets that do not fit into 32 bits stand in the extra field 1, in this order, those that need it only.
  private func widen(
    _ size: inout Int, _ stored: inout Int, _ local: inout Int, extra: Range<Int>, _ name: String
  ) throws(WeightError) {
    let full = 0xFFFF_FFFF
    guard size == full || stored == full || local == full else { return }
    var at = extra.lowerBound
    while at <= extra.upperBound - 4, let length = number(at + 2, UInt16.self), at + 4 + length <= extra.upperBound {
      guard number(at, UInt16.self) == 1 else {
        at += 4 + length
        continue
      }
      let wide = (0..<length / 8).map { number(at + 4 + 8 * $0, UInt64.self) }
      var used = 0
      func next(_ value: Int) -> Int? {
        if value != full { return value }
        used += 1
        return used <= wide.count ? wide[used - 1] : nil
      }
      guard let wideSize = next(size), let wideStored = next(stored), let wideLocal = next(local) else { break }
      (size, stored, local) = (wideSize, wideStored, wideLocal)
      return
    }
    throw damaged("`\(shortened(name))` without the sizes of zip64", "an extra field with them")
  }

  /// The little-endian number at a byte; nil outside the archive, or too large for a size.
  private func number<Value: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    _ at: Int, _: Value.Type
  ) -> Int? {
    guard at >= 0, at <= bytes.count - MemoryLayout<Value>.size else { return nil }
    return Int(exactly: Value(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: Value.self)))
  }

  private func damaged(_ found: String, _ expected: String) -> WeightError {
    WeightError(.archive, path, found: found, expected: expected, fix: damagedFile)
  }
}
