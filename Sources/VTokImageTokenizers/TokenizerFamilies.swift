import VTokModels
import VTokWeights

/// A family of image tokenizers: all that depends on its name.
struct TokenizerFamily: Family {
  let name: String, summary: String
  let matches: @Sendable (Checkpoint) -> Bool
  /// Name that stands before all of its tensors; others belong to its training.
  var root = ""
  var needless: [Needless] = []
  /// Of a family that is published in files of names of their own.
  var parts: WeightParts?
  let load: @Sendable (Checkpoint) throws -> any ImageTokenizer

  var kind: FamilyKind { .tokenizer }
  var types: [String] { [] }
  var published: [PublishedModel] { [] }
}

extension Families {
  /// Every family that can be loaded.
  public static let all: [any Family] = models + tokenizers

  /// Every family of image tokenizers, in the order in which they are asked whether a checkpoint is theirs.
  static let tokenizers: [TokenizerFamily] = [
    TokenizerFamily(
      name: "flextok", summary: "FlexTok: any prefix, decoded through a flow; 25 steps without guidance",
      matches: FlexTok.matches, needless: [Needless("*logvar", reason: "weighs losses in training")]
    ) { try FlexTok.load($0) },
    TokenizerFamily(
      name: "one-d-piece", summary: "One-D-Piece (any prefix), TiTok with vector quantisation (one length)",
      matches: OneDPiece.matches
    ) { try OneDPiece($0) },
    TokenizerFamily(
      name: "bae", summary: "the binary autoencoder of ELM: a grid of cells of 16 to 24 bits (one length)",
      matches: BAE.matches, root: "ae",
      needless: [
        Needless("ae.generator.logsigma.*", reason: "weighs losses in training"),
        Needless("*.conv_out.*", reason: "every block has one; it runs where the number of channels changes"),
      ]
    ) { try BAE($0) },
    TokenizerFamily(
      name: "gigatok", summary: "GigaTok: 256 queries over a convolutional encoder (one length)",
      matches: GigaTok.matches,
      needless: [
        Needless("s1to2decoder.distill_mlp.*", reason: "a head of its training"),
        Needless("quantize.codebook_used", reason: "counts of its training"),
      ]
    ) { try GigaTok($0) },
    TokenizerFamily(
      name: "seed", summary: "SEED: 32 tokens that say what a picture shows, and a vector of them; paints nothing",
      matches: SEED.matches, needless: SEED.needless, parts: SEED.parts
    ) { try SEED($0) },
  ]
}

/// Image tokenizers that come as checkpoints.
public enum ImageTokenizers {
  /// Opens a folder as downloaded, `config.json` or not, in whatever files the family is published in.
  /// - Throws: `WeightError`.
  public static func checkpoint(directory: String) throws(WeightError) -> Checkpoint {
    for parts in Families.tokenizers.compactMap(\.parts) {
      if let checkpoint = try Checkpoint(directory: directory, parts: parts, config: [:]) { return checkpoint }
    }
    return try Checkpoint(directory: directory, config: [:])
  }

  /// Whether a checkpoint is an image tokenizer.
  public static func matches(_ checkpoint: Checkpoint) -> Bool {
    Families.tokenizers.contains { $0.matches(checkpoint) }
  }

  /// Loads whatever family the checkpoint belongs to.
  /// - Throws: `ModelError`, `WeightError`.
  public static func load(_ checkpoint: Checkpoint) throws -> any ImageTokenizer {
    try checkpoint.refuseQuantised()
    guard let family = Families.tokenizers.first(where: { $0.matches(checkpoint) }) else {
      throw ModelError.unknownFamily(
        found: "other tensors in \(checkpoint.name)", known: Families.tokenizers.map(\.name))
    }
    let tokenizer = try family.load(checkpoint)
    try checkpoint[family.root].refuseUnknown(family.needless)
    return tokenizer
  }
}
