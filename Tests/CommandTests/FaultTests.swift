import Foundation
import Testing
import VTok

/// Files that once crashed the program, or took gigabytes: one line on stderr, exit 1, in little memory.
@Suite struct FaultTests {
  static let folder = repository + "/Tests/CommandTests/Faults/"
  /// `cfg-MODEL-FIELD=VALUE.json`
  static let configs = try! FileManager.default.contentsOfDirectory(atPath: folder).sorted()

  /// The models of the configurations, by the letter in the file name.
  static func model(_ letter: Character) -> String? {
    switch letter {
    case "t": return repository + "/Sources/CVTokTiny"
    case "q": return repository + "/Benchmarks/models/vqa-small"
    case "n": return repository + "/Benchmarks/models/vqa-tiles"
    default:
      let folder = repository + "/../shared/data/dinov2s-focus"
      return FileManager.default.fileExists(atPath: folder + "/model.safetensors") ? folder : nil
    }
  }

  @Test(arguments: configs) func configurations(_ name: String) throws {
    let letter = name.dropFirst("cfg-".count).first!
    guard let source = Self.model(letter) else { return }  // trained weights beside the repository, absent here
    try inTemporaryFolder { folder in
      for file in try FileManager.default.contentsOfDirectory(atPath: source) where file != "config.json" {
        try FileManager.default.createSymbolicLink(
          atPath: folder + "/" + file, withDestinationPath: source + "/" + file)
      }
      try FileManager.default.copyItem(atPath: Self.folder + name, toPath: folder + "/config.json")
      let image = pictures + "/cat.jpg"
      let done =
        "td".contains(letter)
        ? try vtok("prune", image, "--model", folder, "-o", folder + "/out")
        : try vtok("generate", "--model", folder, "--image", image, "--prompt", "x")
      let field = name.split(separator: "-", maxSplits: 2).last!.split(separator: "=").first!
      #expect(done.status == 1 && done.error.hasPrefix("vtok: error: config.json: "), "\(done.error)")
      #expect(done.error.contains(field.split(separator: ".")[0]), "\(done.error)")
      #expect(done.error.split(separator: "\n").count == 1 && done.out.isEmpty, "\(done.error)")
    }
  }

  @Test func thereAreConfigurations() { #expect(Self.configs.count >= 5) }

  // MARK: Memory

  /// Hostile files by what they hold.
  enum Hostile: String, CaseIterable, Sendable {
    case tuplesOfOne, emptyTuples, emptyLists, emptyDictionaries, longTexts, memo, marks
    case configuration, nestedLists, manyKeys, header, index

    /// Whether it is a weight file, and no configuration.
    var isWeights: Bool { ![.configuration, .nestedLists, .manyKeys].contains(self) }

    func write(to folder: String) throws {
      func pickle(_ unit: [UInt8], before: [UInt8] = [], count: Int = 12_000_000) throws {
        let text = [0x80, 2] + before + Array(repeatElement(unit, count: count / unit.count).joined()) + [0x2E]
        try save(storedZip("archive/data.pkl", text), "pytorch_model.bin")
      }
      func json(_ unit: String, _ name: String, count: Int = 10_000_000, open: String = "[", close: String = "0]")
        throws
      {
        try save(Array((open + String(repeating: unit, count: count / unit.utf8.count) + close).utf8), name)
      }
      func save(_ bytes: [UInt8], _ name: String) throws {
        try Data(bytes).write(to: URL(fileURLWithPath: folder + "/" + name))
      }
      switch self {
      case .tuplesOfOne: try pickle([0x85], before: [0x4E])
      case .emptyTuples: try pickle([0x29])
      case .emptyLists: try pickle([0x5D, 0x85])
      case .emptyDictionaries: try pickle([0x7D, 0x85])
      case .longTexts: try pickle([0x5D] + [0x58, 32, 0, 0, 0] + [UInt8](repeating: 0x61, count: 32) + [0x61, 0x85])
      case .memo:
        var puts: [UInt8] = []
        for index in 0..<UInt32(3_000_000) {
          puts.append(0x72)
          puts += withUnsafeBytes(of: index.littleEndian, Array.init)
        }
        try pickle(puts, before: [0x4E], count: puts.count)
      case .marks: try pickle([0x28])
      case .configuration: try json("0,", "config.json")
      case .nestedLists: try json("[[]],", "config.json")
      case .manyKeys:
        let members = (0..<1_000_000).map { "\"\($0)\":0," }.joined()
        try json(members, "config.json", count: members.utf8.count, open: "{", close: "\"x\":0}")
      case .header:
        let text =
          Array("{\"__metadata__\":[".utf8) + Array(repeatElement(Array("0,".utf8), count: 8_000_000).joined())
          + Array("0]}".utf8)
        try save(withUnsafeBytes(of: UInt64(text.count).littleEndian, Array.init) + text, "model.safetensors")
      case .index:
        try json("0,", "model.safetensors.index.json", count: 16_000_000)
        try save([0], "model-00001-of-00001.safetensors")
      }
    }
  }

  /// Every hostile file ends in one line and within 256 MB.
  @Test(arguments: Hostile.allCases) func hostileFiles(_ hostile: Hostile) throws {
    try inTemporaryFolder { folder in
      try hostile.write(to: folder)
      for name in ["config.json", "model.safetensors"]
      where !FileManager.default.fileExists(atPath: folder + "/" + name) {
        if name == "model.safetensors", hostile.isWeights { continue }
        try FileManager.default.copyItem(
          atPath: repository + "/Sources/CVTokTiny/" + name, toPath: folder + "/" + name)
      }
      let (done, megabytes) = try measured(["inspect", folder])
      #expect(done.status == 1 && done.error.hasPrefix("vtok: error: \(folder)/"), "\(hostile): \(done.error)")
      #expect(done.error.split(separator: "\n").count == 1 && done.error.utf8.count < 600, "\(hostile): \(done.error)")
      #expect((1..<256).contains(megabytes), "\(hostile): \(megabytes) MB")
    }
  }

  /// Runs `vtok` and looks at its memory while it runs: the high-water mark of resident pages, mapped files included.
  private func measured(_ arguments: [String]) throws -> (Finished, megabytes: Int) {
    try inTemporaryFolder { folder in
      let (out, error) = (folder + "/out", folder + "/error")
      for path in [out, error] { _ = FileManager.default.createFile(atPath: path, contents: nil) }
      let process = Process()
      process.executableURL = URL(fileURLWithPath: command)
      process.arguments = arguments
      process.standardOutput = FileHandle(forWritingAtPath: out)
      process.standardError = FileHandle(forWritingAtPath: error)
      try process.run()
      var most = 0
      while process.isRunning {
        let status = (try? String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        most = max(most, line?.split(separator: " ").dropLast().last.flatMap { Int($0) } ?? 0)
        usleep(300)
      }
      process.waitUntilExit()
      return (
        Finished(
          status: process.terminationStatus, out: try String(contentsOfFile: out, encoding: .utf8),
          error: try String(contentsOfFile: error, encoding: .utf8)), (most + 1023) / 1024
      )
    }
  }
}

/// A zip archive of one file, stored as it is, with its checksum.
private func storedZip(_ name: String, _ bytes: [UInt8]) -> [UInt8] {
  func little<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian, Array.init)
  }
  let sum = checksum(bytes)
  let sizes = little(sum) + little(UInt32(bytes.count)) + little(UInt32(bytes.count))
  let common = little(UInt16(10)) + little(UInt16(0)) + little(UInt16(0)) + little(UInt32(0)) + sizes
  let named = common + little(UInt16(name.utf8.count)) + little(UInt16(0))
  let local = [0x50, 0x4B, 3, 4] + named + Array(name.utf8)
  let central =
    [0x50, 0x4B, 1, 2] + little(UInt16(10)) + named + little(UInt16(0)) + little(UInt16(0)) + little(UInt16(0))
    + little(UInt32(0)) + little(UInt32(0)) + Array(name.utf8)
  let end =
    [0x50, 0x4B, 5, 6] + little(UInt32(0)) + little(UInt16(1)) + little(UInt16(1)) + little(UInt32(central.count))
    + little(UInt32(local.count + bytes.count)) + little(UInt16(0))
  return local + bytes + central + end
}

/// CRC-32 (polynomial 0xEDB88320), as zip has it.
private func checksum(_ bytes: [UInt8]) -> UInt32 {
  var table = [UInt32](repeating: 0, count: 256)
  for index in table.indices {
    var sum = UInt32(index)
    for _ in 0..<8 { sum = sum & 1 == 1 ? (sum >> 1) ^ 0xEDB8_8320 : sum >> 1 }
    table[index] = sum
  }
  var sum = ~UInt32(0)
  for byte in bytes { sum = (sum >> 8) ^ table[Int(UInt8(truncatingIfNeeded: sum) ^ byte)] }
  return ~sum
}
