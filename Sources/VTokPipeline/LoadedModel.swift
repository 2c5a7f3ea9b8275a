import CVTokTiny
import VTokImage
import VTokModels
import VTokTensor
import VTokWeights

/// A model with the name and the checksum that results record.
public struct LoadedModel: Sendable {
  /// The embedded name, or the last part of the directory's path.
  public let name: String
  public let vision: VisionModel
  /// How its images are prepared.
  public let processor: ImageProcessor
  /// SHA-256 of the weight files' bytes, in order of their names.
  public let sha256: String
  /// SHA-256 of its configuration and of the files that say how images are prepared.
  public let settingsSHA256: String
  /// Tensors of the file that the model does not use.
  public let unusedTensors: [String]

  /// Names of the models inside the binary.
  public static let embedded = ["vtok-tiny"]

  /// A directory as downloaded from the Hub, a weight file that is named after its architecture, or the name of an
  /// embedded model.
  /// - Parameters:
  ///   - precision: of the products in the tower.
  ///   - processor: a file that says how images are prepared, in place of what the model's own files say.
  /// - Throws: `ModelError`, of a model whose files say nothing about images too; `WeightError` or `JSONError`.
  public static func load(
    _ nameOrDirectory: String, precision: Precision = .f32, processor: String? = nil
  ) throws -> LoadedModel {
    guard precision != .int4 else {
      throw ModelError.input(
        what: "precision", found: "int4 for a vision tower", expected: "f32, bf16 or int8",
        fix: "4 bits are for the language model of a vision-language model; use int8.")
    }
    let checkpoint = try checkpoint(nameOrDirectory, processor: processor, precision: precision)
    let vision = try VisionModel.load(checkpoint)
    guard let prepares = vision.processor else { throw ModelError.noProcessor(model: nameOrDirectory) }
    let path = nameOrDirectory.split(separator: "/")
    return LoadedModel(
      name: path.last.map(String.init) ?? nameOrDirectory, vision: vision, processor: prepares,
      sha256: checksum(checkpoint.files),
      settingsSHA256: try checkpoint.settingsSHA256(), unusedTensors: checkpoint.unusedNames())
  }

  /// The files behind a name, a directory or a GGUF file, not yet a model.
  /// - Parameters:
  ///   - mmproj: beside a GGUF file with a text model: the one with its tower and projector.
  ///   - processor: a file that says how images are prepared, in place of what the model's own files say.
  ///   - precision: nil: `.file` for GGUF, else `.f32`.
  public static func checkpoint(
    _ nameOrPath: String, mmproj: String? = nil, processor: String? = nil, precision: Precision? = nil
  ) throws -> Checkpoint {
    var checkpoint = try files(nameOrPath, mmproj)
    if let processor { checkpoint = try checkpoint.preparing(by: processor) }
    return precision.map { checkpoint.at($0) } ?? checkpoint
  }

  private static func files(_ nameOrDirectory: String, _ mmproj: String?) throws -> Checkpoint {
    if let pair = try GGUFPair(nameOrDirectory, mmproj) { return try Checkpoint(gguf: pair.model, mmproj: pair.mmproj) }
    if nameOrDirectory == "vtok-tiny" {
      var sizes = (config: 0, weights: 0)
      let config = vtok_tiny_config(&sizes.config)
      let weights = vtok_tiny_weights(&sizes.weights)
      return try Checkpoint(
        name: nameOrDirectory, config: UnsafeRawBufferPointer(start: config, count: sizes.config),
        weights: UnsafeRawBufferPointer(start: weights, count: sizes.weights))
    }
    if let ending = (PyTorchFile.endings + [".safetensors"]).first(where: { nameOrDirectory.hasSuffix($0) }) {
      // As timm and DeiT name them: deit_small_patch16_224-cd65a155.pth
      let name = nameOrDirectory.dropLast(ending.count).split(separator: "/").last ?? ""
      return try Checkpoint(file: nameOrDirectory, config: ["architecture": JSON(String(name))])
    }
    return try Checkpoint(directory: nameOrDirectory)
  }

  package static func checksum(_ files: [MappedFile]) -> String {
    var hash = SHA256()
    for file in files {
      for start in stride(from: 0, to: file.count, by: 1 << 26) {
        let part = UnsafeRawBufferPointer(rebasing: file.bytes[start..<min(start + 1 << 26, file.count)])
        hash.update(part)
        file.forget(part)
      }
    }
    return hash.finish()
  }
}
