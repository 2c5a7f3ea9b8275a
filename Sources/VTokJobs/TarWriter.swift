/// The bytes of a tar archive (ustar) that depend on names and contents only: no owners, no times. A file is a header, its
/// content, and what fills its last block.
enum TarWriter {
  /// - Parameters:
  ///   - name: at most 100 bytes.
  ///   - size: of the content, below 8 GB.
  static func header(_ name: String, size: Int) -> [UInt8] {
    precondition(name.utf8.count <= 100 && size < 1 << 33, "no room in a header for '\(name)' of \(size) bytes")
    var header = [UInt8](repeating: 0, count: 512)
    func put(_ text: String, at place: Int) { header.replaceSubrange(place..<place + text.utf8.count, with: text.utf8) }
    func octal(_ value: Int, digits: Int) -> String {
      let text = String(value, radix: 8)
      return String(repeating: "0", count: digits - text.count) + text
    }
    put(name, at: 0)
    for (value, place) in [(0o644, 100), (0, 108), (0, 116)] { put(octal(value, digits: 7), at: place) }
    put(octal(size, digits: 11), at: 124)
    put(octal(0, digits: 11), at: 136)
    put("        ", at: 148)
    put("0", at: 156)
    put("ustar\u{0}00", at: 257)
    put(octal(header.reduce(0) { $0 + Int($1) }, digits: 6) + "\0 ", at: 148)
    return header
  }

  static func filling(size: Int) -> [UInt8] { [UInt8](repeating: 0, count: (512 - size % 512) % 512) }

  /// What ends an archive: two empty blocks.
  static let end = [UInt8](repeating: 0, count: 1024)
}
