import VTokCore
import VTokWeights

/// What a family of models is known by, in every list that people see: `vtok models`, `vtok inspect`, messages. The
/// families themselves are listed once per kind: `VisionModel.families`, `MultimodalModel.families`,
/// `ImageTokenizers.families`.
public struct ModelFamily: Sendable, Equatable {
  public enum Kind: String, Sendable, CaseIterable {
    case tower = "vision tower"
    case languageVision = "vision-language model"
    case tokenizer = "image tokenizer"
  }
  public let kind: Kind
  public let name: String
  /// `model_type` in `config.json`; of timm architectures. Empty where tensors alone tell.
  public let types: [String]
  public let summary: String

  /// Every family that can be loaded.
  public static let all: [ModelFamily] =
    VisionModel.families.map { ModelFamily(kind: .tower, name: $0.name, types: $0.types, summary: $0.summary) }
    + MultimodalModel.families.map {
      ModelFamily(kind: .languageVision, name: $0.name, types: $0.types, summary: $0.summary)
    }
    + ImageTokenizers.families.map {
      ModelFamily(kind: .tokenizer, name: $0.name, types: [], summary: $0.summary)
    }

  /// The refusal of a model whose `config.json` names no family.
  static func unknown(_ config: JSON, known: [String]) -> ModelError {
    let type = config.value(at: "model_type")?.string
    let classes = config.value(at: "architectures")?.strings?.first.map { " (\(shortened($0)))" } ?? ""
    guard let type else {
      return .unknownFamily(
        found: "no model_type or architecture in config.json\(classes), and tensors of none", known: known)
    }
    let near = nearest(to: shortened(type), in: all.flatMap(\.types).filter { !$0.contains("patch") })?.word
    return .unknownFamily(found: "model type '\(shortened(type))'\(classes)", known: known, nearest: near)
  }
}

/// Tensors that files of a family carry and that its maths never reads, with the reason. Everything else that nobody asks
/// for is an error: it belongs to another model.
struct Needless: Sendable {
  /// `*` stands for any text.
  let names: [String], reason: String

  init(_ names: String..., reason: String) { (self.names, self.reason) = (names, reason) }

  static let positions = Needless("*position_ids", reason: "0, 1, 2, ...: an index of old files")
  static let mask = Needless("*mask_token", reason: "stands for hidden patches in pre-training")
  static let rotary = Needless(
    "*rotary_emb.inv_freq", "*rotary_pos_emb.inv_freq", reason: "follows from rope_theta: of old files")
}

extension Checkpoint {
  /// Refuses tensors that nothing has asked for, once all of a model is loaded.
  func refuseUnknown(_ needless: [Needless]) throws(ModelError) {
    let unknown = unusedNames(ignoring: needless.flatMap(\.names))
    guard unknown.isEmpty else { throw .unknownTensors(unknown) }
  }
}
