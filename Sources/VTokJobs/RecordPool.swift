import VTokFiles
import VTokWeights

/// What earlier runs of a job have done and no shard of this run has yet: shards that were set aside, and logs. Found by
/// the name of the input; whether it still holds is for the caller to see.
///
/// Names stay in memory, everything else on the disk: a shard is opened for the shard that needs it.
final class RecordPool {
  private enum Kind {
    case shard(marker: String, tokens: String)
    case log(String)

    var paths: [String] {
      switch self {
      case .shard(let marker, let tokens): [marker, tokens]
      case .log(let path): [path]
      }
    }
  }
  private struct Source {
    let kind: Kind
    /// Inputs of this run that may still ask for it.
    var wanted = 0
    /// Its token file was compared with its marker.
    var isVerified = false
  }
  private struct Place {
    let source: Int32, record: Int32
  }

  private var sources: [Source] = []
  private var places: [String: [Place]] = [:]
  /// Names of earlier inputs that are none any more.
  let gone: Int
  /// Whether every marker that was set aside could be read, so that a name that is not here is a new one.
  private(set) var isWhole = true
  func knows(_ name: String) -> Bool { places[name] != nil }
  var isEmpty: Bool { places.isEmpty }

  /// - Parameter names: inputs that this run has to make.
  init(_ store: ShardStore, names: some Sequence<String>) throws {
    try Self.finishMoves(store)
    var places: [String: [Place]] = [:]
    for kind in try Self.kinds(store) {
      let number = Int32(sources.count)
      sources.append(Source(kind: kind))
      let names = try Self.names(of: kind)
      if names == nil { isWhole = false }
      for (record, name) in (names ?? []).enumerated() {
        if let name { places[name, default: []].append(Place(source: number, record: Int32(record))) }
      }
    }
    var asked: Set<String> = []
    for name in names {
      guard let found = places[name] else { continue }
      asked.insert(name)
      for place in found { sources[Int(place.source)].wanted += 1 }
    }
    gone = places.count - asked.count
    self.places = places
  }

  /// Takes shards out of the way: a job of other inputs writes others under their numbers.
  static func setAside(_ shards: [Int], of store: ShardStore) throws {
    guard !shards.isEmpty else { return }
    try Folder.make(store.previous)
    var next = (try Folder.names(store.previous).compactMap { Int($0) }.max() ?? -1) + 1
    for shard in shards {
      try Folder.move(store.marker(shard), to: "\(store.previous)/\(next)")
      if try FileInfo.ifThere(store.tokens(shard)) != nil {
        try Folder.move(store.tokens(shard), to: "\(store.previous)/\(next).safetensors")
      }
      next += 1
    }
  }

  /// A run that was killed between the two moves of a shard has left its token file behind.
  private static func finishMoves(_ store: ShardStore) throws {
    for number in try Folder.namesIfThere(store.previous).compactMap({ Int($0) }) {
      let target = "\(store.previous)/\(number).safetensors"
      guard try FileInfo.ifThere(target) == nil,
        let shard = try FileBytes.readIfThere("\(store.previous)/\(number)").flatMap({ Marker($0) })?.shard,
        try FileInfo.ifThere(store.marker(shard)) == nil, try FileInfo.ifThere(store.tokens(shard)) != nil
      else { continue }
      try Folder.move(store.tokens(shard), to: target)
    }
  }

  private static func kinds(_ store: ShardStore) throws -> [Kind] {
    let kept = try Folder.namesIfThere(store.previous).compactMap { Int($0) }.sorted()
    let logs = try Folder.namesIfThere(store.partial).compactMap { Int($0) }.sorted()
    return kept.map { .shard(marker: "\(store.previous)/\($0)", tokens: "\(store.previous)/\($0).safetensors") }
      + logs.map { .log(store.log($0)) }
  }

  /// nil for what cannot be read.
  private static func names(of kind: Kind) throws -> [String?]? {
    switch kind {
    case .shard(let marker, _):
      try FileBytes.readIfThere(marker).flatMap { Marker($0) }?.entries.map(\.name)
    case .log(let path): try RecordLog.records(path).map(\.entry.name)
    }
  }

  /// The records of each name, of the latest run last.
  func records(of names: [String]) throws -> [[StoredRecord]] {
    var wanted: [Int32: [(slot: Int, record: Int)]] = [:]
    for (slot, name) in names.enumerated() {
      for place in places[name] ?? [] { wanted[place.source, default: []].append((slot, Int(place.record))) }
    }
    var found = [[StoredRecord]](repeating: [], count: names.count)
    for (source, asked) in wanted.sorted(by: { $0.key < $1.key }) {
      let records = try load(Int(source))
      for (slot, record) in asked where record < records.count { found[slot].append(records[record]) }
    }
    return found
  }

  private func load(_ source: Int) throws -> [StoredRecord] {
    guard case .shard(let path, let tokens) = sources[source].kind else {
      return try RecordLog.records(sources[source].kind.paths[0])
    }
    guard let marker = try FileBytes.readIfThere(path).flatMap({ Marker($0) }) else { return [] }
    if !sources[source].isVerified {
      guard try FileSum.of(tokens) == marker.tokens else { return [] }
      sources[source].isVerified = true
    }
    return try StoredRecord.all(of: marker, tokens: tokens)
  }

  /// These inputs have their new place: what nobody asks for any more is removed.
  func release(_ names: some Sequence<String>) throws {
    for name in names {
      for place in places[name] ?? [] {
        sources[Int(place.source)].wanted -= 1
        if sources[Int(place.source)].wanted == 0 {
          for path in sources[Int(place.source)].kind.paths { try Folder.remove(path) }
        }
      }
    }
  }

  /// Whether a log holds what later shards may ask for.
  func needs(log path: String) -> Bool {
    sources.contains { $0.wanted > 0 && $0.kind.paths == [path] }
  }
}

extension StoredRecord {
  /// The records of a finished shard, in its order.
  static func all(of marker: Marker, tokens: String) throws -> [StoredRecord] {
    let file = try Safetensors(path: tokens)
    var parts = [[Part]](repeating: [], count: marker.entries.count)
    for entry in file.entries {
      guard let dot = entry.name.firstIndex(of: "."), let index = Int(entry.name[..<dot]),
        parts.indices.contains(index - marker.first)
      else { continue }
      parts[index - marker.first].append(
        Part(
          name: String(entry.name[entry.name.index(after: dot)...]), type: entry.type, shape: entry.shape,
          range: entry.range))
    }
    return zip(marker.entries, parts).enumerated().map { offset, pair in
      StoredRecord(
        entry: pair.0, index: marker.first + offset, shard: marker.shard, file: file.file, parts: pair.1)
    }
  }
}
