import VTokFiles
import VTokWeights

/// The files of a job in its output folder: token shards, done-markers, the manifest, and the logs of shards that are
/// being made.
///
/// A shard counts only with its marker `.done/NNNNN`, which holds its manifest lines and is written after the token file
/// is in place. Inputs of an unfinished shard are in the log `.partial/NNNNN`. When inputs came or went, shards that do
/// not fit any more are in `.previous` until what they hold has its new place. `manifest.jsonl` is made from the markers,
/// at the end; while a job is not done there is none.
struct ShardStore: Sendable {
  let folder: String

  static func number(_ shard: Int) -> String {
    let digits = "\(shard)"
    return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
  }
  func tokens(_ shard: Int) -> String { "\(folder)/tokens-\(Self.number(shard)).safetensors" }
  func marker(_ shard: Int) -> String { "\(folder)/.done/\(Self.number(shard))" }
  func log(_ shard: Int) -> String { "\(folder)/.partial/\(Self.number(shard))" }
  var manifest: String { folder + "/manifest.jsonl" }
  var partial: String { folder + "/.partial" }
  var previous: String { folder + "/.previous" }
  var overlays: String { folder + "/overlays" }

  func prepare() throws { try Folder.make(folder + "/.done") }

  /// What a job writes, but for its lock.
  private static func isOurs(_ name: String) -> Bool {
    let name = name.hasSuffix(".part") ? String(name.dropLast(5)) : name
    return [".done", ".partial", ".previous", "manifest.jsonl", "job.yaml", "overlays"].contains(name)
      || (name.hasPrefix("tokens-") && ([".safetensors"] + exportEndings).contains(where: name.hasSuffix))
  }

  /// Something here that has the name of a job's file; nil for none.
  func leftover() throws -> String? {
    try Folder.namesIfThere(folder).sorted().first { name in
      guard Self.isOurs(name), !name.hasPrefix("job.yaml") else { return false }
      return try ![".done", "overlays"].contains(name) || !Folder.namesIfThere(folder + "/" + name).isEmpty
    }
  }

  /// Removes everything a job writes.
  func clear() throws {
    for name in try Folder.namesIfThere(folder) where Self.isOurs(name) { try Folder.remove(folder + "/" + name) }
  }

  /// Shards that have a marker, in order.
  func marked() throws -> [Int] { try Folder.namesIfThere(folder + "/.done").compactMap { Int($0) }.sorted() }

  /// The marker of a shard whose token file is what it was; nil for an unfinished or damaged one.
  ///
  /// The token file is read only if it was touched after the marker was written.
  /// - Returns: also when the marker was written, in nanoseconds, and whether the token file was touched since.
  func finished(_ shard: Int) throws -> (marker: Marker, written: Int64, isTouched: Bool)? {
    guard let info = try FileInfo.ifThere(marker(shard)), let bytes = try FileBytes.readIfThere(marker(shard)),
      let marker = Marker(bytes), marker.shard == shard,
      let tokens = try FileInfo.ifThere(tokens(shard)), tokens.kind == .file, tokens.size == marker.tokens.bytes
    else { return nil }
    let isTouched = max(tokens.modified, tokens.changed) > info.modified
    if isTouched, try FileSum.of(self.tokens(shard)) != marker.tokens { return nil }
    return (marker, info.modified, isTouched)
  }

  /// Whether an overlay is what it was.
  /// - Parameter written: an overlay that was not touched since is not read.
  func isIntact(_ overlay: FileSum?, _ name: String, since written: Int64?) throws -> Bool {
    guard let overlay else { return false }
    let path = overlays + "/" + name
    guard let info = try FileInfo.ifThere(path, following: false), info.kind == .file, info.size == overlay.bytes else {
      return false
    }
    if let written, max(info.modified, info.changed) <= written { return true }
    return try FileSum.of(path) == overlay
  }

  /// Writes the token file, then the marker.
  func finish(_ shard: Int, first: Int, _ records: [(record: StoredRecord, numbers: Totals.Line?)]) throws -> Totals {
    var totals = Totals()
    for record in records { totals.add(record.numbers) }
    let tensors = records.enumerated().flatMap { $1.record.tensors(first + $0) }
    let sum = try Safetensors.write(tensors, metadata: ["schema": "vtok-tokens/1"], to: tokens(shard))
    try write(
      Marker(shard: shard, first: first, tokens: sum, totals: totals, entries: records.map(\.record.entry)))
    return totals
  }

  func write(_ marker: Marker) throws {
    try WholeFile.write(to: self.marker(marker.shard)) { sink throws(WeightError) in marker.emit(sink) }
  }

  // MARK: The end of a job

  /// Makes the manifest of so many finished shards, unless it is there already.
  func writeManifest(shards: Int) throws {
    var sum = FileSum()
    try emitLines(shards) { sum.add($0) }
    if try FileSum.of(manifest) == sum { return }
    try WholeFile.write(to: manifest) { sink throws(WeightError) in try emitLines(shards, sink) }
  }

  private func emitLines(_ shards: Int, _ sink: (UnsafeRawBufferPointer) -> Void) throws(WeightError) {
    for shard in 0..<shards { Marker.emitLines(of: try MappedFile(path: marker(shard)), sink) }
  }

  /// Removes what a job of so many shards does not have: unfinished work, shards behind the last, overlays of inputs that
  /// are gone, halves of files that a killed process left.
  /// - Parameter drawn: names of the overlays; nil leaves the folder as it is.
  func sweep(shards: Int, drawn: ((String) -> Bool)?) throws {
    for path in [partial, previous] { try Folder.remove(path) }
    let own = Set((0..<shards).map { "tokens-\(Self.number($0)).safetensors" } + ["manifest.jsonl", "job.yaml"])
    for name in try Folder.names(folder) where Self.isOurs(name) && !own.contains(name) {
      if try isCurrentExport(name) { continue }
      if ![".done", "overlays"].contains(name) { try Folder.remove(folder + "/" + name) }
    }
    let markers = Set((0..<shards).map(Self.number))
    for name in try Folder.names(folder + "/.done") where !markers.contains(name) {
      try Folder.remove(folder + "/.done/" + name)
    }
    if let drawn { _ = try sweepOverlays("", drawn) }
  }

  /// - Returns: whether anything stays in the folder.
  private func sweepOverlays(_ relative: String, _ drawn: (String) -> Bool) throws -> Bool {
    let folder = relative.isEmpty ? overlays : overlays + "/" + relative
    var stays = false
    for entry in try Folder.namesIfThere(folder) {
      let name = relative.isEmpty ? entry : relative + "/" + entry
      let kind = try FileInfo.ifThere(overlays + "/" + name, following: false)?.kind
      if kind == .folder {
        if try sweepOverlays(name, drawn) { stays = true } else { try Folder.remove(overlays + "/" + name) }
      } else if drawn(name) || !(entry.hasSuffix(".png") || entry.hasSuffix(".part")) {
        stays = true
      } else {
        try Folder.remove(overlays + "/" + name)
      }
    }
    return stays
  }
}
