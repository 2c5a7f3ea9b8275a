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
