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
public struct Pipeline: MethodRunner {
  public let model: LoadedModel
  public let methods: ComposedMethods
  public var precision: Precision { model.vision.precision }

  /// - Parameters:
  ///   - model: a directory as downloaded, or an embedded model's name.
  ///   - method: `NAME[:key=value,...]`, several joined with `+`; nil runs the model dense.
  ///   - keep: budget of methods that carry no amount of their own.
  /// - Throws: `MethodError` and `CompressionError` for what is asked, `ModelError` and `WeightError` for the files.
  public init(model: String, method: String? = nil, keep: Budget? = nil) throws {
    try self.init(LoadedModel.load(model), method: method.map { try MethodSpec($0) }, keep: keep)
  }

  /// - Parameter read: opens files that options name.
  public init(
    _ model: LoadedModel, method: MethodSpec?, keep: Budget? = nil,
    read: @escaping @Sendable (String) throws -> OptionFile = OptionFile.read
  ) throws {
    try self.init(model, ComposedMethods(method, budget: keep, for: model.vision.shape, read: read))
  }

  /// Methods that are values: of this library, or of one's own.
  /// - Parameters:
  ///   - methods: run together, in this order.
  ///   - title: what results call them; nil: their names.
  ///   - keep: the budget that they were made with, for results to compare with what is left; nil: none.
  /// - Throws: `CompressionError` for what is asked, `ModelError` and `WeightError` for the files.
  public init(model: String, methods: [any Compressor], title: String? = nil, keep: Budget? = nil) throws {
    try self.init(LoadedModel.load(model), methods: methods, title: title, keep: keep)
  }

  public init(_ model: LoadedModel, methods: [any Compressor], title: String? = nil, keep: Budget? = nil)
    throws(CompressionError)
  {
    try self.init(model, ComposedMethods(methods, title: title, budget: keep, for: model.vision.shape))
  }

  private init(_ model: LoadedModel, _ methods: ComposedMethods) throws(CompressionError) {
    self.model = model
    self.methods = methods
    let (processor, patch) = (model.processor, model.vision.tower.shape.patch)
    if processor.hasOneSize {
      let size = processor.preparedSize(width: 100, height: 100)
      try methods.check(of: (size.height / patch) * (size.width / patch))
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
    let processor = model.processor
    let patch = model.vision.tower.shape.patch
    let size = processor.preparedSize(width: image.width, height: image.height)
    let (rows, columns) = (max(1, size.height / patch), max(1, size.width / patch))
    var used = processor
    if let limit = composition.shrink?.tokens(of: rows * columns), limit < rows * columns {
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
    let outcome = methods.accounting.outcome(of: [Double(dense)], reached: Double(patches.count))
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
