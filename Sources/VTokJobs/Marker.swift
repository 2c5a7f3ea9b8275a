import VTokFiles
import VTokWeights

/// What makes a token file count: which inputs it is of, as they were, and what the file itself was.
///
/// Text: a line of JSON (`vtok-shard/1`: shard, index of its first input, length and CRC-32 of the token file, sums), then
/// two lines for every input: `ok` or `failed`; its size, the times of its last write and change in nanoseconds and its
/// SHA-256, or `-` if it could not be read; length and CRC-32 of its overlay, or `-`. And its line of the manifest. The last
/// line is the CRC-32 of all before it.
struct Marker: Sendable {
  let shard: Int, first: Int
  let tokens: FileSum
  let totals: Totals
  var entries: [JobEntry]
}

extension Marker {
  /// nil for what is no marker.
  init?(_ bytes: [UInt8]) {
    let lines = bytes.split(separator: UInt8(ascii: "\n"))
    guard let last = lines.last, last.endIndex == bytes.count - 1,
      let sum = UInt32(String(decoding: last, as: UTF8.self)),
      sum == bytes[..<last.startIndex].withUnsafeBytes({ crc32($0) })
    else { return nil }
    guard let head = lines.first.flatMap({ try? JSON(parsing: Array($0)) }), head["schema"]?.string == "vtok-shard/1",
      let shard = head["shard"]?.int, let first = head["first"]?.int, let count = head["count"]?.int,
      let length = head["tokens"]?["bytes"]?.int,
      let crc = head["tokens"]?["crc32"]?.int.flatMap(UInt32.init(exactly:)),
      let totals = Totals(head["totals"]), count >= 0, lines.count == 2 * count + 2, totals.images == count
    else { return nil }
    var entries: [JobEntry] = []
    entries.reserveCapacity(count)
    for index in 0..<count {
      guard let entry = JobEntry(stampText: lines[2 * index + 1], line: lines[2 * index + 2]) else { return nil }
      entries.append(entry)
    }
    self.init(shard: shard, first: first, tokens: FileSum(bytes: length, crc: crc), totals: totals, entries: entries)
  }

  func emit(_ sink: (UnsafeRawBufferPointer) -> Void) {
    let head: JSON = [
      "schema": "vtok-shard/1", "shard": JSON(shard), "first": JSON(first), "count": JSON(entries.count),
      "tokens": ["bytes": JSON(tokens.bytes), "crc32": JSON(Int(tokens.crc))], "totals": totals.json,
    ]
    var text = Array((head.text() + "\n").utf8)
    for entry in entries {
      text += Array((entry.stampText + "\n").utf8) + entry.line + [UInt8(ascii: "\n")]
    }
    text += Array("\(text.withUnsafeBytes { crc32($0) })\n".utf8)
    text.withUnsafeBytes(sink)
  }

  /// The manifest's lines of a marker file, with their ends.
  static func emitLines(of file: MappedFile, _ sink: (UnsafeRawBufferPointer) -> Void) {
    file.withBytes { bytes in
      var (at, number) = (0, 0)
      while at < bytes.count {
        let end = bytes[at...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count - 1
        if number > 0, number % 2 == 0 { sink(UnsafeRawBufferPointer(rebasing: bytes[at...end])) }
        (at, number) = (end + 1, number + 1)
      }
    }
  }
}
