import VTokCore
import VTokImage
import VTokModels
import VTokWeights

extension ModelOutline {
  /// A published model by name, an embedded one, that of a directory with a `config.json`, or of GGUF files: weights are not
  /// read and, but for GGUF, need not be there.
  /// - Parameters:
  ///   - mmproj: beside a GGUF file with a text model: the one with its tower and projector.
  ///   - processor: a file that says how images are prepared, in place of what the model's own files say.
  ///   - size: of the images of a tower; nil: its own.
  /// - Throws: `ModelError`, of a model whose size of images no file says too; `WeightError`.
  public static func of(
    _ nameOrDirectory: String, mmproj: String? = nil, processor: String? = nil, size: Size? = nil
  ) throws -> ModelOutline {
    let outline = try whole(nameOrDirectory, mmproj: mmproj, processor: processor, size: size)
    guard let size, outline.shape.decoder == nil, let tower = outline.shape.tower else { return outline }
    return ModelOutline(tower: try tower.resized(height: size.height, width: size.width))
  }

  private static func whole(
    _ nameOrDirectory: String, mmproj: String?, processor: String?, size: Size?
  ) throws -> ModelOutline {
    if nameOrDirectory.hasSuffix(GGUF.ending) || mmproj != nil {
      return try ModelOutline(LoadedModel.checkpoint(nameOrDirectory, mmproj: mmproj, processor: processor))
    }
    let named = try processor.map { try ProcessorFile(named: $0) }
    if let known = try ModelOutline.published(nameOrDirectory, processor: named) { return known }
    if LoadedModel.embedded.contains(nameOrDirectory) {
      return ModelOutline(tower: try LoadedModel.load(nameOrDirectory).vision.tower.shape)
    }
    if let config = try JSON.ifPresent(nameOrDirectory + "/config.json") {
      let file = try named ?? ProcessorFile(directory: nameOrDirectory)
      return try ModelOutline(config: config, files: file, of: nameOrDirectory, size: size)
    }
    let names = LoadedModel.embedded + Shape.published.map(\.name)
    throw ModelError.input(
      what: "model '\(nameOrDirectory)'", found: "no such name and no config.json there",
      expected: "a directory as downloaded or one of \(names.joined(separator: ", "))",
      fix: closest(to: nameOrDirectory, in: names).map { "Did you mean '\($0)'?" } ?? "Check the path.")
  }
}
