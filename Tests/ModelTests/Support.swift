import Foundation
import Synchronization
import TestSupport
import Testing
import VTok

/// Photographs and trained weights that are no part of the repository: the folder `shared/data` beside it, or the one
/// that `VTOK_DATA` names. Tests that need it are skipped where it is absent.
let sharedData: String? = {
  let beside =
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path + "/shared/data"
  let folder = ProcessInfo.processInfo.environment["VTOK_DATA"] ?? beside
  return FileManager.default.fileExists(atPath: folder + "/README.md") ? folder : nil
}()

/// What gzip unpacks from a file.
func unpacked(_ path: String) throws -> [UInt8] {
  let process = Process()
  let pipe = Pipe()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = ["gzip", "-dc", path]
  process.standardOutput = pipe
  try process.run()
  let data = pipe.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  try #require(process.terminationStatus == 0)
  return [UInt8](data)
}

/// `body` of every index, two at a time.
func onTwoThreads<Value: Sendable>(_ count: Int, _ body: @Sendable (Int) -> Value) -> [Value] {
  let found = Mutex([Value?](repeating: nil, count: count))
  parallel(count, threads: 2) { index in
    let value = body(index)
    found.withLock { $0[index] = value }
  }
  return found.withLock { $0.map { $0! } }
}

/// A copy of a small checkpoint with changes, gone after `body`.
/// - Parameters:
///   - change: of its `config.json`.
///   - tensors: what becomes of every tensor; nil: it goes.
///   - adding: further tensors, of one number each.
///   - files: further files by name.
@discardableResult func withCopy<Result>(
  of folder: String, config change: (inout JSONObject) -> Void = { _ in },
  tensors: (String, Tensor) -> (String, Tensor)? = { ($0, $1) }, adding: [String] = [], files: [String: String] = [:],
  body: (String) throws -> Result
) throws -> Result {
  let url = FileManager.default.temporaryDirectory.appendingPathComponent("checkpoint-copy-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: url) }
  let source = try Checkpoint(directory: folder)
  var config = source.config.object!
  change(&config)
  try Data(JSON.object(config).text().utf8).write(to: url.appendingPathComponent("config.json"))
  let file = try Safetensors(source.files[0])
  let kept = try file.entries.compactMap { tensors($0.name, try file.tensor($0.name)) }
  let more = adding.map { ($0, Tensor(zeros: [1])) }
  try Safetensors.write((kept + more).map { ($0.0, .f32($0.1)) }, to: url.path + "/model.safetensors")
  for (name, text) in files { try Data(text.utf8).write(to: url.appendingPathComponent(name)) }
  return try body(url.path)
}

/// The `ModelError` that `body` throws.
func modelError(_ body: () throws -> Void) -> ModelError? {
  do {
    try body()
    return nil
  } catch {
    return error as? ModelError
  }
}

/// What a stranger's file may do to the shape or the content of a tensor.
let hostileChanges: [(String, @Sendable (Tensor) -> Tensor)] = [
  ("empty", { Tensor([], shape: [0] + $0.shape.dropFirst()) }),
  ("doubled", { Tensor($0.values + $0.values, shape: [2 * $0.shape[0]] + $0.shape.dropFirst()) }),
  ("of one row", { Tensor(Array($0.values.prefix($0.values.count / $0.shape[0])), shape: [1] + $0.shape.dropFirst()) }),
  ("reversed", { Tensor($0.values, shape: $0.shape.reversed()) }),
  ("flat", { Tensor($0.values, shape: [$0.values.count]) }),
  ("not a number", { Tensor([Float](repeating: .nan, count: $0.values.count), shape: $0.shape) }),
]
