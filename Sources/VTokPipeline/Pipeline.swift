import VTokCore
import VTokEval
import VTokImage
import VTokMethods
import VTokModels
import VTokTensor

/// Images in, fewer tokens out: a model with the methods that reduce its tokens.
///
/// ```swift
/// let pipeline = try Pipeline(model: "vtok-tiny", method: "tome", keep: .ratio(0.25))
/// let photo = try Image.decode(contentsOf: "photo.jpg").image
/// let result = try pipeline(photo)
/// print(result.tokens.shape, result.keep)   // [64, 192] and the patch each token stands on
/// ```
public struct Pipeline: Sendable {
  public let model: LoadedModel
  public let composition: Composition
  /// As typed: `tome:r=13`.
  public let method: String
  public let budget: Budget?
  private let accounting: Accounting

  /// - Parameters:
  ///   - model: a directory as downloaded, or an embedded model's name.
  ///   - method: `NAME[:key=value,...]`, several joined with `+`; nil runs the model dense.
  ///   - keep: budget of methods that carry no amount of their own.
  /// - Throws: `MethodError` and `CompressionError` for what is asked, `ModelError` and `WeightError` for the files.
  public init(model: String, method: String? = nil, keep: Budget? = nil) throws {
    try self.init(LoadedModel.load(model), method: method.map { try MethodSpec($0) }, keep: keep)
  }

  public init(
    _ model: LoadedModel, method: MethodSpec?, keep: Budget? = nil,
    read: @escaping @Sendable (String) throws -> OptionFile = { _ in OptionFile() }
  ) throws {
    self.model = model
    self.method = method?.description ?? "dense"
    budget = keep
    composition = try Methods.compose(method, budget: keep, for: model.vision.shape, read: read)
    accounting = Accounting(method, budget: keep, composition)
    let (processor, patch) = (model.vision.processor, model.vision.tower.shape.patch)
    if processor.hasOneSize {
      let size = processor.preparedSize(width: 100, height: 100)
      try accounting.check(of: (size.height / patch) * (size.width / patch), method: self.method)
    }
  }

  /// Reduces one image.
  /// - Parameters:
  ///   - seed: of this image; `mixedSeed(jobSeed, file)` gives every file its own.
  ///   - keepingNotes: whether the trace keeps the methods' intermediates and the token map after every stage.
  public func callAsFunction(_ image: Image, seed: UInt64 = 0, keepingNotes: Bool = false, threads: Int = 1) throws
    -> PrunedImage
  {
    let prepared = prepare(image)
    return try run(prepared, seed: seed, keepingNotes: keepingNotes, threads: threads)
  }

  /// An image as the tower takes it.
  public struct Prepared: Sendable {
    /// `[3, height, width]`, normalised.
    public let pixels: Tensor
    /// Patch grid of the dense model on this image; methods that shrink the image leave it as it is.
    public let rows: Int, columns: Int
    /// The part of the original image that the grid covers, in pixels.
    public let region: ImageProcessor.Region
  }

  /// Resizes, crops and normalises as the model's own processor does; smaller where a method asks for fewer patches.
  public func prepare(_ image: Image) -> Prepared {
    let processor = model.vision.processor
    let patch = model.vision.tower.shape.patch
    let size = processor.preparedSize(width: image.width, height: image.height)
    let (rows, columns) = (max(1, size.height / patch), max(1, size.width / patch))
    var used = processor
    if let limit = composition.patches, limit < rows * columns {
      let (fewerRows, fewerColumns) = Shape.Tower.grid(rows: rows, columns: columns, patches: limit)
      used = processor.shrunk(
        from: size, to: Size(width: fewerColumns * patch, height: fewerRows * patch))
    }
    return Prepared(
      pixels: used(image), rows: rows, columns: columns,
      region: processor.visibleRegion(width: image.width, height: image.height))
  }

  /// Runs the tower on a prepared image.
  /// - Parameters:
  ///   - shared: what a dense run of the same prepared image has left, or will fill.
  ///   - headOnly: the tokens of the result are not wanted, and may be left as they enter the last block.
  public func run(
    _ prepared: Prepared, seed: UInt64 = 0, keepingNotes: Bool = false, shared: SharedBlocks? = nil,
    headOnly: Bool = false, threads: Int = 1
  ) throws -> PrunedImage {
    var run = Run(composition, seed: seed, keepingNotes: keepingNotes)
    let output = try model.vision(
      prepared.pixels, run: &run, dense: (prepared.rows, prepared.columns), shared: shared, headOnly: headOnly,
      threads: threads)
    let patches = output.tokens.rows(.patch)
    let kept = output.tokens
    var offsets: [Int32] = [0]
    var members: [Int32] = []
    var weights: [Float] = []
    for row in patches {
      let range = kept.origin.range(row)
      members += kept.origin.patches[range]
      weights += kept.origin.weights[range]
      offsets.append(Int32(members.count))
    }
    let origin = Origin(offsets: offsets, patches: members, weights: weights)
    let dense = prepared.rows * prepared.columns
    let shape = model.vision.shape
    let outcome = accounting.outcome(of: [Double(dense)], reached: Double(patches.count))
    if let asked = outcome.asked, Int(asked) < dense, patches.count >= dense {
      throw CompressionError.unreachable(
        method: method, asked: "\(Int(asked)) of \(dense) tokens", reachable: "fewer than \(patches.count)",
        fix: "Choose another budget or method.")
    }
    return PrunedImage(
      tokens: kept.x.gathered(patches), pooled: output.pooled, logits: output.logits,
      keep: (0..<patches.count).map { Int(origin.patches[Int(origin.offsets[$0])]) }, origin: origin, tokensIn: dense,
      rows: prepared.rows, columns: prepared.columns, region: prepared.region, trace: run.trace,
      cost: Cost(of: run.trace, shape: shape), dense: Cost(denseWith: dense, shape: shape), outcome: outcome)
  }
}

/// What a job runs on every image: a model with a method.
public protocol ImageReducer: Sendable {
  /// Of the model.
  var name: String { get }
  /// As typed.
  var method: String { get }
  /// Of the model's classes, where it has any.
  var labels: [String]? { get }
  /// - Returns: what the image became, and the milliseconds it took to prepare it.
  /// - Throws: `ImageError` for an image that the model's processor refuses, `CompressionError`.
  func reduce(_ image: Image, seed: UInt64) throws -> (result: PrunedImage, preprocess: Double)
  /// Milliseconds of the same model without any method on this image.
  func denseTime(_ image: Image) throws -> Double
}

extension Pipeline: ImageReducer {
  public var name: String { model.name }
  public var labels: [String]? { model.vision.labels }

  public func reduce(_ image: Image, seed: UInt64) throws -> (result: PrunedImage, preprocess: Double) {
    let clock = ContinuousClock()
    let start = clock.now
    let prepared = prepare(image)
    let milliseconds = start.duration(to: clock.now) / .milliseconds(1)
    return (try run(prepared, seed: seed), milliseconds)
  }

  public func denseTime(_ image: Image) throws -> Double {
    let dense = try Pipeline(model, method: nil)
    return try dense.run(dense.prepare(image)).trace.towerSeconds * 1000
  }
}

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
