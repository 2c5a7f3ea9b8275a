import Foundation
import Testing
import VTok

@Suite struct CalibrationJobTests {
  /// Six small pictures in two class folders.
  private func pictures(in folder: String) throws {
    var generator = SeededGenerator(seed: 3)
    for (number, name) in ["cat", "dog"].enumerated() {
      try FileManager.default.createDirectory(atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
      for index in 0..<3 {
        let rgb = (0..<40 * 32 * 3).map { _ in UInt8(Float(60 + 90 * number) + 50 * generator.uniform()) }
        let bytes = try Image(width: 40, height: 32, rgb: rgb).pngData()
        try Data(bytes).write(to: URL(fileURLWithPath: "\(folder)/\(name)/\(index).png"))
      }
    }
  }

  private func job(_ folder: String, _ output: String, distils: Bool = false, seed: UInt64 = 1) throws -> CalibrationJob
  {
    let model = try LoadedModel.load("vtok-tiny")
    let dense = try DiffRateCalibration.denseGMACs(of: model.vision)
    var settings = DiffRateCalibration.Settings(targetGMACs: 0.6 * dense)
    (settings.steps, settings.batch, settings.granularity) = (4, 4, 16)
    (settings.distils, settings.seed) = (distils, seed)
    settings.augmentation.mixup = 0.8
    let data = try LabelledImages(folder, classes: model.vision.labels)
    return try CalibrationJob(model, data, settings, output: output)
  }

  /// The same bytes for any number of threads, and after an interruption at any step.
  @Test func endsTheSame() throws {
    let folder = try TemporaryFolder()
    try pictures(in: folder.path + "/data")
    func bytes(_ name: String) -> Data? { FileManager.default.contents(atPath: "\(folder.path)/\(name)") }
    let whole = try job(folder.path + "/data", folder.path + "/a.json").run(threads: 1)
    #expect(whole.isDone && whole.failed.isEmpty && whole.progress.step == 4)
    _ = try job(folder.path + "/data", folder.path + "/b.json").run(threads: 3)
    #expect(bytes("a.json") == bytes("b.json"))
    for stop in 1...3 {
      var done = 0
      let part = try job(folder.path + "/data", folder.path + "/c.json").run(
        threads: 2, isCancelled: { done >= stop }, progress: { done = $0.step })
      #expect(!part.isDone && bytes("c.json") == nil && bytes("c.json.state") != nil)
      let rest = try job(folder.path + "/data", folder.path + "/c.json").run(threads: 2)
      #expect(rest.resumed == stop && rest.isDone && bytes("c.json.state") == nil)
      #expect(bytes("a.json") == bytes("c.json"))
      try FileManager.default.removeItem(atPath: folder.path + "/c.json")
    }
  }

  @Test func ratesSayWhatTheyAre() throws {
    let folder = try TemporaryFolder()
    try pictures(in: folder.path + "/data")
    let output = folder.path + "/rates.json"
    _ = try job(folder.path + "/data", output, distils: true).run(threads: 2)
    let rates = try JSON(parsing: [UInt8](try #require(FileManager.default.contents(atPath: output))))
    #expect(rates["schema"]?.string == "vtok-rates/1" && rates["objective"]?.string == "distilled")
    for key in ["prune", "merge"] {
      let counts = try #require(rates[key]?.ints)
      #expect(counts.count == 6 && counts[0] == 257 && counts.allSatisfy { (2...257).contains($0) })
    }
    #expect(try job(folder.path + "/data", output, distils: true).isFinished())
    #expect(throws: CalibrationError.self) { try job(folder.path + "/data", output, seed: 2).isFinished() }
  }

  /// The state of a run over other contents is not gone on with, though names and sizes are the same.
  @Test func otherContentIsAnotherJob() throws {
    let folder = try TemporaryFolder()
    try pictures(in: folder.path + "/data")
    var done = 0
    func part() throws -> CalibrationJob.Summary {
      try job(folder.path + "/data", folder.path + "/rates.json").run(
        threads: 2, isCancelled: { done >= 1 }, progress: { done = $0.step })
    }
    #expect(try !part().isDone)
    let path = folder.path + "/data/cat/0.png"
    let before = try #require(FileManager.default.contents(atPath: path))
    var bytes = before
    bytes[bytes.count / 2] ^= 1
    try bytes.write(to: URL(fileURLWithPath: path))
    #expect(throws: CalibrationError.self) { try part() }
    try before.write(to: URL(fileURLWithPath: path))
    done = 0
    #expect(try part().resumed == 1)
  }

  @Test func refusals() throws {
    let folder = try TemporaryFolder()
    try pictures(in: folder.path + "/data")
    let model = try LoadedModel.load("vtok-tiny")
    let data = try LabelledImages(folder.path + "/data", classes: model.vision.labels)
    func refuses(_ change: (inout DiffRateCalibration.Settings) -> Void) {
      var settings = DiffRateCalibration.Settings(targetGMACs: 0.5)
      change(&settings)
      #expect(throws: CalibrationError.self) { try CalibrationJob(model, data, settings, output: "x") }
    }
    refuses { $0.targetGMACs = 3 }
    refuses { $0.targetGMACs = 0.01 }
    refuses { $0.granularity = 256 }
  }

  /// A picture that cannot be read is left out and named.
  @Test func brokenPicture() throws {
    let folder = try TemporaryFolder()
    try pictures(in: folder.path + "/data")
    try Data("no picture".utf8).write(to: URL(fileURLWithPath: folder.path + "/data/cat/1.png"))
    let summary = try job(folder.path + "/data", folder.path + "/rates.json").run(threads: 2)
    #expect(summary.isDone && summary.failed == ["cat/1.png"])
  }
}

/// A folder that goes with its last owner.
final class TemporaryFolder {
  let path: String
  init() throws {
    path = NSTemporaryDirectory() + "/vtok-test-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }
  deinit { try? FileManager.default.removeItem(atPath: path) }

  @discardableResult func write(_ name: String, _ bytes: [UInt8]) throws -> String {
    let file = path + "/" + name
    try FileManager.default.createDirectory(
      atPath: (file as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    try Data(bytes).write(to: URL(fileURLWithPath: file))
    return file
  }
}
