import Foundation
import Synchronization
import VTokCore
import VTokEval
import VTokImage
import VTokTensor
import VTokWeights

/// A folder of images through one model and method into token shards and a manifest: sorted, resumable, with the same bytes for
/// any number of threads and any interruption.
public struct PruneJob: Sendable {
  public struct Settings: Sendable {
    /// Part i of n of the inputs: those whose sorted index is i modulo n.
    public struct Part: Sendable, Equatable {
      public let index: Int, count: Int
      public init(index: Int, count: Int) { (self.index, self.count) = (index, count) }
    }
    public var shardSize = 256
    public var part: Part?
    public var halfPrecision = false
    public var overlays = false
    public var timings = false
    public var seed: UInt64 = 0
    public var threads = 1
    public var decode = DecodeOptions()
    public init() {}
  }

  public let reducer: any ImageReducer
  /// What is recorded as asked; nil for a method with an amount of its own.
  public let budget: Budget?
  public let inputs: [InputFile]
  public let settings: Settings
  let store: ShardStore

  /// - Parameters:
  ///   - inputs: all inputs in sorted order; the part is taken from them here.
  ///   - output: folder of this job; a part gets its own folder below it.
  public init(
    _ reducer: any ImageReducer, budget: Budget?, inputs: [InputFile], output: String, settings: Settings
  ) {
    (self.reducer, self.budget, self.settings) = (reducer, budget, settings)
    if let part = settings.part {
      self.inputs = inputs.enumerated().filter { $0.offset % part.count == part.index }.map(\.element)
      store = ShardStore(folder: "\(output)/shard-\(part.index)-of-\(part.count)")
    } else {
      self.inputs = inputs
      store = ShardStore(folder: output)
    }
  }

  /// Where the files of this job are.
  public var folder: String { store.folder }
  /// Removes the files of an earlier job.
  public func clear() throws { try store.clear() }

  /// What a run found out.
  public struct Summary: Sendable {
    public var rows: [ManifestRow] = []
    /// Stage times of the images of this run (resumed ones have none), in milliseconds.
    public var times: [ManifestRow.Times] = []
    /// Measured dense tower time over reduced tower and selection time, image by image.
    public var speedups: [Double] = []
    public var seconds = 0.0
    /// Images done before this run.
    public var resumed = 0
    public var cancelled = false
    public var failures: [ManifestRow] { rows.filter { $0.failure != nil } }
  }

  /// Runs what is not done yet.
  /// - Parameters:
  ///   - progress: called after every image with done, total and failed, from any thread.
  ///   - isCancelled: asked before every image; the images under way are finished and kept.
  public func run(
    progress: @escaping @Sendable (Int, Int, Int) -> Void = { _, _, _ in },
    isCancelled: @escaping @Sendable () -> Bool = { false }
  ) throws -> Summary {
    try store.prepare()
    let clock = ContinuousClock()
    let start = clock.now
    var summary = Summary()
    let shards = max(1, (inputs.count + settings.shardSize - 1) / settings.shardSize)
    for shard in 0..<shards {
      let range = shard * settings.shardSize..<min((shard + 1) * settings.shardSize, inputs.count)
      if let rows = store.finished(shard), rows.count == range.count {
        summary.rows += rows
        summary.resumed += rows.count
      } else {
        try run(shard, range, &summary, progress, isCancelled)
      }
      let failed = summary.failures.count
      progress(summary.rows.count, inputs.count, failed)
      if summary.cancelled { break }
    }
    if !summary.cancelled { try store.write(manifest: summary.rows) }
    summary.seconds = start.duration(to: clock.now) / .seconds(1)
    return summary
  }

  /// Results of a shard arrive in any order and are committed in input order.
  private struct Pending: Sendable {
    var next: Int
    var waiting: [Int: Result<Done, any Error>] = [:]
    var records: [ShardStore.Record] = []
    var times: [ManifestRow.Times] = []
    var speedups: [Double] = []
    var failed: Int
    var error: (any Error)?
  }
  private struct Done: Sendable {
    let record: ShardStore.Record
    let times: ManifestRow.Times?
    let speedup: Double?
  }
  private struct SharedLog: @unchecked Sendable { let log: ShardStore.Log }

  private func run(
    _ shard: Int, _ range: Range<Int>, _ summary: inout Summary,
    _ progress: @escaping @Sendable (Int, Int, Int) -> Void, _ isCancelled: @escaping @Sendable () -> Bool
  ) throws {
    var (records, log) = try store.resume(shard)
    let expected = range.prefix(records.count).map { inputs[$0].name }
    if records.count > range.count || records.map(\.row.file) != expected {
      // Another list of inputs: start the shard anew.
      try? FileManager.default.removeItem(atPath: store.folder + "/.partial/" + ShardStore.number(shard))
      (records, log) = try store.resume(shard)
    }
    summary.resumed += records.count
    let first = range.lowerBound + records.count
    let before = summary.rows.count
    let pending = Mutex(
      Pending(next: first, records: records, failed: summary.failures.count + records.count { $0.row.failure != nil }))
    let shared = SharedLog(log: log)
    let total = inputs.count
    parallel(range.upperBound - first, threads: settings.threads) { offset in
      let index = first + offset
      if isCancelled() || pending.withLock({ $0.error != nil }) { return }
      let result = Result { try process(index, shard) }
      let state = pending.withLock { state -> (Int, Int) in
        state.waiting[index] = result
        while state.error == nil, let next = state.waiting.removeValue(forKey: state.next) {
          do {
            let done = try next.get()
            try shared.log.append(done.record)
            state.records.append(done.record)
            if let times = done.times { state.times.append(times) }
            if let speedup = done.speedup { state.speedups.append(speedup) }
            if done.record.row.failure != nil { state.failed += 1 }
            state.next += 1
          } catch {
            state.error = error
          }
        }
        return (state.records.count, state.failed)
      }
      progress(before + state.0, total, state.1)
    }
    let state = pending.withLock { $0 }
    summary.times += state.times
    summary.speedups += state.speedups
    summary.rows += state.records.map(\.row)
    if let error = state.error { throw error }
    if state.records.count < range.count {
      summary.cancelled = true
    } else {
      try store.finish(shard, state.records)
    }
  }

  /// One image: decode, prepare, run, draw. Whatever is wrong with the file becomes a row.
  private func process(_ index: Int, _ shard: Int) throws -> Done {
    let input = inputs[index]
    func failed(_ kind: String, _ message: String) -> Done {
      let row = ManifestRow.failed(input.name, index: index, shard: shard, kind: kind, message: message)
      return Done(record: .init(row: row, tensors: []), times: nil, speedup: nil)
    }
    var times = ManifestRow.Times()
    let clock = ContinuousClock()
    var mark = clock.now
    func lap() -> Double {
      let now = clock.now
      defer { mark = now }
      return mark.duration(to: now) / .milliseconds(1)
    }
    let decoded: DecodedImage
    do {
      decoded = try Image.decode(contentsOf: input.path, options: settings.decode)
    } catch {
      return failed(error.kind.rawValue, error.message)
    }
    times.decode = lap()
    let result: PrunedImage
    do {
      (result, times.preprocess) = try reducer.reduce(decoded.image, seed: mixedSeed(settings.seed, input.name))
    } catch let error as CompressionError {
      return failed("internal", error.description)
    } catch let error as ImageError {
      return failed(error.kind.rawValue, error.message)
    }
    times.tower = result.trace.towerSeconds * 1000
    times.selection = result.trace.selectionSeconds * 1000
    let speedup =
      index < Self.timedImages ? try reducer.denseTime(decoded.image) / (times.tower + times.selection) : nil
    mark = clock.now
    var tensors: ShardStore.Tensors = [
      ("tokens", settings.halfPrecision ? .f16(result.tokens) : .f32(result.tokens)),
      ("pooled", .f32(Tensor(result.pooled, shape: [result.pooled.count]))),
      ("keep", .i64(result.keep.map(Int64.init), shape: [result.keep.count])),
    ]
    let origin = result.origin
    tensors.append(("origin.offsets", .i64(origin.offsets.map(Int64.init), shape: [origin.offsets.count])))
    tensors.append(("origin.patches", .i64(origin.patches.map(Int64.init), shape: [origin.patches.count])))
    tensors.append(("origin.weights", .f32(Tensor(origin.weights, shape: [origin.weights.count]))))
    if let spans = result.spans { tensors.append(("spans", .i64(spans.map(Int64.init), shape: [spans.count]))) }
    if settings.overlays { try draw(result, on: decoded.image, name: input.name) }
    times.write = lap()
    let row = ManifestRow(
      input.name, index: index, shard: shard, image: decoded, result: result, reducer: reducer, budget: budget,
      times: settings.timings ? times : nil)
    return Done(record: .init(row: row, tensors: tensors), times: times, speedup: speedup)
  }

  /// So many images at the head of a job also run dense, for the speed-up column. Their results are not used.
  private static let timedImages = 6

  /// `overlays/<name>.png`, written whole or not at all.
  private func draw(_ result: PrunedImage, on image: Image, name: String) throws {
    let path = store.folder + "/overlays/" + InputList.cleaned(name) + ".png"
    let folder = (path as NSString).deletingLastPathComponent
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try WholeFile.write(result.map.drawn(on: image).pngData(), to: path, synced: false)
  }
}

extension PrunedImage {
  /// For pictures.
  public var map: TokenMap { TokenMap(rows: rows, columns: columns, region: region, origin: origin) }
}
