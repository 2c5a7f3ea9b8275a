import Dispatch
import Foundation
import Synchronization
import VTokCore
import VTokData
import VTokEval
import VTokFiles
import VTokImage
import VTokPipeline
import VTokTensor
import VTokWeights

/// Images as they come through one model and method: one JSON line out for each record in, in the same order.
///
/// As many images run side by side as there are threads; rows leave as soon as all before them have. What is in memory does not
/// grow with the stream.
public struct PruneStream: Sendable {
  /// Where the tensors of a row go.
  public enum Tensors: Sendable, Equatable {
    /// Into the row, in base64.
    case inline
    /// Into `<folder>/<number>.safetensors`, which the row names.
    case files(folder: String)
  }
  public struct Counts: Sendable, Equatable {
    public internal(set) var done = 0, failed = 0
  }

  public let reducer: any ImageReducer
  public let budget: Budget?
  /// Of a folder job: type of the tokens, seed, threads, decoding, timings.
  public let settings: PruneJob.Settings
  public let tensors: Tensors

  public init(_ reducer: any ImageReducer, budget: Budget?, settings: PruneJob.Settings, tensors: Tensors = .inline) {
    self.reducer = reducer
    self.budget = budget
    self.settings = settings
    self.tensors = tensors
  }

  /// - Parameters:
  ///   - isCancelled: asked before every record.
  ///   - put: takes a line with its end; called from one thread at a time.
  /// - Throws: errors of the machine, which are no image's.
  public func run(
    _ records: StreamRecords, isCancelled: @escaping @Sendable () -> Bool = { false },
    put: @escaping @Sendable (String) -> Void
  ) throws -> Counts {
    if case .files(let folder) = tensors { try Folder.make(folder) }
    let input = Mutex(Input(records: records))
    let output = OrderedOutput(ahead: 2 * settings.threads, put: put)
    parallel(settings.threads, threads: settings.threads) { _ in
      while output.waitForRoom(), !isCancelled() {
        do {
          guard let (number, record) = try input.withLock({ try $0.next() }) else { return }
          let row = try self.row(number, record)
          output.add(number, row.json.text() + "\n", isGood: row.isGood)
        } catch {
          return output.fail(error, waiting: settings.threads)
        }
      }
    }
    return try output.counts()
  }

  private struct Input: Sendable {
    var records: StreamRecords
    var number = 0

    mutating func next() throws -> (Int, StreamRecords.Record)? {
      guard let record = try records.next() else { return nil }
      number += 1
      return (number - 1, record)
    }
  }

  // MARK: One row

  /// Whatever is wrong with the record or its image becomes a row; an error of the machine is thrown.
  func row(_ number: Int, _ record: StreamRecords.Record) throws -> (json: JSON, isGood: Bool) {
    let request: StreamRequest
    do throws(StreamRequest.Mistake) { request = try StreamRequest(record, number: number) } catch {
      return (failure(number, error.id, nil, kind: "request", error.message), false)
    }
    func failed(_ kind: String, _ message: String) -> (JSON, Bool) {
      (failure(number, request.id, request.name, kind: kind, message), false)
    }
    guard request.images.count == 1 else {
      return failed("request", "\(request.images.count) images in one record, expected one. Write a record for each.")
    }
    var times = ManifestRow.Times()
    let clock = ContinuousClock()
    let start = clock.now
    let image: DecodedImage
    do throws(ImageError) { image = try request.images[0].decoded(request.name, options: settings.decode) } catch {
      return try failed(error.ofPicture().kind.rawValue, error.message)
    }
    times.decode = start.duration(to: clock.now) / .milliseconds(1)
    let result: PrunedImage
    do {
      (result, times.preprocess) = try reducer.reduce(image.image, seed: mixedSeed(settings.seed, request.name))
    } catch let error as ImageError {
      return try failed(error.ofPicture().kind.rawValue, error.named(request.name).message)
    } catch let error as CompressionError {
      return failed("internal", "\(printable(request.name)): \(error.description)")
    }
    times.tower = result.trace.towerSeconds * 1000
    times.selection = result.trace.selectionSeconds * 1000
    let row = ManifestRow(
      request.name, index: number, shard: 0, size: image.image.size, format: image.format, result: result,
      reducer: reducer, asked: budget.map { .budget($0) } ?? .own, times: settings.timings ? times : nil)
    let head = head(number, request.id, request.name, error: .null)
    let tensors = try self.tensors(number, result.tensors(halfPrecision: settings.halfPrecision))
    return (.object(JSONObject(head + row.fields + [("tensors", tensors)])), true)
  }

  private func failure(_ number: Int, _ id: JSON, _ name: String?, kind: String, _ message: String) -> JSON {
    .object(JSONObject(head(number, id, name, error: ["kind": JSON(kind), "message": JSON(message)])))
  }

  private func head(_ number: Int, _ id: JSON, _ name: String?, error: JSON) -> [(String, JSON)] {
    [
      ("schema", "vtok-stream/1"), ("index", JSON(number)), ("id", id), ("file", name.map { JSON($0) } ?? .null),
      ("status", error == .null ? "ok" : "failed"), ("error", error),
    ]
  }

  private func tensors(_ number: Int, _ values: [(String, Safetensors.Value)]) throws -> JSON {
    switch tensors {
    case .inline:
      return .object(
        JSONObject(
          values.map { name, value in
            var bytes = Data()
            value.emit { bytes.append(contentsOf: $0) }
            return (
              name,
              [
                "dtype": JSON(value.type.rawValue), "shape": JSON(value.shape),
                "base64": JSON(bytes.base64EncodedString()),
              ]
            )
          }))
    case .files(let folder):
      let digits = String(number)
      let path = "\(folder)/\(String(repeating: "0", count: max(0, 8 - digits.count)))\(digits).safetensors"
      try Safetensors.write(values, to: path)
      return JSON(path)
    }
  }
}

/// Rows in the order of their numbers. Who is too far ahead waits, so that few rows are held.
private final class OrderedOutput: Sendable {
  private struct State {
    var next = 0
    var waiting: [Int: (line: String, isGood: Bool)] = [:]
    var counts = PruneStream.Counts()
    var error: (any Error)?
  }
  private let state = Mutex(State())
  private let room: DispatchSemaphore
  private let put: @Sendable (String) -> Void

  init(ahead: Int, put: @escaping @Sendable (String) -> Void) {
    room = DispatchSemaphore(value: 0)  // one that is freed below its first value traps
    self.put = put
    for _ in 0..<ahead { room.signal() }
  }

  /// Whether there is more to do, once there is room for it.
  func waitForRoom() -> Bool {
    room.wait()
    return state.withLock { $0.error == nil }
  }

  func add(_ number: Int, _ line: String, isGood: Bool) {
    state.withLock { state in
      state.waiting[number] = (line, isGood)
      while let row = state.waiting.removeValue(forKey: state.next) {
        put(row.line)
        state.next += 1
        state.counts.done += 1
        state.counts.failed += row.isGood ? 0 : 1
        room.signal()
      }
    }
  }

  func fail(_ error: any Error, waiting: Int) {
    state.withLock { $0.error = $0.error ?? error }
    for _ in 0..<waiting { room.signal() }
  }

  func counts() throws -> PruneStream.Counts {
    let end = state.withLock { $0 }
    if let error = end.error { throw error }
    return end.counts
  }
}
