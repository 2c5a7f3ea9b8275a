import Foundation
import VTok

/// A folder of this process, in memory where the system has such a place; gone at its end.
enum Scratch {
  static let path: String = {
    let memory = FileManager.default.isWritableFile(atPath: "/dev/shm") ? "/dev/shm" : "/tmp"
    let path = "\(memory)/vtok-fuzz-\(ProcessInfo.processInfo.processIdentifier)"
    try! FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    atexit { try? FileManager.default.removeItem(atPath: Scratch.path) }
    return path
  }()

  static func write(_ bytes: some Sequence<UInt8>, to name: String) throws -> String {
    try Data(bytes).write(to: URL(fileURLWithPath: path + "/" + name))
    return path + "/" + name
  }
}

/// What comes as data: images in archives, questions, conversations, records of a stream.
extension Target {
  /// An archive, as it is and with right sums: whatever its headers say, its files lie in it.
  static func tar(_ bytes: [UInt8]) throws {
    let repaired = Repaired.tar(bytes)
    if repaired != bytes { try? archive(repaired) }
    try archive(bytes)
  }

  private static func archive(_ bytes: [UInt8]) throws {
    let path = try Scratch.write(bytes, to: "input.tar")
    let pictures = try InputList.find([path]).files
    for picture in pictures {
      require(picture.name.hasPrefix(path + "/") || picture.name == path, "a name outside the archive: \(picture.name)")
      require(!picture.name.split(separator: "/").contains(".."), "a name that leaves the archive: \(picture.name)")
      guard case .archive(let offset, let size) = picture.place else { continue }
      require(offset >= 0 && size >= 0 && offset + size <= bytes.count, "a file outside the archive")
      if size < 1 << 20 { require(try! picture.read().bytes.count == size, "a file of another size") }
    }
    var reader = try TarReader(path: path)
    while let entry = try reader.next() {
      require(entry.offset >= 512 && entry.offset + entry.size <= bytes.count, "an entry outside the archive")
    }
  }

  /// First line: the form of the rest, `questions`, `messages`, `stream` or an import by its name.
  static func data(_ bytes: [UInt8]) throws {
    let form = String(decoding: bytes.prefix { $0 != 0x0A }.prefix(20), as: UTF8.self)
    let content = Array(bytes.drop { $0 != 0x0A }.dropFirst())
    switch form {
    case "questions": _ = try QuestionFile(Scratch.write(content, to: "questions.jsonl"))
    case "messages": _ = try MessageFile(Scratch.write(content, to: "messages.json"))
    case "stream": _ = try StreamRequest(.text(content), number: 0, keys: ["prompt"])
    default:
      guard let kind = QuestionImport(name: form) else { return }
      // Of two files, the second begins behind a zero byte.
      let parts = content.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
      let paths = try parts.enumerated().map { try Scratch.write($1, to: "import-\($0)") }
      guard kind.files.contains(paths.count) else { return }
      let output = Scratch.path + "/made/made.jsonl"
      try? FileManager.default.removeItem(atPath: Scratch.path + "/made")
      _ = try kind.make(paths, options: QuestionImport.Options(), output: output)
      _ = try QuestionFile(output)
      let made = try FileManager.default.contentsOfDirectory(atPath: Scratch.path + "/made").sorted()
      require(made == ["made.jsonl"] || made == ["made-images", "made.jsonl"], "other files were written: \(made)")
    }
  }
}
