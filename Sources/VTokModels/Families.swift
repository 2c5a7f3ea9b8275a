import VTokCore
import VTokWeights

/// A family of models as one value: all that depends on its name. No other code asks for a name.
///
/// The families are listed once per kind: `Families.vision`, `Families.multimodal`, and `Families.tokenizers` above this target.
public protocol Family: Sendable {
  var kind: FamilyKind { get }
  var name: String { get }
  /// `model_type` in `config.json`; of timm architectures. Empty where tensors alone tell.
  var types: [String] { get }
  var summary: String { get }
  /// Models whose cost can be asked for by name.
  var published: [PublishedModel] { get }
}

public enum FamilyKind: String, Sendable, CaseIterable {
  case tower = "vision tower"
  case languageVision = "vision-language model"
  case tokenizer = "image tokenizer"
}

/// A published model that is known without any file: what its `config.json` says beyond the defaults of its family, read by
/// the same code as a downloaded file.
public struct PublishedModel: Sendable {
  public let name: String
  public let config: JSON
  /// `preprocessor_config.json`; nil: that of the family's published models.
  public let processor: ProcessorFile?

  init(_ name: String, _ config: JSON, processor: JSON? = nil) {
    self.name = name
    self.config = config
    self.processor = processor.map { ProcessorFile($0) }
  }
}

public enum Families {
  /// Every family whose checkpoints say what they are in `config.json`: towers and vision-language models.
  package static let models: [any Family] = {
    let kinds: [[any Family]] = [vision, multimodal]
    return kinds.flatMap(\.self)
  }()

  /// Every model whose cost can be asked for by name.
  public static var published: [PublishedModel] { models.flatMap(\.published) }

  /// What a `config.json` calls its model; nil where it says nothing.
  public static func type(in config: JSON) -> String? {
    (config.value(at: "model_type") ?? config.value(at: "architecture"))?.string
  }

  /// The refusal of a model whose `config.json` names no family.
  static func unknown(_ config: JSON, known: [String]) -> ModelError {
    let type = config.value(at: "model_type")?.string
    let classes = config.value(at: "architectures")?.strings?.first.map { " (\(shortened($0)))" } ?? ""
    guard let type else {
      return .unknownFamily(
        found: "no model_type or architecture in config.json\(classes), and tensors of none", known: known)
    }
    let near = nearest(to: shortened(type), in: models.flatMap(\.types).filter { !$0.contains("patch") })?.word
    return .unknownFamily(found: "model type '\(shortened(type))'\(classes)", known: known, nearest: near)
  }
}

extension Shape {
  /// Published models whose cost can be asked for by name, without any file.
  public static let published: [(name: String, shape: Shape)] = Families.published.map {
    ($0.name, try! Shape(config: $0.config, processor: $0.processor))  // our own text, tested
  }

  /// The published model of that name.
  public static func published(_ name: String) -> Shape? { published.first { $0.name == name }?.shape }
}

/// Tensors that files of a family carry and that its maths never reads, with the reason. Everything else that nobody asks
/// for is an error: it belongs to another model.
package struct Needless: Sendable {
  /// `*` stands for any text.
  package let names: [String], reason: String

  package init(_ names: String..., reason: String) {
    self.names = names
    self.reason = reason
  }

  package static let positions = Needless("*position_ids", reason: "0, 1, 2, ...: an index of old files")
  package static let mask = Needless("*mask_token", reason: "stands for hidden patches in pre-training")
  static let rotary = Needless(
    "*rotary_emb.inv_freq", "*rotary_pos_emb.inv_freq", reason: "follows from rope_theta: of old files")
}

extension Checkpoint {
  /// Refuses tensors that nothing has asked for, once all of a model is loaded.
  package func refuseUnknown(_ needless: [Needless]) throws(ModelError) {
    let unknown = unusedNames(ignoring: needless.flatMap(\.names))
    guard unknown.isEmpty else { throw .unknownTensors(unknown) }
  }
}
