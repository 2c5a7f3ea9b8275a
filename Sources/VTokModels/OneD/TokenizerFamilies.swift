import VTokWeights

/// Image tokenizers that come as checkpoints.
public enum ImageTokenizers {
  struct Family: Sendable {
    let name: String, summary: String
    let matches: @Sendable (Checkpoint) -> Bool
    let load: @Sendable (Checkpoint) throws -> any ImageTokenizer
  }

  /// In the order they are asked whether a checkpoint is theirs.
  static let families: [Family] = [
    Family(
      name: "flextok", summary: "FlexTok: any prefix, decoded through a flow; 25 steps without guidance",
      matches: FlexTok.matches
    ) { try FlexTok.load($0) },
    Family(
      name: "one-d-piece", summary: "One-D-Piece (any prefix), TiTok with vector quantisation (one length)",
      matches: OneDPiece.matches
    ) { try OneDPiece($0) },
  ]

  /// Whether a checkpoint is an image tokenizer.
  public static func matches(_ checkpoint: Checkpoint) -> Bool { families.contains { $0.matches(checkpoint) } }

  /// Loads whatever family the checkpoint belongs to.
  /// - Throws: `ModelError`, `WeightError`.
  public static func load(_ checkpoint: Checkpoint) throws -> any ImageTokenizer {
    try checkpoint.refuseQuantised()
    guard let family = families.first(where: { $0.matches(checkpoint) }) else {
      throw ModelError.unknownFamily(found: "other tensors in \(checkpoint.name)", known: families.map(\.name))
    }
    return try family.load(checkpoint)
  }
}
