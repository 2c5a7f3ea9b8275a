import VTokFiles
import VTokImage
import VTokWeights

/// What a run may keep of earlier ones, input by input.
extension PruneJob {
  /// About an input in a finished shard.
  enum Verdict: Sendable {
    case unseen, same, other
    /// The same content in a file that was touched.
    case touched(InputStamp)
    case failedAgain(String, InputStamp?)
  }

  func judge(_ entry: JobEntry, _ index: Int, _ written: Int64) throws -> Verdict {
    guard entry.isGood, let stamp = entry.stamp else {
      let again = try make(index)
      return again.entry.line == entry.line ? .failedAgain(again.failure ?? "", again.entry.stamp) : .other
    }
    let input = inputs[index]
    guard let now = try stamp.refreshed(input) else { return .other }
    if settings.overlays, try !store.isIntact(entry.overlay, overlayNames.png(input.name), since: written) {
      return .other
    }
    return now == stamp ? .same : .touched(now)
  }

  /// What an earlier run made of the same content.
  func reused(_ candidates: [StoredRecord], _ index: Int, _ shard: Int) throws -> Slot? {
    let input = inputs[index]
    for candidate in candidates.reversed() {
      guard candidate.entry.isGood, let stamp = try candidate.entry.stamp?.refreshed(input),
        var entry = candidate.entry.moved(from: candidate.index, candidate.shard, to: index, shard),
        entry.isOf(index, input.name)
      else { continue }
      if settings.overlays {
        guard try store.isIntact(entry.overlay, overlayNames.png(input.name), since: nil) else { continue }
      }
      entry.stamp = stamp
      let line = try JSON(parsing: Array(entry.line))
      return Slot(entry: entry, numbers: Totals.Line(line), source: .stored(candidate))
    }
    return nil
  }

  /// Why an input has to be made, as the summary counts it.
  /// - Parameter earlier: what earlier runs had of it.
  func kind(of earlier: [StoredRecord], _ index: Int, isNew: Bool) throws -> WritableKeyPath<Changes, Int> & Sendable {
    if earlier.isEmpty { return isNew ? \.added : \.made }
    let good = earlier.filter(\.entry.isGood)
    if good.isEmpty { return \.retried }
    // The content of one that was kept in no usable form (its overlay is damaged) may still be the same.
    let isSame = try good.contains { try $0.entry.stamp?.refreshed(inputs[index]) != nil }
    return isSame ? \.made : \.changed
  }

  // MARK: A shard that is being made

  /// A place of the shard that is being made.
  struct Slot: Sendable {
    let entry: JobEntry
    let numbers: Totals.Line?
    /// In another file, or in the shard's log.
    let source: Source
    enum Source: Sendable {
      case stored(StoredRecord)
      case logged(RecordLog.Place)
    }
  }
  struct Making: Sendable {
    var slots: [Slot?]
    var failures: [(Int, String)] = []
    var changes = PruneJob.Changes()
    var times = StageTimes()
    var speedups: [Double] = []
    var failed = 0, done = 0
    var error: (any Error)?

    /// Notes an input that was made, and why.
    mutating func count(_ made: Done, _ index: Int, _ kind: WritableKeyPath<Changes, Int> & Sendable) {
      done += 1
      if let times = made.times { self.times.add(times) }
      if let speedup = made.speedup { speedups.append(speedup) }
      if let failure = made.failure {
        failed += 1
        failures.append((index, failure))
      }
      changes[keyPath: kind] += 1
    }
  }
}
