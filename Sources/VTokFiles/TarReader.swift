import VTokLibC

/// The files in a tar archive, one after the other: POSIX (ustar, pax) and GNU tar, not compressed. Only headers are read.
///
/// Links, folders and devices are passed over. The archive may end without its two empty blocks, as one that is still being
/// written does.
public struct TarReader: ~Copyable {
  /// A regular file of the archive.
  public struct Entry: Sendable, Equatable {
    /// As the archive has it; bytes that are no UTF-8 as `FileName` says.
    public let name: String
    /// Where its content lies in the archive.
    public let offset: Int, size: Int
  }

  /// What is wrong with an archive. What stands before it can be read.
  public struct Fault: Error, Sendable, Equatable {
    /// No sentence: "its header at byte 512 is damaged".
    public let reason: String
  }

  public let path: String
  private let descriptor: Int32
  private let end: Int
  private var position = 0

  /// Longest name that is read: the system takes 4096.
  private static let longestName = 1 << 16

  public init(path: String) throws(SystemError) {
    let descriptor = withSystemPath(path) { open($0, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY) }
    guard descriptor >= 0 else { throw SystemError("read it", path, code: errno) }
    do throws(SystemError) { end = try FileInfo(descriptor: descriptor, path: path).size } catch {
      close(descriptor)
      throw error
    }
    self.path = path
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  /// The next regular file; nil at the end.
  /// - Throws: `Fault` for what is no tar archive, or is damaged or cut; `SystemError` of reading.
  public mutating func next() throws -> Entry? {
    var (longName, pax): ([UInt8]?, [String: [UInt8]]) = (nil, [:])
    while position < end {
      let start = position
      let block = try read(512, at: start)
      if block.allSatisfy({ $0 == 0 }) { return nil }
      guard block.count == 512 else { throw Fault(reason: "it is cut within a header at byte \(start)") }
      guard Self.isWhole(block) else { throw Fault(reason: "there is no header at byte \(start)") }
      guard let size = pax["size"].map({ Self.decimal($0) }) ?? Self.number(block[124..<136]), size >= 0,
        size <= Int.max - 1024 - start
      else { throw Fault(reason: "the header at byte \(start) has no size") }
      let content = start + 512
      guard content + size <= end else {
        throw Fault(reason: "it is cut: a file of \(size) bytes begins at byte \(content) of \(end)")
      }
      position = content + (size + 511) / 512 * 512
      switch block[156] {
      case UInt8(ascii: "L"): longName = Array(try text(size, at: content).prefix { $0 != 0 })
      case UInt8(ascii: "x"): pax = try Self.records(text(size, at: content), at: start)
      case UInt8(ascii: "0"), UInt8(ascii: "7"), 0:
        let name = pax["path"] ?? longName ?? Self.name(block)
        if name.last == UInt8(ascii: "/") {
          (longName, pax) = (nil, [:])
          continue
        }  // a folder, in old archives
        return Entry(name: FileName.text(name), offset: content, size: size)
      case UInt8(ascii: "g"), UInt8(ascii: "K"): break
      default: (longName, pax) = (nil, [:])
      }
    }
    return nil
  }

  // MARK: Headers

  /// Whether the sum of a header's bytes is the one it says, its own eight counted as spaces.
  private static func isWhole(_ block: [UInt8]) -> Bool {
    let sum = block.indices.reduce(0) { $0 + ((148..<156).contains($1) ? 32 : Int(block[$1])) }
    return number(block[148..<156]) == sum
  }

  /// Octal digits, or a binary number where the first bit is set.
  private static func number(_ field: ArraySlice<UInt8>) -> Int? {
    if field.first! & 0x80 != 0 {
      let bytes = [field.first! & 0x7F] + field.dropFirst()
      guard bytes.dropLast(8).allSatisfy({ $0 == 0 }) else { return nil }
      return Int(exactly: bytes.suffix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
    }
    let digits = field.drop { $0 == 32 }.prefix { $0 != 0 && $0 != 32 }
    if digits.isEmpty { return 0 }
    return Int(String(decoding: digits, as: UTF8.self), radix: 8)
  }

  private static func decimal(_ digits: [UInt8]) -> Int? { Int(String(decoding: digits, as: UTF8.self)) }

  private static func name(_ block: [UInt8]) -> [UInt8] {
    let own = Array(block[..<100].prefix { $0 != 0 })
    let isPOSIX = block[257..<263].elementsEqual(Array("ustar\0".utf8))
    let folder = isPOSIX ? Array(block[345..<500].prefix { $0 != 0 }) : []
    return folder.isEmpty ? own : folder + [UInt8(ascii: "/")] + own
  }

  /// Lines of a pax header: `length key=value`.
  private static func records(_ bytes: [UInt8], at start: Int) throws(Fault) -> [String: [UInt8]] {
    var (records, rest): ([String: [UInt8]], ArraySlice<UInt8>) = ([:], bytes[...])
    while !rest.isEmpty, rest.first != 0 {
      let digits = rest.prefix { $0 != 32 }
      guard let length = Int(String(decoding: digits, as: UTF8.self)), length > digits.count + 2, length <= rest.count,
        case let line = rest.dropFirst(digits.count + 1).prefix(length - digits.count - 2),
        let equals = line.firstIndex(of: UInt8(ascii: "="))
      else { throw Fault(reason: "the pax header at byte \(start) is damaged") }
      records[String(decoding: line[..<equals], as: UTF8.self)] = Array(line[(equals + 1)...])
      rest = rest.dropFirst(length)
    }
    return records
  }

  // MARK: Bytes

  private func text(_ size: Int, at offset: Int) throws -> [UInt8] {
    guard size <= Self.longestName else { throw Fault(reason: "a name of \(size) bytes at byte \(offset)") }
    return try read(size, at: offset)
  }

  /// Fewer at the end of the file.
  private func read(_ count: Int, at offset: Int) throws(SystemError) -> [UInt8] {
    try FileBytes.read(descriptor: descriptor, path: path, count: count, at: offset)
  }
}

extension FileBytes {
  /// A part of an open file; fewer bytes at its end.
  public static func read(descriptor: Int32, path: String, count: Int, at offset: Int) throws(SystemError) -> [UInt8] {
    var done = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      while done < count {
        let read = unbroken { pread(descriptor, buffer.baseAddress! + done, count - done, off_t(offset + done)) }
        if read < 0 { done = -1 }
        if read <= 0 { break }
        done += read
      }
      initialized = max(0, done)
    }
    if done < 0 { throw SystemError("read it", path, code: errno) }
    return bytes
  }
}
