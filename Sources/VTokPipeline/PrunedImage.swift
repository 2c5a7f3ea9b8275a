import VTokCore
import VTokEval
import VTokImage
import VTokMethods
import VTokTensor

/// What one image became.
public struct PrunedImage: Sendable {
  /// `[kept, width]`: patch tokens only, in sequence order. Of a vision-language model the visual tokens behind connector
  /// and packing, rows of the model's own (newlines) among them.
  public let tokens: Tensor
  /// `[width]`; of a vision-language model, which pools nothing, the mean of the tokens.
  public let pooled: [Float]
  /// `[classes]`; nil without a classifier.
  public let logits: [Float]?
  /// Anchor patch of every kept token; -1 for one that stands for no patch.
  public let keep: [Int]
  /// The patches every kept token stands for, with weights.
  public let origin: Origin
  /// Where the visual spans of a vision-language model begin among the tokens, and the last one ends; nil for a tower.
  public var spans: [Int]?
  /// Rows that the language model adds to the tokens behind its first layers, one tensor a layer (DeepStack of Qwen3-VL).
  /// `[kept, width]` each
  public var pending: [Tensor] = []
  /// Tokens of the dense model.
  public let tokensIn: Int
  /// Tiles of the tower, and the patch grid of the dense model on each.
  public var tiles = 1
  public let rows: Int, columns: Int
  /// The part of the original image that the grid covers, in pixels.
  public let region: ImageProcessor.Region
  public let trace: Trace
  /// Multiply-adds of this run and of the dense model.
  public let cost: Cost, dense: Cost
  /// Tokens asked for and left.
  public let outcome: BudgetOutcome
}

extension PrunedImage {
  /// For pictures.
  public var map: TokenMap { TokenMap(rows: rows, columns: columns, region: region, origin: origin) }
}
