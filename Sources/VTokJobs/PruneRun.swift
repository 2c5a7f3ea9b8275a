import Synchronization
import VTokEval
import VTokFiles
import VTokImage
import VTokTensor
import VTokWeights

/// One run of a job: sees which finished shards still hold, sets the others aside, and makes their places anew from what
/// can be kept of them and from what has to be computed.
final class PruneRun {
  private let job: PruneJob
  private var store: ShardStore { job.store }
  private let progress: @Sendable (Int, Int, Int) -> Void
  private let isCancelled: @Sendable () -> Bool
  private var summary = PruneJob.Summary()
  /// By shard; nil for those that are not finished.
  private var totals: [Totals?]
  private var failures: [(index: Int, message: String)] = []
  /// Inputs without an overlay.
  private var failed: Set<Int> = []
  private var times = StageTimes()
  private var hadManifest = false, isGapless = false

  init(
    _ job: PruneJob, progress: @escaping @Sendable (Int, Int, Int) -> Void,
    isCancelled: @escaping @Sendable () -> Bool
  ) {
    self.job = job
    self.progress = progress
    self.isCancelled = isCancelled
    totals = Array(repeating: nil, count: job.shards)
  }

  func run() throws -> PruneJob.Summary {
    let clock = ContinuousClock()
    let start = clock.now
    hadManifest = try FileInfo.ifThere(store.manifest) != nil
    summary.changes.isRerun = try hadManifest || hasWork()
    try store.prepare()
    for shard in totals.indices {
      totals[shard] = try survey(shard)
      if summary.cancelled { break }
      report()
    }
    if !summary.cancelled { try makeTheRest() }
    if !summary.cancelled {
      try store.writeManifest(shards: job.shards)
      try store.sweep(shards: job.shards, drawn: drawn())
    }
    for case let one? in totals { summary.totals.add(one) }
    summary.failures = failures.sorted { $0.index < $1.index }.prefix(PruneJob.mostFailures).map(\.message)
    summary.times = times.medians
    summary.seconds = start.duration(to: clock.now) / .seconds(1)
    return summary
  }

  private func hasWork() throws -> Bool {
    try !store.marked().isEmpty || FileInfo.ifThere(store.partial) != nil || FileInfo.ifThere(store.previous) != nil
  }

  /// Names of the overlays that the job has; nil without overlays.
  private func drawn() -> ((String) -> Bool)? {
    guard job.settings.overlays else { return nil }
    let names = Set(
      job.inputs.indices.lazy.filter { !self.failed.contains($0) }.map {
        self.job.overlayNames.png(self.job.inputs[$0].name).hashValue
      })
    return { names.contains($0.hashValue) }
  }

  private func report() {
    let done = totals.reduce(into: (0, 0)) { sum, one in
      sum.0 += one?.images ?? 0
      sum.1 += one?.failed ?? 0
    }
    progress(done.0, job.inputs.count, done.1)
  }

  private func note(_ index: Int, _ message: String) {
    failed.insert(index)
    failures.append((index, message))
    guard failures.count > 8 * PruneJob.mostFailures else { return }
    failures.sort { $0.index < $1.index }
    failures.removeLast(failures.count - PruneJob.mostFailures)
  }

  // MARK: What still holds

  private struct Verdicts: Sendable {
    var all: [PruneJob.Verdict]
    var isOther = false
    var error: (any Error)?
  }

  /// The sums of a finished shard that is as this run would make it; nil for one that is not.
  private func survey(_ shard: Int) throws -> Totals? {
    let (job, isCancelled) = (self.job, self.isCancelled)
    let range = job.range(shard)
    guard let there = try store.finished(shard), case let entries = there.marker.entries,
      there.marker.first == range.lowerBound, entries.count == range.count,
      zip(range, entries).allSatisfy({ $1.isOf($0, job.inputs[$0].name) })
    else { return nil }
    let verdicts = Mutex(Verdicts(all: Array(repeating: .unseen, count: range.count)))
    parallel(range.count, threads: job.settings.threads) { offset in
      if verdicts.withLock({ $0.isOther || $0.error != nil }) || isCancelled() { return }
      let verdict = Result { try job.judge(entries[offset], range.lowerBound + offset, there.written) }
      verdicts.withLock { state in
        switch verdict {
        case .success(.other): state.isOther = true
        case .success(let verdict): state.all[offset] = verdict
        case .failure(let error): state.error = state.error ?? error
        }
      }
    }
    let found = verdicts.withLock { $0 }
    if let error = found.error { throw error }
    if found.isOther { return nil }
    var (marker, isTouched) = (there.marker, there.isTouched)
    for (offset, verdict) in found.all.enumerated() {
      switch verdict {
      case .same, .other: break
      case .touched(let stamp):
        marker.entries[offset].stamp = stamp
        isTouched = true
      case .failedAgain(let message, let stamp):
        if marker.entries[offset].stamp != stamp {
          marker.entries[offset].stamp = stamp
          isTouched = true
        }
        note(range.lowerBound + offset, message)
        summary.changes.retried += 1
      case .unseen:
        summary.cancelled = true
        return nil
      }
    }
    if isTouched { try store.write(marker) }
    summary.changes.kept += marker.totals.good
    return marker.totals
  }

  // MARK: What has to be made

  private func makeTheRest() throws {
    let open = totals.indices.filter { totals[$0] == nil }
    let stale = try store.marked().filter { !totals.indices.contains($0) || totals[$0] == nil }
    if open.isEmpty, stale.isEmpty { return }
    isGapless = try store.marked().elementsEqual(0..<store.marked().count)
    // No manifest beside token files that it does not describe.
    try Folder.remove(store.manifest)
    try RecordPool.setAside(stale, of: store)
    let names = open.lazy.flatMap { self.job.range($0) }.map { self.job.inputs[$0].name }
    let pool = try RecordPool(store, names: names)
    summary.changes.gone = pool.gone
    try Folder.make(store.partial)
    for shard in open {
      try make(shard, pool)
      report()
      if summary.cancelled { return }
    }
  }

  private struct SharedLog: @unchecked Sendable { let log: RecordLog }

  private func make(_ shard: Int, _ pool: RecordPool) throws {
    let (job, isCancelled, progress) = (self.job, self.isCancelled, self.progress)
    // Without a manifest the earlier run did not come to its end: an input that it does not know may be an old one.
    let tellsNew = hadManifest && pool.isWhole && isGapless
    let range = job.range(shard)
    let names = range.map { job.inputs[$0].name }
    let candidates = pool.isEmpty ? names.map { _ in [] } : try pool.records(of: names)
    let isNew = names.map { tellsNew && !pool.knows($0) }
    let path = store.log(shard)
    let shared = SharedLog(log: try RecordLog(path: path))
    let before = totals.reduce(into: (done: 0, failed: 0)) { sum, one in
      sum.done += one?.images ?? 0
      sum.failed += one?.failed ?? 0
    }
    let making = Mutex(PruneJob.Making(slots: Array(repeating: nil, count: range.count)))
    parallel(range.count, threads: job.settings.threads) { offset in
      if isCancelled() || making.withLock({ $0.error != nil }) { return }
      let index = range.lowerBound + offset
      do {
        if let slot = try job.reused(candidates[offset], index, shard) {
          making.withLock { state in
            state.slots[offset] = slot
            state.done += 1
            state.changes.kept += 1
          }
          return
        }
        let done = try job.make(index)
        let kind = try job.kind(of: candidates[offset], index, isNew: isNew[offset])
        let (count, failed) = try making.withLock { state throws -> (Int, Int) in
          let place = try shared.log.append(done.entry, index: index, shard: shard, done.tensors)
          state.slots[offset] = PruneJob.Slot(entry: done.entry, numbers: done.numbers, source: .logged(place))
          state.count(done, index, kind)
          return (state.done, state.failed)
        }
        progress(before.done + count, job.inputs.count, before.failed + failed)
      } catch {
        making.withLock { $0.error = $0.error ?? error }
      }
    }
    let made = making.withLock { $0 }
    take(made)
    if let error = made.error { throw error }
    let slots = made.slots.compactMap(\.self)
    guard slots.count == range.count else {
      summary.cancelled = true
      var unfinished = Totals()
      for slot in slots { unfinished.add(slot.numbers) }
      totals[shard] = unfinished
      return
    }
    totals[shard] = try finish(shard, range, slots, log: path)
    try pool.release(names)
    if !pool.needs(log: path) { try Folder.remove(path) }
  }

  private func finish(_ shard: Int, _ range: Range<Int>, _ slots: [PruneJob.Slot], log path: String) throws -> Totals {
    let isLogged = slots.contains { if case .logged(let place) = $0.source { !place.isEmpty } else { false } }
    let log = try isLogged ? MappedFile(path: path) : nil
    let records = zip(range, slots).map { index, slot in
      var record: StoredRecord
      switch slot.source {
      case .stored(let stored): record = stored
      case .logged(let place):
        record = StoredRecord(entry: slot.entry, index: index, shard: shard, file: log ?? Self.nothing, parts: place)
      }
      record.entry = slot.entry
      return (record: record, numbers: slot.numbers)
    }
    return try store.finish(shard, first: range.lowerBound, records)
  }

  private static let nothing = MappedFile(copying: UnsafeRawBufferPointer(start: nil, count: 0), name: "nothing")

  private func take(_ made: PruneJob.Making) {
    for (index, message) in made.failures { note(index, message) }
    summary.changes.kept += made.changes.kept
    summary.changes.changed += made.changes.changed
    summary.changes.retried += made.changes.retried
    summary.changes.added += made.changes.added
    summary.changes.made += made.changes.made
    summary.speedups += made.speedups
    times.add(made.times)
  }
}
