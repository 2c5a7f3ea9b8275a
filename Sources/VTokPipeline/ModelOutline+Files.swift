import VTokCore
import VTokModels
import VTokWeights

extension ModelOutline {
  /// A published model by name, an embedded one, or that of a directory with a `config.json`: weights are not read and
  /// need not be there.
  /// - Throws: `ModelError`, `WeightError`.
  public static func of(_ nameOrDirectory: String) throws -> ModelOutline {
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
