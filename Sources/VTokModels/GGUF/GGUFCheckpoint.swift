import VTokCore
import VTokTensor
import VTokWeights

extension Checkpoint {
  /// A model in GGUF files: a text model and, for one that sees, the file with its tower and projector ("mmproj"). What loads
  /// from it is as if it came from a directory: names, configuration, processor and chat template are those that a directory
  /// of the same model has. Its precision is `.file`.
  /// - Parameters:
  ///   - path: of the text model; of one in several parts that of the first.
  ///   - mmproj: nil: the language model alone.
  /// - Throws: before any weight is read, `ModelError` for a model or a pair that does not run, `TokenizerError`,
  ///   `WeightError`.
  public init(gguf path: String, mmproj: String? = nil) throws {
    try self.init(gguf: GGUF(path: path), mmproj: mmproj.map { path throws(WeightError) in try GGUF(path: path) })
  }

  /// The same of files that are open.
  public init(gguf model: GGUF, mmproj: GGUF? = nil) throws {
    let path = model.path
    guard !model.values.isProjector else {
      throw ModelError.input(
        what: path, found: "a tower with its projector (mmproj)",
        expected: "a text model" + (mmproj == nil ? "" : ", and \(mmproj!.path) beside it as the projector"),
        fix: "Give the text model's file, and this one as its mmproj.")
    }
    let vocabulary = try GGUFVocabulary(model.values, file: path)
    let text = try GGUFText(model, vocabulary: vocabulary)
    guard let mmproj else {
      try self.init(path, [model], text, nil, vocabulary, nil)
      return
    }
    let tower = try GGUFTower(pair: mmproj, of: path)
    let family = try tower.family()
    guard family.gguf!.architectures.contains(text.language.architecture) else {
      throw ModelError.input(
        what: "\(mmproj.path) beside \(path)",
        found: "a projector of \(family.summary) and a text model of architecture '\(text.language.architecture)'",
        expected: "a text model of \(family.gguf!.architectures.joined(separator: " or "))",
        fix: "Give both files of one model.")
    }
    let shape = tower.model.entry(family.gguf!.last)?.shape ?? []
    let width = family.gguf!.isTurned ? shape.last : shape.first
    guard width == text.width else {
      throw ModelError.input(
        what: "\(mmproj.path) beside \(path)",
        found: shape.isEmpty ? "no `\(family.gguf!.last)`" : "a projector to \(width!) channels",
        expected: "one to the \(text.width) of the text model's embeddings", fix: "Give both files of one model.")
    }
    try self.init(path, [model, mmproj], text, (family, family.gguf!.read(tower)), vocabulary, family.text)
  }

  private init(
    _ path: String, _ models: [GGUF], _ text: GGUFText, _ seen: (family: MultimodalFamily, vision: GGUFVision)?,
    _ vocabulary: GGUFVocabulary?, _ visual: VisualText?
  ) throws {
    var config: [(String, JSON)] = [
      ("model_type", seen.map { JSON($0.family.types[0]) } ?? JSON(text.language.type)), ("text_config", text.config),
    ]
    config += seen?.vision.config ?? []
    if let visual, let vocabulary {
      config.append(("image_token_id", JSON(vocabulary.placeholder(visual.placeholder))))
    }
    let names = text.names.merging(seen?.vision.names ?? [:]) { $1 }
    let made = text.made.merging(seen?.vision.made ?? [:]) { $1 }
    try Self.refuseUnknown(models, Set(names.keys).union(made.values.flatMap(\.parts)))
    try self.init(
      name: path, models.flatMap(\.files), config: .object(JSONObject(config)),
      documents: (seen?.vision.processor).map { ["preprocessor_config.json": $0] } ?? [:], names: names, made: made,
      vocabulary: vocabulary, placeholder: visual?.placeholder, precision: .file)
    // What these numbers say stands in the configuration.
    if has(GGUFText.frequencies) { _ = try vector(GGUFText.frequencies, [nil]) }
  }

  /// Refuses tensors that the model of these keys does not have.
  private static func refuseUnknown(_ models: [GGUF], _ known: Set<String>) throws(ModelError) {
    for model in models {
      guard let entry = model.entries.first(where: { !known.contains($0.name) }) else { continue }
      let isScale = [".scale", ".input_scale"].contains { entry.name.hasSuffix($0) }
      throw .input(
        what: "\(entry.file): tensor `\(shortened(entry.name))`",
        found: isScale ? "a scale of other weights (NVFP4)" : "a tensor that no model of these keys has",
        expected: "tensors that are known by name",
        fix: isScale
          ? "Use a file of the same model in another type, such as Q4_K_M." : "Use another file of the model.")
    }
  }
}

extension MultimodalModel {
  /// Name of the family that reads a GGUF file which holds a tower and its projector; nil for a text model's file.
  /// - Throws: `ModelError` for one that no family reads.
  public static func familyName(ofProjector model: GGUF) throws -> String? {
    guard model.values.isProjector else { return nil }
    return try GGUFTower(model).family().name
  }
}

extension GGUFTower {
  /// - Parameter path: of the text model that it is given with.
  init(pair model: GGUF, of path: String) throws {
    self.init(model)
    guard model.values.isProjector else {
      throw ModelError.input(
        what: self.path,
        found: model.values.architecture.map { "architecture '\(shortened($0))', a second text model" }
          ?? "no general.architecture",
        expected: "the tower and projector (mmproj) of \(path), of architecture 'clip'",
        fix: "Its file is published beside the text models, most often with mmproj in its name.")
    }
    guard try whole.bool("has_vision_encoder", true) else {
      throw ModelError.input(
        what: self.path, found: "no tower for images", expected: "one", fix: "Give the mmproj that has one.")
    }
  }

  /// The family that reads it.
  func family() throws -> MultimodalFamily {
    let name = try projector
    let all = Families.multimodal.filter { $0.gguf?.name == name }
    guard let family = all.first(where: { $0.gguf!.fits(self) }) else {
      let known = Set(Families.multimodal.compactMap(\.gguf?.name)).sorted()
      throw ModelError.unknownFamily(found: "projector '\(shortened(name))' in \(path)", known: known)
    }
    return family
  }
}
