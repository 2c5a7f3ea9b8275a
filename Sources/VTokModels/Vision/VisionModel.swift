import VTokCore
import VTokImage
import VTokTensor
import VTokWeights

/// A vision tower with its head, labels and image processor, as one checkpoint directory describes them.
public struct VisionModel: Sendable {
  /// The family that read it, for example `timm` or `dinov2`.
  public let family: String
  public let tower: VisionTower
  public let head: Head
  /// Names of the classes of the logits, if the checkpoint has a classifier.
  public let labels: [String]?
  /// nil: no file says how images are prepared.
  public let processor: ImageProcessor?

  /// Of the products in the blocks of the tower.
  package(set) public var precision = Precision.f32

  public var shape: Shape { Shape(tower: tower.shape) }

  /// From final tokens to one vector, and on to logits.
  public enum Head: Sendable {
    /// The class token; `logits = classifier(token)`.
    case token(Linear?)
    /// Mean of the logits of class and distillation token.
    case distilled(Linear, Linear)
    /// Mean over patch tokens, weighted by mass, then a norm (MAE fine-tuned).
    case mean(LayerNorm?, Linear?)
    /// `classifier(concat(class token, mean of patch tokens))` (DINOv2).
    case tokenAndMean(Linear)
    /// A norm of the class token alone (CLIP).
    case normedToken(LayerNorm)
    /// Attention of a learned query over all tokens (SigLIP).
    case attention(AttentionPool, Linear? = nil)

    /// Whether patch tokens reach the head through attention alone.
    public var readsPrefixOnly: Bool {
      switch self {
      case .token, .distilled, .normedToken: true
      case .mean, .tokenAndMean, .attention: false
      }
    }

    /// Logits that the classifier gives; nil without one.
    var classes: Int? {
      switch self {
      case .token(let linear), .mean(_, let linear), .attention(_, let linear): linear?.weight.rows
      case .distilled(let linear, _), .tokenAndMean(let linear): linear.weight.rows
      case .normedToken: nil
      }
    }

    /// Multiply-adds of the head: constant, and per token.
    var macs: (constant: Int, perToken: Int) {
      func size(_ linear: Linear?) -> Int { linear.map { $0.weight.rows * $0.weight.columns } ?? 0 }
      switch self {
      case .token(let linear), .mean(_, let linear): return (size(linear), 0)
      case .distilled(let a, let b): return (size(a) + size(b), 0)
      case .tokenAndMean(let linear): return (size(linear), 0)
      case .normedToken: return (0, 0)
      case .attention(let pool, let linear): return (pool.macs.constant + size(linear), pool.macs.perToken)
      }
    }
  }

  /// What one image becomes.
  public struct Output: Sendable {
    /// Tokens after the final norm (where the family has one) and after every reduction; prefix rows first.
    public let tokens: TokenSequence
    /// `[width]`
    public let pooled: [Float]
    /// `[classes]`; nil without a classifier.
    public let logits: [Float]?
    /// Logits of every head before they are averaged (distilled models); else empty.
    public let parts: [[Float]]
  }

  /// Runs one image. Pixels `[3, height, width]`, normalised.
  /// - Parameters:
  ///   - dense: the patch grid of the image before a method shrank it; nil: that of `pixels`.
  ///   - shared: what a dense run of the same pixels has left, or will fill.
  ///   - headOnly: pooled vector and logits are all that is wanted; patch tokens may be left as they enter the last block.
  public func callAsFunction(
    _ pixels: Tensor, run: inout Run, dense: (rows: Int, columns: Int)? = nil, shared: SharedBlocks? = nil,
    headOnly: Bool = false, threads: Int = 1
  ) throws(CompressionError) -> Output {
    let tokens = try tower.forward(
      [tower.embed(pixels, dense: dense)], run: &run, shared: shared, prefixOnly: headOnly && head.readsPrefixOnly,
      threads: threads)[0]
    return head.apply(to: tokens)
  }

  /// A dense run.
  public func callAsFunction(_ pixels: Tensor, threads: Int = 1) -> Output {
    var run = Run(.dense(shape))
    return try! self(pixels, run: &run, threads: threads)  // no method, nothing to refuse
  }

  /// Refuses a processor whose pictures are smaller than a patch, or have more patches than any model was made for.
  func checkInput() throws(ModelError) {
    guard let processor else { return }
    let shape = tower.shape
    guard shape.anySize || processor.hasOneSize else {
      throw .configuration(
        file: "preprocessor_config.json", key: "size", found: "pictures of many sizes",
        expected: "\(shape.rows)x\(shape.columns) patches: the model knows no other distances")
    }
    guard let sides = processor.usualSize else { return }  // as each picture is
    let (rows, columns) = (sides.height / shape.patch, sides.width / shape.patch)
    guard rows > 0, columns > 0, rows * columns <= 1 << 16 else {
      throw .configuration(
        file: "preprocessor_config.json", key: "size", found: "\(sides), \(rows)x\(columns) patches",
        expected: "1 to \(1 << 16) patches of \(shape.patch) pixels")
    }
    guard shape.anySize || (rows, columns) == (shape.rows, shape.columns) else {
      throw .configuration(
        file: "preprocessor_config.json", key: "size", found: "\(sides), \(rows)x\(columns) patches",
        expected: "\(shape.rows)x\(shape.columns) patches: the model knows no other distances")
    }
  }
}

extension VisionModel.Head {
  func apply(to tokens: TokenSequence) -> VisionModel.Output {
    func output(_ pooled: [Float], _ parts: [[Float]]) -> VisionModel.Output {
      let logits =
        parts.isEmpty ? nil : parts[0].indices.map { i in parts.reduce(0) { $0 + $1[i] } / Float(parts.count) }
      return VisionModel.Output(tokens: tokens, pooled: pooled, logits: logits, parts: parts.count > 1 ? parts : [])
    }
    func classify(_ linear: Linear?, _ row: [Float]) -> [[Float]] {
      linear.map { [$0(Tensor(row, shape: [1, row.count])).values] } ?? []
    }
    let first = Array(tokens.x.row(0))
    // Patch rows weighted by mass: the plain mean when nothing was merged, and ToMe's and DiffRate's own pooling.
    func patchMean() -> [Float] { tokens.x.mean(of: tokens.rows(.patch), weights: tokens.mass) }
    switch self {
    case .token(let linear): return output(first, classify(linear, first))
    case .distilled(let a, let b):
      let second = Array(tokens.x.row(1))
      return output(zip(first, second).map { ($0 + $1) / 2 }, classify(a, first) + classify(b, second))
    case .mean(let norm, let linear):
      let mean = Tensor(patchMean(), shape: [1, first.count])
      let pooled = (norm.map { $0(mean) } ?? mean).values
      return output(pooled, classify(linear, pooled))
    case .tokenAndMean(let linear): return output(first, classify(linear, first + patchMean()))
    case .normedToken(let norm): return output(norm(Tensor(first, shape: [1, first.count])).values, [])
    case .attention(let pool, let linear):
      let pooled = pool(tokens.x)
      return output(pooled, classify(linear, pooled))
    }
  }
}
