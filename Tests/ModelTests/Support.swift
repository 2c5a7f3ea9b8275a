import Foundation
import Synchronization
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

let pictures =
  URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent().path + "/Images"

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

/// Largest distance of two vectors' elements.
func distance(_ a: some Collection<Float>, _ b: some Collection<Float>) -> Float {
  precondition(a.count == b.count)
  return zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) }
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

/// A net with random weights for `generic-explain:weights=net`.
let relevanceNet: OptionFile = {
  var generator = SeededGenerator(seed: 6)
  func noise(_ shape: [Int]) -> Tensor {
    Tensor((0..<shape.reduce(1, *)).map { _ in generator.normal() }, shape: shape)
  }
  return OptionFile(tensors: [
    "layers.0.depthwise.weight": noise([1, 1, 3]), "layers.0.pointwise.weight": noise([8, 1, 1]),
    "layers.0.pointwise.bias": noise([8]), "layers.1.depthwise.weight": noise([8, 1, 5]),
    "layers.1.depthwise.bias": noise([8]), "layers.1.pointwise.weight": noise([16, 8, 1]),
    "output.weight": noise([1, 16, 1]),
  ])
}()

/// The goldens' own checkpoints.
let goldenCases =
  URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path + "/Golden/Cases/"

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
