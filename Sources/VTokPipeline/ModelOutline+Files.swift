import VTokCore
import VTokModels
import VTokWeights

extension ModelOutline {
  /// A published model by name, an embedded one, that of a directory with a `config.json`, or of GGUF files: weights are not
  /// read and, but for GGUF, need not be there.
  /// - Throws: `ModelError`, `WeightError`.
  public static func of(_ nameOrDirectory: String, mmproj: String? = nil) throws -> ModelOutline {
    if nameOrDirectory.hasSuffix(GGUF.ending) || mmproj != nil {
      return try ModelOutline(LoadedModel.checkpoint(nameOrDirectory, mmproj: mmproj))
    }
    if let known = ModelOutline.published(nameOrDirectory) { return known }
    if LoadedModel.embedded.contains(nameOrDirectory) {
      return ModelOutline(tower: try LoadedModel.load(nameOrDirectory).vision.tower.shape)
    }
    if let config = try JSON.ifPresent(nameOrDirectory + "/config.json") {
      return try ModelOutline(config: config, processor: ProcessorFile(directory: nameOrDirectory))
    }
    let names = LoadedModel.embedded + Shape.published.map(\.name)
    throw ModelError.input(
      what: "model '\(nameOrDirectory)'", found: "no such name and no config.json there",
      expected: "a directory as downloaded or one of \(names.joined(separator: ", "))",
      fix: closest(to: nameOrDirectory, in: names).map { "Did you mean '\($0)'?" } ?? "Check the path.")
  }
}
