import VTokFiles
import VTokLibC
import VTokWeights

/// The records of a stream, one at a time: lines, or texts that end with NUL. Only the one that is read is in memory.
public struct StreamRecords: Sendable {
  public enum Record: Sendable, Equatable {
    case text([UInt8])
    /// Longer than `longest`; it was passed over.
    case tooLong
  }

  /// Bytes of a record at most: an image of 48 MB in base64.
  public static let longest = ReadBudget.data.text

  private let descriptor: Int32
  private let separator: UInt8
  private var buffer: [UInt8] = []
  private var start = 0
  private var isAtEnd = false

  /// - Parameters:
  ///   - descriptor: of an open file, such as standard input (0).
  ///   - endsWithNUL: records end with NUL, as `find -print0` writes them; else with a line end.
  public init(descriptor: Int32, endsWithNUL: Bool = false) {
    self.descriptor = descriptor
    separator = endsWithNUL ? 0 : UInt8(ascii: "\n")
  }

  /// The next record that is not empty; nil at the end of the stream, which may lack the last separator.
  /// - Throws: `SystemError` of reading.
  public mutating func next() throws(SystemError) -> Record? {
    var isTooLong = false
    while true {
      if let end = buffer[start...].firstIndex(of: separator) {
        let record = Self.trimmed(buffer[start..<end], separator)
        start = end + 1
        if isTooLong { return .tooLong }
        if !record.isEmpty { return .text(Array(record)) }
        continue
      }
      buffer.removeSubrange(..<start)
      start = 0
      if buffer.count > Self.longest {
        isTooLong = true
        buffer.removeAll(keepingCapacity: false)
      }
      if isAtEnd {
        let record = Self.trimmed(buffer[...], separator)
        defer { buffer = [] }
        return isTooLong ? .tooLong : record.isEmpty ? nil : .text(Array(record))
      }
      try fill()
    }
  }

  private mutating func fill() throws(SystemError) {
    var block = [UInt8](repeating: 0, count: 1 << 16)
    let count = unbroken { block.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) } }
    if count < 0 { throw SystemError("read it", "standard input", code: errno) }
    if count == 0 { isAtEnd = true }
    buffer += block[..<max(0, count)]
  }

  /// Lines of other systems end with a carriage return too.
  private static func trimmed(_ record: ArraySlice<UInt8>, _ separator: UInt8) -> ArraySlice<UInt8> {
    separator != 0 && record.last == UInt8(ascii: "\r") ? record.dropLast() : record
  }
}
