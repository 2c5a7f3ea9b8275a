import Foundation
import Testing
import VTokWeights

/// A folder that is gone after `body`.
func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let url = FileManager.default.temporaryDirectory.appendingPathComponent("weights-tests-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: url) }
  return try body(url.path)
}

func write(_ bytes: [UInt8], _ path: String) throws {
  try Data(bytes).write(to: URL(fileURLWithPath: path))
}

func write(_ text: String, _ path: String) throws {
  try write(Array(text.utf8), path)
}

/// A file with this header and so many bytes of data.
func safetensors(_ header: String, data: Int, length: UInt64? = nil) -> [UInt8] {
  let text = Array(header.utf8)
  let length = length ?? UInt64(text.count)
  return withUnsafeBytes(of: length.littleEndian, Array.init) + text + (0..<data).map { UInt8(truncatingIfNeeded: $0) }
}

func opened(_ bytes: [UInt8]) throws(WeightError) -> Safetensors {
  let file = bytes.withUnsafeBytes { MappedFile(copying: $0, name: "test.safetensors") }
  return try Safetensors(file)
}

/// The error that `body` throws; a failure of the test if it throws none or another kind.
func weightError(_ body: () throws -> Void, sourceLocation: SourceLocation = #_sourceLocation) -> WeightError? {
  do {
    try body()
    Issue.record("nothing was thrown", sourceLocation: sourceLocation)
  } catch let error as WeightError {
    return error
  } catch {
    Issue.record("another error: \(error)", sourceLocation: sourceLocation)
  }
  return nil
}

/// Golden files of the repository.
func golden(_ path: String, file: String = #filePath) -> String {
  URL(fileURLWithPath: file).deletingLastPathComponent().deletingLastPathComponent().path + "/Golden/Cases/" + path
}
