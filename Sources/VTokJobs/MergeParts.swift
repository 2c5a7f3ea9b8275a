import VTokData
import VTokFiles
import VTokImage
import VTokWeights

/// Why the parts of a job cannot become one.
public enum MergeError: OneLineError, Equatable {
  case noParts(String)
  case missing(String, part: Int, of: Int)
  case different(String)
  /// An input is not what it was when its part was done, is new, or is gone.
  case changed(String, input: String, part: Int, of: Int)

  public var message: String {
    switch self {
    case .noParts(let folder):
      "merge '\(printable(folder))': no folder shard-i-of-n, expected the parts of one job. "
        + "Run the parts first."
    case .missing(let folder, let part, let count):
      "merge '\(printable(folder))': part \(part) of \(count) is missing, unfinished or damaged, expected all \(count). "
        + "Run that part to its end."
    case .different(let folder):
      "merge '\(printable(folder))': parts of different jobs, expected one configuration and one list of inputs. "
        + "Run all parts with the same settings."
    case .changed(let folder, let input, let part, let count):
      "merge '\(printable(folder))': input '\(printable(input))' changed since part \(part) of \(count) was done, "
        + "expected the same. Run all parts again: they do what is new."
    }
  }
}

/// Puts the parts of a job together: line j of part i of n becomes line j * n + i, and the token files are cut again at
/// the job's shard size. The result is, byte for byte, what one run writes.
public struct MergeParts {
  public let folder: String
  /// Folders of the parts, in order.
  public let parts: [String]
  private let stores: [ShardStore]
  private var store: ShardStore { ShardStore(folder: folder) }

  /// - Parameter folder: the output folder that holds `shard-i-of-n`.
  /// - Throws: `MergeError` if there are no parts, or not all.
  public init(_ folder: String) throws {
    let numbers = try Folder.namesIfThere(folder).compactMap { name -> (Int, Int)? in
      let words = name.split(separator: "-")
      guard words.count == 4, words[0] == "shard", words[2] == "of", let index = Int(words[1]),
        let count = Int(words[3])
      else { return nil }
      return (index, count)
    }
    guard let count = numbers.first?.1 else { throw MergeError.noParts(folder) }
    guard numbers.allSatisfy({ $0.1 == count }) else { throw MergeError.different(folder) }
    self.folder = folder
    if let part = (0..<count).first(where: { part in !numbers.contains { $0.0 == part } }) {
      throw MergeError.missing(folder, part: part, of: count)
    }
    parts = (0..<count).map { "\(folder)/shard-\($0)-of-\(count)" }
    stores = parts.map { ShardStore(folder: $0) }
  }

  /// - Parameter inputs: the job's inputs as they are now; nil if they are not on this machine.
  /// - Returns: sums over all lines.
  public func run(shardSize: Int, inputs: [InputFile]?) throws -> Totals {
    let names = try names()
    try compare(names, inputs)
    try store.clear()
    try store.prepare()
    let overlays = OutputNames(names)
    var cursors = stores.map { Cursor(store: $0) }
    var totals = Totals()
    var pending: [(record: StoredRecord, numbers: Totals.Line?)] = []
    let shards = names.isEmpty ? 1 : (names.count - 1) / shardSize + 1
    for index in names.indices {
      let part = index % parts.count
      guard let old = try cursors[part].record(index / parts.count) else { throw missing(part) }
      guard var entry = old.entry.moved(from: old.index, old.shard, to: index, index / shardSize) else {
        throw missing(part)
      }
      if let input = inputs?[index] {
        if let stamp = entry.stamp {
          guard let now = try stamp.refreshed(input) else { throw changed(names[index], part) }
          entry.stamp = now
        } else if (try? input.readAll()) != nil {
          throw changed(names[index], part)  // it could not be read, and now it can
        }
      }
      if let overlay = entry.overlay { try copy(overlay, overlays.png(names[index]), from: part) }
      let numbers = Totals.Line(try JSON(parsing: Array(entry.line)))
      var record = old
      record.entry = entry
      pending.append((record, numbers))
      if pending.count == shardSize || index == names.count - 1 {
        totals.add(try store.finish(index / shardSize, first: index - pending.count + 1, pending))
        pending = []
      }
    }
    if names.isEmpty { totals.add(try store.finish(0, first: 0, [])) }
    try store.writeManifest(shards: shards)
    return totals
  }

  private func missing(_ part: Int) -> MergeError { .missing(folder, part: part, of: parts.count) }
  private func changed(_ name: String, _ part: Int) -> MergeError {
    .changed(folder, input: name, part: part, of: parts.count)
  }

  /// Names of all inputs in the order of the whole, every part of them finished and whole.
  public func names() throws -> [String] {
    var lists: [[String]] = []
    for (part, store) in stores.enumerated() {
      guard try FileInfo.ifThere(store.manifest) != nil else { throw missing(part) }
      var list: [String] = []
      for (place, shard) in try store.marked().enumerated() {
        guard place == shard, let marker = try store.finished(shard)?.marker, marker.first == list.count else {
          throw missing(part)
        }
        for entry in marker.entries {
          guard let name = entry.name else { throw missing(part) }
          list.append(name)
        }
      }
      lists.append(list)
    }
    let total = lists.reduce(0) { $0 + $1.count }
    for (part, list) in lists.enumerated() where list.count != (total - part + parts.count - 1) / parts.count {
      throw MergeError.different(folder)
    }
    return (0..<total).map { lists[$0 % parts.count][$0 / parts.count] }
  }

  private func compare(_ names: [String], _ inputs: [InputFile]?) throws {
    guard let inputs else { return }
    for index in 0..<max(names.count, inputs.count) {
      let (name, now) = (index < names.count ? names[index] : nil, index < inputs.count ? inputs[index].name : nil)
      if name != now { throw changed(name ?? now!, index % parts.count) }
    }
  }

  private func copy(_ overlay: FileSum, _ name: String, from part: Int) throws {
    guard try stores[part].isIntact(overlay, name, since: nil) else { throw missing(part) }
    let file = try MappedFile(path: stores[part].overlays + "/" + name)
    try Folder.makeAbove(store.overlays + "/" + name)
    try WholeFile.write(to: store.overlays + "/" + name, synced: false) { sink throws(WeightError) in
      file.withBytes(sink)
    }
  }

  /// Goes through a part line by line, one shard in memory at a time.
  private struct Cursor {
    let store: ShardStore
    private var shard = -1, first = 0
    private var records: [StoredRecord] = []

    init(store: ShardStore) { self.store = store }

    /// nil where the part is not what it was.
    mutating func record(_ line: Int) throws -> StoredRecord? {
      while line >= first + records.count {
        (shard, first) = (shard + 1, first + records.count)
        guard let marker = try store.finished(shard)?.marker, marker.first == first else { return nil }
        records = try StoredRecord.all(of: marker, tokens: store.tokens(shard))
        if records.isEmpty { return nil }
      }
      return records[line - first]
    }
  }
}
