import Foundation
import TestSupport
import Testing
import VTok

/// No tensor that a model is made of may be absent: a bias or a layer that a file lacks would be taken for one that the model
/// does not have, and its answers would be wrong without a word.
@Suite struct CompletenessTests {
  @Test(arguments: Self.models) func everyTensorIsNeeded(_ model: String) throws {
    let source = goldenCases + model
    // What the whole model is loaded without, its family names as needless.
    var needless: [String]?
    let load = try #require(
      Self.loaders.first { load in
        needless = try? load(source)
        return needless != nil
      }, "\(model) does not load")
    let file = try Safetensors(path: source + "/model.safetensors")
    let tensors = try file.entries.map { ($0.name, try file.tensor($0.name)) }
    let folder = FileManager.default.temporaryDirectory.path + "/vtok-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    for name in try FileManager.default.contentsOfDirectory(atPath: source) where name != "model.safetensors" {
      try FileManager.default.createSymbolicLink(
        atPath: folder + "/" + name, withDestinationPath: source + "/" + name)
    }
    var kinds: Set<String> = []
    for (index, (name, _)) in tensors.enumerated().reversed() {
      // One layer of a list stands for all.
      guard kinds.insert(String(name.map { $0.isNumber ? "#" : $0 })).inserted, needless?.contains(name) == false else {
        continue
      }
      let rest = tensors.enumerated().filter { $0.offset != index }
      try Safetensors.write(rest.map { ($1.0, .f32($1.1)) }, to: folder + "/model.safetensors")
      let error = #expect(throws: (any Error).self, "\(model) loads without \(name)") { try load(folder) }
      #expect(error is WeightError || error is ModelError, "\(name): \(error.map { "\($0)" } ?? "nothing")")
    }
    // And one more is as wrong as one fewer.
    let more = tensors + [("\(tensors[0].0).again", Tensor(zeros: [2]))]
    try Safetensors.write(more.map { ($0.0, .f32($0.1)) }, to: folder + "/model.safetensors")
    #expect(throws: (any Error).self, "\(model) loads with a tensor that nobody knows") { try load(folder) }
  }

  /// Each returns the names that it has not asked for.
  private static let loaders: [@Sendable (String) throws -> [String]] = [
    { try rest(of: Checkpoint(directory: $0)) { _ = try MultimodalModel.load($0) } },
    { try rest(of: Checkpoint(directory: $0)) { _ = try CLIP.load($0) } },
    { try rest(of: Checkpoint(directory: $0)) { _ = try SigLIP.load($0) } },
    { try rest(of: Checkpoint(directory: $0)) { _ = try VisionModel.load($0) } },
    { try rest(of: ImageTokenizers.checkpoint(directory: $0)) { _ = try ImageTokenizers.load($0) } },
    { try rest(of: Checkpoint(directory: $0)) { _ = try Divot($0) } },
  ]

  private static func rest(of checkpoint: Checkpoint, _ load: (Checkpoint) throws -> Void) throws -> [String] {
    try load(checkpoint)
    return checkpoint.unusedNames(ignoring: [])
  }

  /// Every small model of the goldens whose folder says all about it: of the others a caller must know the heads.
  static let models: [String] = FileManager.default.enumerator(atPath: goldenCases)!.compactMap { $0 as? String }
    .filter { $0.hasSuffix("/config.json") }.map { String($0.dropLast("/config.json".count)) }
    .filter { !$0.hasPrefix("gigatok") && !$0.hasPrefix("tiny-llama") }
    .filter { FileManager.default.fileExists(atPath: goldenCases + $0 + "/model.safetensors") }.sorted()
}
