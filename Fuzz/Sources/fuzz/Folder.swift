import Foundation
import VTok

/// Folders of small models of which one JSON file is replaced by the input.
extension Target {
  /// First line: `MODEL FILE`. The rest are the bytes of that file. An unknown name stands for the first one.
  static func config(_ bytes: [UInt8]) throws {
    let line = String(decoding: bytes.prefix { $0 != 0x0A }.prefix(100), as: UTF8.self).split(separator: " ")
    let content = bytes.drop { $0 != 0x0A }.dropFirst()
    let model = folders.first { line.first.map(String.init) == $0.name } ?? folders[0]
    let file = line.last.map(String.init) ?? ""
    let path = try model.copy(replacing: files.contains(file) ? file : files[0], with: content)
    attempt { _ = try ModelOutline.of(path) }
    attempt { _ = try LoadedModel.load(path).vision.processor?(Image(width: 9, height: 7, colour: [1, 2, 3])) }
    attempt { _ = try MultimodalModel.load(Checkpoint(directory: path)) }
    attempt { _ = try Generator(model: path) }
    attempt { _ = try ImageTokenizers.load(Checkpoint(directory: path, config: [:])) }
  }

  private static func attempt(_ body: () throws -> Void) {
    do { try body() } catch { check(error) }
  }

  private static let files = [
    "config.json", "preprocessor_config.json", "processor_config.json", "generation_config.json",
    "tokenizer_config.json", "chat_template.json",
  ]

  /// As `corpora.py` lays them out; the variable `FUZZ_MODELS` says where.
  private static let folders: [ModelFolder] = {
    let root = ProcessInfo.processInfo.environment["FUZZ_MODELS"] ?? "models"
    let names = ((try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []).sorted()
    precondition(!names.isEmpty, "no models below FUZZ_MODELS: run corpora.py")
    return names.map { ModelFolder(name: $0, source: root + "/" + $0) }
  }()
}

private struct ModelFolder {
  let name: String
  let source: String

  /// A folder of links to the model's files, but for one that has these bytes.
  func copy(replacing file: String, with bytes: ArraySlice<UInt8>) throws -> String {
    let path = Scratch.path + "/" + name
    let manager = FileManager.default
    if !manager.fileExists(atPath: path) {
      try manager.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    for entry in try manager.contentsOfDirectory(atPath: source) {
      let link = path + "/" + entry
      if entry != file, (try? manager.destinationOfSymbolicLink(atPath: link)) == nil {
        try? manager.removeItem(atPath: link)
        try manager.createSymbolicLink(atPath: link, withDestinationPath: source + "/" + entry)
      }
    }
    let link = path + "/" + file
    try? manager.removeItem(atPath: link)
    try Data(bytes).write(to: URL(fileURLWithPath: link))
    for extra in try manager.contentsOfDirectory(atPath: path)
    where extra != file && !manager.fileExists(atPath: source + "/" + extra) {
      try manager.removeItem(atPath: path + "/" + extra)
    }
    return path
  }
}
