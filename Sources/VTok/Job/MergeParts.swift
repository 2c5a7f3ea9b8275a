import Foundation
import VTokWeights

/// Why the parts of a job cannot become one.
public enum MergeError: Error, Sendable, Equatable, CustomStringConvertible {
  case noParts(String)
  case missing(String, part: Int, of: Int)
  case different(String)

  public var description: String {
    switch self {
    case .noParts(let folder):
      "merge '\(folder)': no folder shard-i-of-n, expected the parts of one job. Run 'vtok prune --shard i/n' first."
    case .missing(let folder, let part, let count):
      "merge '\(folder)': part \(part) of \(count) is missing or unfinished, expected all \(count). "
        + "Run 'vtok prune --shard \(part)/\(count)' to its end."
    case .different(let folder):
      "merge '\(folder)': parts of different jobs, expected one configuration. Run all parts with the same flags."
    }
  }
}

/// Puts the parts of a job together: line j of part i of n becomes line j * n + i, and the token files are cut again at
/// the job's shard size. The result is, byte for byte, what one run writes.
public enum MergeParts {
  /// - Parameter folder: the output folder that holds `shard-i-of-n`.
  /// - Returns: the rows of the merged manifest.
  public static func merge(_ folder: String, shardSize: Int) throws -> [ManifestRow] {
    let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter { $0.hasPrefix("shard-") }
    let numbers = names.compactMap { name -> (Int, Int)? in
      let parts = name.split(separator: "-")
      guard parts.count == 4, parts[2] == "of", let index = Int(parts[1]), let count = Int(parts[3]) else { return nil }
      return (index, count)
    }
    guard let count = numbers.first?.1 else { throw MergeError.noParts(folder) }
    guard numbers.allSatisfy({ $0.1 == count }) else { throw MergeError.different(folder) }
    let parts = (0..<count).map { ShardStore(folder: "\(folder)/shard-\($0)-of-\(count)") }
    var lines: [[ManifestRow]] = []
    for (index, part) in parts.enumerated() {
      guard let data = FileManager.default.contents(atPath: part.folder + "/manifest.jsonl"),
        let rows = ShardStore.rows(data)
      else { throw MergeError.missing(folder, part: index, of: count) }
      lines.append(rows)
    }
    let total = lines.reduce(0) { $0 + $1.count }
    guard lines.indices.allSatisfy({ lines[$0].count == (total - $0 + count - 1) / count }) else {
      throw MergeError.different(folder)
    }
    let store = ShardStore(folder: folder)
    try store.prepare()
    var merged: [ManifestRow] = []
    var loaded: [Int: (shard: Int, records: [ShardStore.Record])] = [:]  // one shard of every part at a time
    var pending: [ShardStore.Record] = []
    for index in 0..<total {
      let (part, line) = (index % count, index / count)
      let row = lines[part][line]
      if loaded[part]?.shard != row.shard {
        guard let records = try parts[part].records(of: row.shard) else {
          throw MergeError.missing(folder, part: part, of: count)
        }
        loaded[part] = (row.shard, records)
      }
      guard var record = loaded[part]!.records.first(where: { $0.row.index == line }) else {
        throw MergeError.different(folder)
      }
      record.row.index = index
      record.row.shard = index / shardSize
      pending.append(record)
      merged.append(record.row)
      if pending.count == shardSize || index == total - 1 {
        try store.finish(index / shardSize, pending)
        pending = []
      }
    }
    for part in parts { try copyOverlays(from: part.folder, to: folder) }
    try store.write(manifest: merged)
    return merged
  }

  private static func copyOverlays(from source: String, to target: String) throws {
    let files = FileManager.default
    guard let names = files.enumerator(atPath: source + "/overlays")?.allObjects as? [String] else { return }
    for name in names where name.hasSuffix(".png") {
      let path = target + "/overlays/" + name
      try files.createDirectory(
        atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
      let bytes = try Data(contentsOf: URL(fileURLWithPath: source + "/overlays/" + name))
      try WholeFile.write([UInt8](bytes), to: path, synced: false)
    }
  }
}
