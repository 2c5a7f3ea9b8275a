import Synchronization
import VTokCore
import VTokData
import VTokEval
import VTokFiles
import VTokImage
import VTokPipeline
import VTokTensor
import VTokWeights

/// Images and videos through one model and method into token shards and a manifest: sorted, resumable, with the same
/// bytes for any number of threads, any interruption and any history of the inputs.
public struct PruneJob: Sendable {
  public struct Settings: Sendable {
    /// Part i of n of the inputs: those whose sorted index is i modulo n.
    public struct Part: Sendable, Equatable {
      public let index: Int, count: Int
      public init(index: Int, count: Int) {
        self.index = index
        self.count = count
      }
    }
    public var shardSize = 256
    public var part: Part?
    public var halfPrecision = false
    public var overlays = false
    /// Of merged patches in overlays.
    public var colours = TokenMap.Colours.mean
    public var timings = false
    public var seed: UInt64 = 0
    public var threads = 1
    public var decode = DecodeOptions()
    /// Frames a second of videos.
    public var frameRate = 2.0
    public init() {}
  }

  public let reducer: any ImageReducer
  /// What is recorded as asked.
  public let asked: Asked
  public let inputs: [InputFile]
  public let settings: Settings
  let store: ShardStore
  let overlayNames: OutputNames

  /// - Parameters:
  ///   - budget: what is recorded as asked; nil for a method with an amount of its own.
  ///   - inputs, output: as below.
  public init(
    _ reducer: any ImageReducer, budget: Budget?, inputs: [InputFile], output: String, settings: Settings
  ) {
    self.init(
      reducer, asked: budget.map { .budget($0) } ?? .own, inputs: inputs, output: output, settings: settings)
  }

  /// - Parameters:
  ///   - inputs: all inputs in sorted order; the part is taken from them here.
  ///   - output: folder of this job; a part gets its own folder below it.
  public init(
    _ reducer: any ImageReducer, asked: Asked, inputs: [InputFile], output: String, settings: Settings
  ) {
    self.reducer = reducer
    self.asked = asked
    self.settings = settings
    overlayNames = OutputNames(settings.overlays ? inputs.map(\.name) : [])
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
  /// A file or folder of the job's folder that a job would write; nil for none.
  public func leftover() throws -> String? { try store.leftover() }
  /// Holds the folder for this process; to be taken before anything is done there.
  /// - Throws: `LockError` while another process has it.
  public func lock() throws -> FolderLock { try FolderLock(folder: folder) }

  /// What a run found out.
  public struct Summary: Sendable {
    /// Sums over the inputs that are done, those of earlier runs included.
    public internal(set) var totals = Totals()
    public internal(set) var changes = Changes()
    /// Medians over the images of this run, in milliseconds.
    public internal(set) var times = ManifestRow.Times()
    /// Measured dense tower time over reduced tower and selection time, image by image.
    public internal(set) var speedups: [Double] = []
    public internal(set) var seconds = 0.0
    public internal(set) var cancelled = false
    /// What is wrong with the first inputs that failed, with their paths.
    public internal(set) var failures: [String] = []
  }

  /// What became of the inputs of an earlier run.
  public struct Changes: Sendable, Equatable {
    /// Whether there was one.
    public internal(set) var isRerun = false
    /// Done before, and still so.
    public internal(set) var kept = 0
    /// Made in this run: those that changed, failed before, were added, or had not had their turn.
    public internal(set) var changed = 0, retried = 0, added = 0, made = 0
    /// Earlier inputs that are none any more.
    public internal(set) var gone = 0

    /// One line for people.
    public var text: String {
      let parts = [
        (kept, "done before"), (changed, "changed, computed again"), (added, "added"), (gone, "gone, dropped"),
        (retried, "failed before, tried again"), (made, "made now"),
      ].filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }
      return parts.joined(separator: "; ")
    }
  }

  /// Most failures that a summary names.
  public static let mostFailures = 50

  var shards: Int { inputs.isEmpty ? 1 : (inputs.count - 1) / settings.shardSize + 1 }
  func range(_ shard: Int) -> Range<Int> {
    let start = shard * settings.shardSize
    return start..<start + min(settings.shardSize, inputs.count - start)
  }

  /// Runs what is not done yet. The folder's lock must be held.
  /// - Parameters:
  ///   - progress: called after every image with done, total and failed, from any thread.
  ///   - isCancelled: asked before every image; the images under way are finished and kept.
  public func run(
    progress: @escaping @Sendable (Int, Int, Int) -> Void = { _, _, _ in },
    isCancelled: @escaping @Sendable () -> Bool = { false }
  ) throws -> Summary {
    try PruneRun(self, progress: progress, isCancelled: isCancelled).run()
  }

  // MARK: One image

  /// An input that was made.
  struct Done: Sendable {
    let entry: JobEntry
    let tensors: [(String, Safetensors.Value)]
    /// For `Totals`.
    let numbers: Totals.Line?
    let times: ManifestRow.Times?
    let speedup: Double?
    /// With the path.
    let failure: String?
  }

  /// Decode, prepare, run, draw. Whatever is wrong with the file becomes a line; an error of the machine is thrown.
  func make(_ index: Int) throws -> Done {
    let input = inputs[index]
    let shard = index / settings.shardSize
    var times = ManifestRow.Times()
    let clock = ContinuousClock()
    var mark = clock.now
    func lap() -> Double {
      let now = clock.now
      defer { mark = now }
      return mark.duration(to: now) / .milliseconds(1)
    }
    func failed(_ error: ImageError, _ files: [ImageFile]?) throws -> Done {
      let error = try error.ofPicture()
      return self.failed(index, files, kind: error.kind.rawValue, error.message)
    }
    let files: [ImageFile]
    do { files = try input.readAll() } catch { return try failed(error, nil) }
    let shown: JobPicture
    do { shown = try JobPicture(files, of: input, settings) } catch { return try failed(error, files) }
    times.decode = lap()
    let path = input.isVideo ? input.path : files[0].path
    let result: PrunedImage
    do {
      (result, times.preprocess) = try shown.reduced(by: reducer, seed: mixedSeed(settings.seed, input.name))
    } catch let error as CompressionError {
      return self.failed(index, files, kind: "internal", "\(printable(path)): \(error.description)")
    } catch let error as ImageError {
      return try failed(error.named(path), files)
    }
    times.tower = result.trace.towerSeconds * 1000
    times.selection = result.trace.selectionSeconds * 1000
    let speedup =
      index < Self.timedImages ? try shown.denseTime(by: reducer) / (times.tower + times.selection) : nil
    mark = clock.now
    let overlay = try settings.overlays ? draw(result, on: shown.image, name: input.name) : nil
    let tensors = result.tensors(halfPrecision: settings.halfPrecision)
    times.write = lap()
    let row = ManifestRow(
      input.name, index: index, shard: shard, size: shown.image.size, format: shown.format, video: shown.video,
      result: result, reducer: reducer, asked: asked, times: settings.timings ? times : nil)
    let line = row.json
    return Done(
      entry: JobEntry(
        isGood: true, stamp: InputStamp(files), overlay: overlay, line: Array(line.text().utf8)[...]),
      tensors: tensors, numbers: Totals.Line(line), times: times, speedup: speedup, failure: nil)
  }

  private func failed(_ index: Int, _ files: [ImageFile]?, kind: String, _ message: String) -> Done {
    let row = ManifestRow.failed(
      inputs[index].name, index: index, shard: index / settings.shardSize, kind: kind, message: message)
    return Done(
      entry: JobEntry(
        isGood: false, stamp: files.map { InputStamp($0) }, overlay: nil, line: Array(row.json.text().utf8)[...]),
      tensors: [], numbers: nil, times: nil, speedup: nil, failure: message)
  }

  /// So many images at the head of a job also run dense, for the speed-up column. Their results are not used.
  private static let timedImages = 6

  /// `overlays/<name>.png`, written whole or not at all.
  private func draw(_ result: PrunedImage, on image: Image, name: String) throws -> FileSum {
    let bytes = try result.map.drawn(on: image, settings.colours).pngData()
    let path = store.overlays + "/" + overlayNames.png(name)
    try Folder.makeAbove(path)
    return try Self.oneAtATime.withLock { _ in  // a list may name a picture twice
      try WholeFile.write(to: path, synced: false) { sink throws(WeightError) in bytes.withUnsafeBytes(sink) }
    }
  }
  private static let oneAtATime = Mutex(())
}
