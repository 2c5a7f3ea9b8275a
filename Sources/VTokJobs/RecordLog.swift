import VTokFiles
import VTokLibC
import VTokTensor
import VTokWeights

/// An input that is done: its entry, and where in a file its tensors lie.
struct StoredRecord: Sendable {
  struct Part: Sendable {
    /// Without the index in front of it.
    let name: String
    let type: ElementType
    let shape: [Int]
    let range: Range<Int>
  }
  var entry: JobEntry
  /// Line and shard as the entry has them.
  let index: Int, shard: Int
  let file: MappedFile
  let parts: [Part]

  /// The tensors, by the names they have in a token file.
  func tensors(_ index: Int) -> [(String, Safetensors.Value)] {
    parts.map { ("\(index).\($0.name)", .stored($0.type, shape: $0.shape, .init(file, $0.range))) }
  }
}

/// The inputs of an unfinished shard that are done, in the order in which they were. Appended one by one, so that a killed
/// job loses at most those it was at.
///
/// A record: lengths of its two parts (8 bytes each, little endian), CRC-32 of both (4 bytes), a text with a line each for
/// index and shard, stamp, manifest, and the tensors (name, type, shape, bytes), and the tensors' bytes.
final class RecordLog {
  /// Where a record's tensors lie in the file.
  typealias Place = [StoredRecord.Part]
  private let path: String
  private let descriptor: Int32
  private var end: Int

  /// Goes on behind the last whole record of a log, or starts one.
  init(path: String) throws {
    self.path = path
    end = try Self.scan(path).end
    descriptor = withSystemPath(path) { open($0, O_RDWR | O_CREAT | O_CLOEXEC, 0o644) }
    guard descriptor >= 0 else { throw SystemError("write it", path, code: errno) }
    guard ftruncate(descriptor, off_t(end)) == 0 else { throw SystemError("write it", path, code: errno) }
  }

  deinit { close(descriptor) }

  /// - Returns: where the tensors lie in the file.
  func append(_ entry: JobEntry, index: Int, shard: Int, _ tensors: [(String, Safetensors.Value)]) throws -> Place {
    var data: [UInt8] = []
    var parts: [(String, ElementType, [Int], Range<Int>)] = []
    for (name, value) in tensors {
      let start = data.count
      value.emit { data.append(contentsOf: $0) }
      parts.append((name, value.type, value.shape, start..<data.count))
    }
    var text = Array("\(index) \(shard)\n\(entry.stampText)\n".utf8) + entry.line + [UInt8(ascii: "\n")]
    for (name, type, shape, range) in parts {
      text += Array("\(name) \(type.rawValue) \(shape.map(String.init).joined(separator: ",")) \(range.count)\n".utf8)
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.headBytes + text.count + data.count)
    for count in [text.count, data.count] {
      withUnsafeBytes(of: UInt64(count).littleEndian) { bytes.append(contentsOf: $0) }
    }
    let sum = data.withUnsafeBytes { crc32($0, after: text.withUnsafeBytes { crc32($0) }) }
    withUnsafeBytes(of: sum.littleEndian) { bytes.append(contentsOf: $0) }
    bytes += text
    bytes += data
    try write(bytes)
    let base = end + Self.headBytes + text.count
    end += bytes.count
    return parts.map { .init(name: $0, type: $1, shape: $2, range: base + $3.lowerBound..<base + $3.upperBound) }
  }

  private func write(_ bytes: [UInt8]) throws {
    var done = 0
    while done < bytes.count {
      let count = bytes[done...].withUnsafeBytes { rest in
        unbroken { pwrite(descriptor, rest.baseAddress!, rest.count, off_t(end + done)) }
      }
      if count < 0 {
        let code = errno
        _ = ftruncate(descriptor, off_t(end))
        throw SystemError("write it", path, code: code)
      }
      done += count
    }
  }

  // MARK: Reading

  private static let headBytes = 20

  /// The whole records of a log; none for one that is not there.
  static func records(_ path: String) throws -> [StoredRecord] { try scan(path).records }

  private static func scan(_ path: String) throws -> (records: [StoredRecord], end: Int) {
    guard let info = try FileInfo.ifThere(path), info.size > 0 else { return ([], 0) }
    let file = try MappedFile(path: path)
    var records: [StoredRecord] = []
    var end = 0
    file.withBytes { bytes in
      while let (record, next) = record(bytes, at: end, file) {
        records.append(record)
        end = next
      }
    }
    return (records, end)
  }

  private static func record(_ bytes: UnsafeRawBufferPointer, at start: Int, _ file: MappedFile) -> (StoredRecord, Int)?
  {
    guard start + headBytes <= bytes.count else { return nil }
    let counts = (0..<2).map {
      UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: start + 8 * $0, as: UInt64.self))
    }
    let room = UInt64(bytes.count - start - headBytes)
    guard counts[0] <= room, counts[1] <= room - counts[0] else { return nil }
    let base = start + headBytes
    let (text, end) = (bytes[base..<base + Int(counts[0])], base + Int(counts[0]) + Int(counts[1]))
    let sum = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: start + 16, as: UInt32.self))
    guard crc32(UnsafeRawBufferPointer(rebasing: bytes[base..<end])) == sum else { return nil }
    let lines = Array(text).split(separator: UInt8(ascii: "\n"))
    guard lines.count >= 3, let entry = JobEntry(stampText: lines[1], line: lines[2]) else { return nil }
    let numbers = String(decoding: lines[0], as: UTF8.self).split(separator: " ").compactMap { Int($0) }
    guard numbers.count == 2 else { return nil }
    var parts: [StoredRecord.Part] = []
    var at = base + Int(counts[0])
    for line in lines.dropFirst(3) {
      let words = String(decoding: line, as: UTF8.self).split(separator: " ", omittingEmptySubsequences: false)
      guard words.count == 4, let type = ElementType(rawValue: String(words[1])), let count = Int(words[3]), count >= 0,
        count <= end - at
      else { return nil }
      let shape = words[2].split(separator: ",").compactMap { Int($0) }
      parts.append(.init(name: String(words[0]), type: type, shape: shape, range: at..<at + count))
      at += count
    }
    return (StoredRecord(entry: entry, index: numbers[0], shard: numbers[1], file: file, parts: parts), end)
  }
}
