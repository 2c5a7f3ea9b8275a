import Foundation
import VTokTensor
import VTokWeights

/// The files of a job in its output folder: token shards, done-markers, the manifest, and the log of the shard that is
/// being made.
///
/// A shard counts only with its marker `.done/NNNNN`, which holds its manifest lines and is written after the token file
/// is in place. Images of an unfinished shard are appended to `.partial/NNNNN`, one record each, so that a killed job
/// loses at most the image it was at. `manifest.jsonl` is rewritten from the markers.
struct ShardStore: Sendable {
  let folder: String

  /// What one image adds to a token file, without the index in front of the names.
  typealias Tensors = [(String, Safetensors.Value)]
  struct Record: Sendable {
    var row: ManifestRow
    let tensors: Tensors
  }

  static func number(_ shard: Int) -> String {
    let digits = "\(shard)"
    return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
  }
  private func tokens(_ shard: Int) -> String { "\(folder)/tokens-\(Self.number(shard)).safetensors" }
  private func marker(_ shard: Int) -> String { "\(folder)/.done/\(Self.number(shard))" }
  private func partial(_ shard: Int) -> String { "\(folder)/.partial/\(Self.number(shard))" }

  func prepare() throws {
    for name in ["", "/.done", "/.partial"] {
      try FileManager.default.createDirectory(atPath: folder + name, withIntermediateDirectories: true)
    }
  }

  /// Removes everything a job writes.
  func clear() throws {
    let files = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    for file in files
    where [".done", ".partial", "manifest.jsonl", "job.yaml", "overlays"].contains(file)
      || (file.hasPrefix("tokens-") && file.hasSuffix(".safetensors"))
    {
      try FileManager.default.removeItem(atPath: folder + "/" + file)
    }
  }

  /// Manifest lines of a finished shard; nil when it is not finished.
  func finished(_ shard: Int) -> [ManifestRow]? {
    guard let data = FileManager.default.contents(atPath: marker(shard)),
      FileManager.default.fileExists(atPath: tokens(shard))
    else { return nil }
    return Self.rows(data)
  }

  static func rows(_ data: Data) -> [ManifestRow]? {
    var rows: [ManifestRow] = []
    for line in data.split(separator: UInt8(ascii: "\n")) {
      guard let json = try? JSON(parsing: [UInt8](line)), let row = ManifestRow(json) else { return nil }
      rows.append(row)
    }
    return rows
  }

  /// Writes the token file, then the marker; the log of the shard goes.
  func finish(_ shard: Int, _ records: [Record]) throws {
    var all: Tensors = []
    for record in records {
      for (name, value) in record.tensors { all.append(("\(record.row.index).\(name)", value)) }
    }
    try Safetensors.write(all, metadata: ["schema": "vtok-tokens/1"], to: tokens(shard))
    try write(lines: records.map(\.row), to: marker(shard))
    try? FileManager.default.removeItem(atPath: partial(shard))
  }

  /// The last step of a job.
  func write(manifest rows: [ManifestRow]) throws {
    try write(lines: rows, to: folder + "/manifest.jsonl")
    try? FileManager.default.removeItem(atPath: folder + "/.partial")
  }

  private func write(lines rows: [ManifestRow], to path: String) throws {
    let text = rows.map { $0.json.text() + "\n" }.joined()
    try WholeFile.write(text, to: path)
  }

  // MARK: The shard being made

  /// Appends images to the log. One record: lengths of its two parts (8 bytes each, little endian), the manifest line,
  /// the tensors as a safetensors file.
  final class Log {
    private let handle: FileHandle

    fileprivate init(path: String, keeping bytes: Int) throws {
      if !FileManager.default.fileExists(atPath: path) {
        _ = FileManager.default.createFile(atPath: path, contents: nil)
      }
      guard let handle = FileHandle(forUpdatingAtPath: path) else { throw CocoaError(.fileWriteUnknown) }
      self.handle = handle
      try handle.truncate(atOffset: UInt64(bytes))  // a record cut off by a crash goes
      try handle.seekToEnd()
    }

    func append(_ record: Record) throws {
      let line = Array(record.row.json.text().utf8)
      let tensors = try Safetensors.encode(record.tensors)
      var head: [UInt8] = []
      for count in [line.count, tensors.count] {
        withUnsafeBytes(of: UInt64(count).littleEndian) { head.append(contentsOf: $0) }
      }
      try handle.write(contentsOf: Data(head + line + tensors))
    }

    deinit { try? handle.close() }
  }

  /// The images of an unfinished shard that are already done, in order, and the log to go on with.
  func resume(_ shard: Int) throws -> (records: [Record], log: Log) {
    var records: [Record] = []
    var offset = 0
    if let data = FileManager.default.contents(atPath: partial(shard)) {
      let bytes = [UInt8](data)
      while let (record, end) = Self.record(bytes, at: offset, name: partial(shard)) {
        records.append(record)
        offset = end
      }
    }
    return (records, try Log(path: partial(shard), keeping: offset))
  }

  private static func record(_ bytes: [UInt8], at start: Int, name: String) -> (Record, end: Int)? {
    func length(_ at: Int) -> Int? {
      guard at + 8 <= bytes.count else { return nil }
      let value = bytes[at..<at + 8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      return value <= UInt64(bytes.count) ? Int(value) : nil
    }
    guard let line = length(start), let size = length(start + 8), start + 16 + line + size <= bytes.count,
      let json = try? JSON(parsing: Array(bytes[start + 16..<start + 16 + line])), let row = ManifestRow(json)
    else { return nil }
    let end = start + 16 + line + size
    let file = bytes[start + 16 + line..<end].withUnsafeBytes { MappedFile(copying: $0, name: name) }
    guard let parsed = try? Safetensors(file), let tensors = try? parsed.values() else { return nil }
    return (Record(row: row, tensors: tensors), end)
  }

  /// Records of a finished shard, read back from its token file.
  func records(of shard: Int) throws -> [Record]? {
    guard let rows = finished(shard) else { return nil }
    let file = try Safetensors(path: tokens(shard))
    let values = Dictionary(grouping: try file.values()) { Int($0.0.prefix { $0 != "." }) ?? -1 }
    return rows.map { row in
      Record(
        row: row,
        tensors: (values[row.index] ?? []).map { (String($0.0.drop { $0 != "." }.dropFirst()), $0.1) })
    }
  }
}

extension Safetensors {
  /// All tensors as they would be written again.
  fileprivate func values() throws(WeightError) -> [(String, Value)] {
    var values: [(String, Value)] = []
    for entry in entries {
      switch entry.type {
      case .i64: values.append((entry.name, .i64(try integers(entry.name), shape: entry.shape)))
      case .f16: values.append((entry.name, .f16(try tensor(entry.name))))
      default: values.append((entry.name, .f32(try tensor(entry.name))))
      }
    }
    return values
  }
}
