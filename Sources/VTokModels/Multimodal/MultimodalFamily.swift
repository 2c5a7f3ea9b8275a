import VTokCore
import VTokWeights

/// A family of vision-language models: all that depends on its name.
struct MultimodalFamily: Family {
  let name: String
  let types: [String]
  let summary: String
  /// What tells it from another family of the same type; nil: it takes what no other one claims.
  var claims: (@Sendable (_ config: JSON) -> Bool)?
  /// How images stand in the text of prompts.
  let text: VisualText
  /// Id that stands for an image where `config.json` gives none.
  let placeholder: Int
  /// Tokens that its authors' code puts into texts without a tokenizer that knows them, with the keys of `config.json` that give
  /// their ids, and those of published models.
  var ownTokens: [(token: String, key: String, id: Int)] = []
  /// The section of `config.json` on the language model.
  var languageSection = "text_config"
  /// Type of the language model, from the type of the whole, where `config.json` gives none.
  let languageType: @Sendable (_ type: String) -> String
  /// The language model where there is no section on it at all; nil: its keys stand at the top of the file.
  var absentLanguage: JSON?
  /// Whether the token embeddings are the head where the file says nothing; a head that is there counts in any case.
  var isTiedByDefault = false
  /// The numbers of the model, and how images lie in it.
  let outline: @Sendable (Config, Shape.Decoder) throws -> Outline
  /// Official image processors that came with it; files of any family may name them.
  var processors: [ProcessorKind] = []
  /// Whether its processor is what the files of a folder describe; else all values stand in `config.json`.
  var readsProcessorFile = true
  /// Whether `config.json` of a folder without such a file names a published tower whose processor is taken.
  var namesProcessor: @Sendable (_ tower: String) -> Bool = { $0.hasPrefix("openai/clip-vit-") }
  /// The processor where the file names none.
  let processor: @Sendable (Config) -> ProcessorKind
  /// How its processor resizes the frames of videos, where it cuts them into patches; nil: it takes no such videos.
  var videos: VideoRule?
  /// Chat templates that came with it.
  var templates: [KnownTemplate] = []
  /// The one that a checkpoint without a template of its own is known by; nil: none is.
  /// - Parameters:
  ///   - language: type of the language model.
  ///   - knows: whether the tokenizer has a token.
  let template: @Sendable (_ language: String, _ knows: (String) -> Bool) -> KnownTemplate?
  /// Key of `config.json` that names the template of the authors' code, which then goes before that of the tokenizer.
  var templateKey: String?
  /// Token that ends a turn of its template, and so an answer, whatever other files say; nil: they say it.
  var turnEnd: String?
  let published: [PublishedModel]
  /// Whether the head is the table of embeddings where `config.json` says nothing.
  var tiesHead = false
  /// Names of the tensors: what they begin with in files, and here.
  var names: @Sendable (Config) -> NamePrefixes = { _ in .common }
  /// Tensors that it does not read, beside those that no family does.
  var needless: [Needless] = []
  /// How GGUF files have its tower and projector; nil: none has.
  var gguf: GGUFProjector?
  /// - Parameter checkpoint: with `names`.
  let load: @Sendable (_ checkpoint: Checkpoint, Shape) throws -> any VisualEncoder

  var kind: FamilyKind { .languageVision }

  struct Outline {
    let shape: Shape
    let geometry: any VisualGeometry
  }

  /// The family that a configuration names; nil where it is unknown.
  static func of(_ config: JSON) -> MultimodalFamily? {
    guard let type = config.value(at: "model_type")?.string else { return nil }
    let named = Families.multimodal.filter { $0.types.contains(type) }
    return named.first { $0.claims?(config) == true } ?? named.first { $0.claims == nil } ?? named.first
  }

  /// What a configuration of this family says of its model.
  func read(_ config: Config) throws -> Outline {
    let outline = try self.outline(config, DecoderConfig(language(config)).shape)
    try Shape.check(parameters: outline.shape.connectorMACs, of: "connector")
    return outline
  }

  /// The text part of a configuration, with what stands outside it in some files. Its type is never this family's own.
  func language(_ config: Config) throws(ModelError) -> Config {
    let own = JSON(languageType(try config.string("model_type") ?? types[0]))
    guard let section = try config.sectionIfPresent(languageSection), var text = section.json.object else {
      if let absentLanguage { return Config(json: absentLanguage) }
      var whole = config.json.object ?? JSONObject()
      whole["model_type"] = own
      return Config(json: .object(whole), file: config.file, path: config.path)
    }
    if try section.string("model_type").map(types.contains) ?? true { text["model_type"] = own }
    for key in ["rope_scaling", "rope_theta"] where text[key] == nil && text["rope_parameters"] == nil {
      text[key] = config.json[key]
    }
    return Config(json: .object(text), file: config.file, path: section.path)
  }

  /// Every type that a family answers to, each once.
  static var types: [String] {
    Families.multimodal.flatMap(\.types).reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }

  /// Tensors that no family reads.
  static let needless: [Needless] = [.positions, .mask, .rotary]
}

extension MultimodalModel {
  /// Whether a configuration is that of a vision-language model that is known.
  public static func matches(_ config: JSON) -> Bool { MultimodalFamily.of(config) != nil }

  /// Tokens with ids that stand in texts of a family whether its tokenizer knows them or not.
  public static func ownTokens(_ config: JSON) throws(ModelError) -> [(token: String, id: Int)] {
    let file = Config(json: config)
    var tokens: [(token: String, id: Int)] = []
    for own in MultimodalFamily.of(config)?.ownTokens ?? [] {
      tokens.append((own.token, try file.intIfPresent(own.key) ?? own.id))
    }
    return tokens
  }

  /// Name of the family of a configuration; nil where it is unknown.
  public static func familyName(_ config: JSON) -> String? { MultimodalFamily.of(config)?.name }
}

extension Shape {
  /// A vision tower or a vision-language model of any family that is known.
  /// - Parameters:
  ///   - config: `config.json` as published.
  ///   - processor: where a tower takes its image size from it.
  /// - Throws: `ModelError`.
  public init(config: JSON, processor: ProcessorFile? = nil) throws {
    if let family = MultimodalFamily.of(config) {
      self = try family.read(Config(json: config)).shape
    } else {
      self.init(tower: try Tower(config: config, processor: processor))
    }
  }
}
