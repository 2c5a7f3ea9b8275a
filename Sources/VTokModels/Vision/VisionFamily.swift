import VTokCore
import VTokImage
import VTokWeights

/// A family of vision towers: all that depends on its name.
struct VisionFamily: Family {
  let name: String
  let types: [String]
  /// Key of `config.json` that types stand under where there is no `model_type`.
  var typeKey = "model_type"
  let summary: String
  /// Tensors that tell the family where `config.json` names no type.
  let marks: [String]
  let needless: [Needless]
  let published: [PublishedModel]
  /// The processor that decides the size of images where `config.json` says nothing of it; nil: it does.
  var sizes: TowerProcessor?
  /// The numbers of a tower from `config.json`, and from the size of its images where the processor decides it.
  let shape: @Sendable (Config, Size?) throws -> Shape.Tower
  let load: @Sendable (Checkpoint) throws -> VisionModel

  var kind: FamilyKind { .tower }

  /// The family that a configuration names, or, where it names none, that tensors tell.
  /// - Throws: `ModelError.unknownFamily` with what was found.
  static func of(_ config: JSON, has: (String) -> Bool = { _ in false }) throws(ModelError) -> VisionFamily {
    let file = Config(json: config)
    let type = try file.string("model_type")
    let known = Families.vision.first { family in type.map(family.types.contains) ?? file.has(family.typeKey) }
    guard let family = known ?? (type == nil ? Families.vision.first { $0.marks.contains(where: has) } : nil) else {
      throw Families.unknown(config, known: Families.models.map(\.name))
    }
    return family
  }
}

extension VisionModel {
  /// Loads whatever family the checkpoint belongs to, the layers of its blocks for products of the checkpoint's precision. The
  /// projection of patches, attention, norms, positions and heads are float32 always.
  /// - Throws: `ModelError`, `WeightError` or `JSONError`.
  public static func load(_ checkpoint: Checkpoint) throws -> VisionModel {
    let family = try VisionFamily.of(checkpoint.config, has: checkpoint.has)
    try checkpoint.refuseQuantised()
    var model = try family.load(checkpoint)
    model.precision = checkpoint.precision
    try checkpoint.refuseUnknown(family.needless)
    try model.checkInput()
    return model
  }
}
