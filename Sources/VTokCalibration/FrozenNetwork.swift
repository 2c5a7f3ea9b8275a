import VTokEval
import VTokFiles
import VTokModels
import VTokTensor

/// What cannot be calibrated.
public enum CalibrationError: OneLineError, Equatable {
  case unsupported(found: String, expected: String, fix: String)
  case target(asked: Double, low: Double, high: Double)
  case data(found: String, expected: String, fix: String)
  /// A file beside the output belongs to another run.
  case file(path: String, found: String, expected: String, fix: String)

  public var message: String {
    switch self {
    case .unsupported(let found, let expected, let fix):
      "this model cannot be calibrated: \(found), expected \(expected). \(fix)"
    case .target(let asked, let low, let high):
      "the target of \(fixed(asked, 3)) GMACs is out of reach, expected \(fixed(low, 3)) to \(fixed(high, 3)). "
        + "Give another target (DiffRate's GFLOPs are GMACs)."
    case .data(let found, let expected, let fix): "calibration data: \(found), expected \(expected). \(fix)"
    case .file(let path, let found, let expected, let fix): "'\(path)': \(found), expected \(expected). \(fix)"
    }
  }
}

/// The parts of a classifier that calibration runs itself, so that it can go back through them. Its weights never change.
package struct FrozenNetwork: Sendable {
  package enum Head: Sendable {
    /// The class token.
    case token
    /// The mean over patch tokens that are alive, each as often as its size says, then a norm (MAE).
    case mean(LayerNorm?)
    /// Both, one behind the other (DINOv2).
    case tokenAndMean
  }

  package let tower: VisionTower
  package let head: Head
  package let classifier: Linear
  /// Patches of the model's own image size.
  package let patches: Int

  package var blocks: [TransformerBlock] { tower.blocks }
  package var width: Int { tower.shape.width }
  /// Tokens of one image, the class token included.
  package var tokens: Int { patches + 1 }
  package var classes: Int { classifier.weight.rows }

  /// Blocks whose counts stay at all patches. Where the head averages tokens the last block is one of them, as in the official
  /// MAE code: cutting after the last attention would change the mean and save next to nothing.
  package var fixedBlocks: Set<Int> {
    if case .token = head { return [0] }
    return [0, blocks.count - 1]
  }

  package var cost: RateCost {
    RateCost(
      tokens: tokens, width: width, hidden: tower.shape.ffn, patch: tower.shape.patch, headMACs: tower.shape.headMACs)
  }

  package init(_ model: VisionModel) throws(CalibrationError) {
    let shape = model.tower.shape
    switch model.head {
    case .token(let linear?): (head, classifier) = (.token, linear)
    case .mean(let norm, let linear?): (head, classifier) = (.mean(norm), linear)
    case .tokenAndMean(let linear): (head, classifier) = (.tokenAndMean, linear)
    case .distilled:
      throw .unsupported(
        found: "a distillation token with a head of its own", expected: "one class token",
        fix: "Use the model without distillation; DiffRate does not know the other.")
    case .token(nil), .mean(_, nil), .normedToken, .attention:
      throw .unsupported(
        found: "no classifier on the class token or the mean of tokens", expected: "a classifier, which the loss needs",
        fix: "Use a checkpoint that was fine-tuned for classification.")
    }
    guard shape.prefix == 1, shape.hasClassifier else {
      throw .unsupported(
        found: "\(shape.prefix) tokens before the patches", expected: "the class token alone",
        fix: "Use the model without registers; DiffRate sorts tokens by the class token's attention.")
    }
    guard model.tower.addsPositions else {
      throw .unsupported(
        found: "positions inside attention", expected: "learned ones, added to the first rows",
        fix: "Use a model without rotary or relative positions; their backward pass is not built.")
    }
    for block in model.tower.blocks {
      guard case .plain = block.mlp else {
        throw .unsupported(
          found: "a gated MLP", expected: "two matrices with an activation between",
          fix: "Use a model without SwiGLU; its backward pass is not built.")
      }
    }
    tower = model.tower
    patches = shape.patches
  }
}
