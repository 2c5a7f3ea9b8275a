import Foundation
import TestSupport
import Testing
import VTok

/// One value of one configuration file replaced by what none should hold: the model is refused with a typed error, or it
/// works, a dense run and its cost included. Nothing traps, and nothing of the size that a file claims is allocated first.
///
/// Every number of every file gets two of the values, in turn. `VTOK_FUZZ=wide` gives all values to everything that is in
/// the files, and takes the tiny checkpoints of `../shared` too.
@Suite struct ConfigFuzzTests {
  static let isWide = ProcessInfo.processInfo.environment["VTOK_FUZZ"] == "wide"
  static let values = [
    "NaN", "Infinity", "-1", "0", "1e12", "9223372036854775807", "-9223372036854775808", "1.5", "\"x\"", "true", "null",
    "[]", "{}",
  ]
  /// Keys that shape a model, and values that they cannot have.
  static let sizes: Set<String> = [
    "num_hidden_layers", "num_attention_heads", "patch_size", "embed_dim", "depth", "crop_pct", "mean", "std",
    "input_size", "image_mean", "image_std", "rescale_factor", "layer_norm_eps", "rms_norm_eps",
  ]
  static let impossible: Set<String> = ["NaN", "Infinity", "1e12", "9223372036854775807", "\"x\"", "{}"]
  static let repository =
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path
  static let cases = repository + "/Tests/Golden/Cases/"
  static let photo = Image(width: 40, height: 30, colour: [200, 30, 90])

  // MARK: Models

  static let towerFolders = [repository + "/Sources/CVTokTiny"] + ConfigShapeTests.folders + shared("vit-towers")
  static let languageFolders = TinyModels.names.map { cases + "lvlm/" + $0 } + shared("lvlm")
  static let generatorFolders = ["vqa-small", "vqa-tiles", "vqa-small-pmod", "vqa-small-quecc-16"].map {
    repository + "/Benchmarks/models/" + $0
  }

  /// Checkpoints of the goldens beside the repository.
  static func shared(_ name: String) -> [String] {
    guard isWide, let sharedData else { return [] }
    let folder = sharedData + "/../golden/" + name
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.sorted().map { folder + "/" + $0 }
      .filter { FileManager.default.fileExists(atPath: $0 + "/model.safetensors") }
  }

  @Test(arguments: towerFolders) func towers(_ folder: String) throws {
    try fuzz(folder, unread: "text_config") { folder, config in
      let shape = try Shape(config: config, processor: ProcessorFile(directory: folder))
      _ = Cost(denseWith: shape.tower!.patches, shape: shape)
      _ = try Pipeline(model: folder)(Self.photo)
    }
  }

  @Test(arguments: languageFolders) func languageModels(_ folder: String) throws {
    try fuzz(folder) { folder, config in
      let checkpoint = try Checkpoint(directory: folder)
      let outline = try ModelOutline(config: config)
      _ = Cost(denseWith: outline.shape.tower!.patches, shape: outline.shape)
      let (model, processor) = (try MultimodalModel.load(checkpoint), try ProcessorConfig.load(checkpoint))
      let image = try processor.tiles(of: Self.photo)
      let ids = try [5] + model.spans(of: image).map { _ in model.placeholder }
      var run = Run(try Composition([], for: model.shape))
      _ = try model.prefill(ids, [image], run: &run)
    }
  }

  @Test(arguments: generatorFolders) func generators(_ folder: String) throws {
    try fuzz(folder) { folder, _ in
      _ = try Generator(model: folder)("what is it?", about: [Self.photo], limit: 2)
    }
  }

  /// Image tokenizers have their configuration in memory.
  @Test(arguments: ["one-d-piece/tiny_b", "one-d-piece/titok_nonlegacy", "flextok/tiny_a", "flextok/tiny_b"])
  func imageTokenizers(_ name: String) throws {
    let config = try #require(JSON(contentsOf: Self.cases + name + ".json")["config"])
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).safetensors").path
    try Self.withoutMetadata(Self.cases + name + "_model.safetensors", to: file)
    defer { try? FileManager.default.removeItem(atPath: file) }
    func load(_ config: JSON) throws -> any ImageTokenizer {
      let checkpoint = try Checkpoint(file: file, config: config)
      if name.hasPrefix("flextok") { return try FlexTok.load(checkpoint, groups: 4) }
      return try OneDPiece(checkpoint, heads: name.hasSuffix("tiny_b") ? (5, 5) : (5, 3))
    }
    _ = try load(config).encode(Self.photo)
    for (path, text) in Self.variants(of: config) {
      let changed = try JSON(parsing: text, dialect: .python)
      expectTyped("\(name) \(path)") { _ = try load(changed).encode(Self.photo) }
    }
  }

  /// Those of which a folder with a configuration is among the goldens.
  @Test(arguments: ["bae/tiny-b", "gigatok/tiny-b", "seed/tiny-b", "divot/tiny-b"])
  func imageTokenizersInFolders(_ name: String) throws {
    func run(_ config: JSON) throws {
      let checkpoint = try Checkpoint(file: Self.cases + name + "/model.safetensors", config: config)
      if name.hasPrefix("divot") {
        let model = try Divot(checkpoint)
        _ = try model([Image](repeating: Self.photo, count: model.frameCount))
      } else {
        let model =
          try name.hasPrefix("gigatok") ? GigaTok(checkpoint, heads: (2, 4)) : ImageTokenizers.load(checkpoint)
        _ = try model.encode(Self.photo)
      }
    }
    let config = try JSON(contentsOf: Self.cases + name + "/config.json")
    try run(config)
    for (path, text) in Self.variants(of: config) {
      let changed = try JSON(parsing: text, dialect: .python)
      expectTyped("\(name) \(path)") { try run(changed) }
    }
  }

  /// A copy of a weight file whose header says nothing but where the tensors are.
  private static func withoutMetadata(_ path: String, to copy: String) throws {
    let data = try Data(contentsOf: URL(fileURLWithPath: path))
    let length = Int(data.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
    var header = try JSON(parsing: [UInt8](data[8..<8 + length])).object!
    header["__metadata__"] = nil
    let text = [UInt8](JSON.object(header).text().utf8)
    let size = withUnsafeBytes(of: UInt64(text.count).littleEndian, Array.init)
    try (Data(size + text) + data[(8 + length)...]).write(to: URL(fileURLWithPath: copy))
  }

  // MARK: Changing files

  /// Every variant of every configuration file of a folder, the other files linked.
  /// - Parameter unread: a section that such a model does not need.
  private func fuzz(_ folder: String, unread: String = "?", _ run: (String, JSON) throws -> Void) throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
    let files = names.filter { $0.hasSuffix(".json") && !["result.json"].contains($0) && !$0.hasSuffix("index.json") }
    #expect(files.contains("config.json"))
    let copy = FileManager.default.temporaryDirectory.appendingPathComponent("vtok-fuzz-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: copy) }
    for name in names {
      try FileManager.default.createSymbolicLink(atPath: copy + "/" + name, withDestinationPath: folder + "/" + name)
    }
    try run(copy, JSON(contentsOf: copy + "/config.json"))
    for file in files {
      let original = try JSON(contentsOf: folder + "/" + file)
      try FileManager.default.removeItem(atPath: copy + "/" + file)
      for (path, text) in Self.variants(of: original) {
        try Data(text.utf8).write(to: URL(fileURLWithPath: copy + "/" + file))
        // Videos come as frames that are prepared as images; InternVL's authors have all values in config.json.
        let isPassedOver =
          path.hasPrefix("video_processor") || folder.hasSuffix("orig-a") && file == "preprocessor_config.json"
        let isRead = file != "tokenizer.json" && !path.hasPrefix(unread) && !isPassedOver
        // The patches of a processor are those of its own; most have none.
        let sizes = file == "config.json" ? Self.sizes : Self.sizes.subtracting(["patch_size"])
        expectTyped("\(folder)/\(file) \(path)", isRead ? sizes : []) {
          try run(copy, JSON(contentsOf: copy + "/config.json"))
        }
      }
      try? FileManager.default.removeItem(atPath: copy + "/" + file)  // not there where nothing in it varies
      try FileManager.default.createSymbolicLink(atPath: copy + "/" + file, withDestinationPath: folder + "/" + file)
    }
  }

  /// A run that ends well or with one of the errors that name what is wrong in one line.
  private func expectTyped(_ what: String, _ sizes: Set<String> = [], _ body: () throws -> Void) {
    do {
      try body()
      let parts = what.split(separator: " ").last!.split(separator: "=", maxSplits: 1).map(String.init)
      let key = parts[0].split(separator: ".").last { Int($0) == nil }.map(String.init) ?? ""
      #expect(!sizes.contains(key) || !Self.impossible.contains(parts[1]), "\(what) was taken")
    } catch {
      let isTyped =
        error is ModelError || error is WeightError || error is TokenizerError || error is ImageError
        || error is CompressionError || error is JSONError
      #expect(isTyped, "\(what): \(error)")
      #expect(!"\(error)".contains("\n") && "\(error)".utf8.count < 1200, "\(what): \(error)")
    }
  }

  /// Texts in which one value is another, named by path and value.
  static func variants(of json: JSON) -> [(path: String, text: String)] {
    var leaves: [[String]] = []
    var seen: [String: Int] = [:]
    collect(json, [], &leaves, &seen)
    let mark = "@value@"
    return leaves.enumerated().flatMap { index, path -> [(String, String)] in
      let text = replaced(json, path[...], .string(mark)).text()
      let chosen = isWide ? values : [values[2 * index % values.count], values[(2 * index + 1) % values.count]]
      return chosen.map { value in
        (path.joined(separator: ".") + "=" + value, text.replacingOccurrences(of: "\"\(mark)\"", with: value))
      }
    }
  }

  /// Paths of the values that are changed: of lists and tables without end the first two.
  private static func collect(_ json: JSON, _ path: [String], _ leaves: inout [[String]], _ seen: inout [String: Int]) {
    let isTable = (json.object?.count ?? json.array?.count ?? 0) > 64
    let members =
      json.object.map { $0.map { ($0.key, $0.value) } } ?? json.array?.enumerated().map { ("\($0)", $1) } ?? []
    for (key, value) in isTable ? Array(members.prefix(2)) : members {
      collect(value, path + [key], &leaves, &seen)
    }
    guard json.array == nil, json.object == nil, isWide || json.double != nil else { return }
    let kind = path.filter { Int($0) == nil }.joined(separator: ".")
    seen[kind, default: 0] += 1
    if seen[kind]! <= 3 { leaves.append(path) }
  }

  private static func replaced(_ json: JSON, _ path: ArraySlice<String>, _ value: JSON) -> JSON {
    guard let key = path.first else { return value }
    if var members = json.object {
      members[key] = replaced(members[key]!, path.dropFirst(), value)
      return .object(members)
    }
    var values = json.array!
    values[Int(key)!] = replaced(values[Int(key)!], path.dropFirst(), value)
    return .array(values)
  }
}
