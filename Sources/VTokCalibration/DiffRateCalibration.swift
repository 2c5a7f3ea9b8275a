import Synchronization
import VTokImage
import VTokModels
import VTokTensor

/// Learns DiffRate's counts for one model and one budget: how many tokens every block prunes and merges. The network is
/// frozen; what is learned are the logits of a `RatePlan`, by AdamW on cross-entropy plus the price of multiply-adds.
///
/// OpenGVLab/DiffRate, `main.py` and `engine.py`. Where this differs: a few hundred steps of small batches with a larger rate
/// instead of three epochs of ImageNet, float32 throughout, no warm-up epoch without the price, no label smoothing, fewer
/// variations of the pictures (see `Augmentation`). The forward and backward pass are the official ones.
///
/// Images run side by side and their gradients are added up in order, so the result is the same for any number of threads, and
/// for a run that was interrupted and went on.
public struct DiffRateCalibration: Sendable {
  public struct Settings: Sendable, Equatable {
    /// Multiply-adds to aim at, in 1e9, as the official code counts its "GFLOPs".
    public var targetGMACs: Double
    public var steps = 500
    public var batch = 16
    /// Distance of two candidate counts.
    public var granularity = 4
    /// Learning rate of the first step; the last has a tenth.
    public var learningRate = 0.2
    /// Price of missing the target, as in the official code for DeiT-S: there a miss of 1 GMAC is a miss by 1 of 4.6.
    public var lambda = 5.0
    /// Share of the label that is spread over all classes.
    public var smoothing: Float = 0
    /// Whether the dense network's own answers are the targets instead of labels. (The official code has no such term.)
    public var distils = false
    public var augmentation = Augmentation()
    public var seed: UInt64 = 0

    public init(targetGMACs: Double) { self.targetGMACs = targetGMACs }
  }

  /// Pictures to learn from, opened when their turn comes.
  public struct Examples: Sendable {
    public let count: Int
    /// Class of a picture; nil is fine when distilling.
    public let label: @Sendable (Int) -> Int?
    /// Throws `ImageError` for a picture that cannot be read; it is left out.
    public let image: @Sendable (Int) throws -> Image

    public init(
      count: Int, label: @escaping @Sendable (Int) -> Int?, image: @escaping @Sendable (Int) throws -> Image
    ) {
      self.count = count
      self.label = label
      self.image = image
    }
  }

  /// After a step.
  public struct Progress: Sendable {
    public let step: Int, steps: Int
    /// Cross-entropy, a running mean over about the last twenty steps.
    public let loss: Double
    public let gmacs: Double
    public let prune: [Int], merge: [Int]
  }

  public let settings: Settings
  public let denseGMACs: Double
  let model: VisionModel
  let processor: ImageProcessor
  let network: FrozenNetwork
  let examples: Examples
  let price: CostTerm

  /// - Throws: `CalibrationError` for a model, a target or data that cannot serve.
  /// - Parameter processor: how pictures are prepared for the model.
  public init(
    _ model: VisionModel, _ processor: ImageProcessor, _ examples: Examples, _ settings: Settings
  ) throws(CalibrationError) {
    network = try FrozenNetwork(model)
    self.model = model
    self.processor = processor
    self.examples = examples
    self.settings = settings
    guard examples.count > 0 else {
      throw .data(found: "no pictures", expected: "at least one", fix: "Name a folder with pictures.")
    }
    guard settings.granularity < network.patches else {
      throw .data(
        found: "a granularity of \(settings.granularity)", expected: "less than the \(network.patches) patches",
        fix: "Choose a smaller one, such as 4.")
    }
    let plan = RatePlan(
      blocks: network.blocks.count, patches: network.patches, granularity: settings.granularity,
      fixed: network.fixedBlocks)
    let dense = network.cost.dense(blocks: network.blocks.count)
    denseGMACs = Double(dense) * 1e-9
    let low = Double(network.cost.smallest(plan)) * 1e-9
    guard (low...denseGMACs).contains(settings.targetGMACs) else {
      throw .target(asked: settings.targetGMACs, low: low, high: denseGMACs)
    }
    if !settings.distils {
      for index in 0..<examples.count {
        guard let label = examples.label(index), (0..<network.classes).contains(label) else {
          throw .data(
            found: "picture \(index) without a label of the model's \(network.classes) classes",
            expected: "a label for every picture", fix: "Give labelled data, or learn from the dense model's answers.")
        }
      }
    }
    // In units of the dense network over that of DeiT-S, so that lambda weighs a relative miss the same in every model.
    let unit = Double(dense) / 4.6
    price = CostTerm(lambda: settings.lambda, target: settings.targetGMACs * 1e9 / unit, unit: unit)
  }

  /// Learns until all steps are done or `isCancelled` says so.
  /// - Parameter save: called after every step with all that is needed to go on from there.
  public func run(
    from start: State? = nil, threads: Int, isCancelled: () -> Bool = { false },
    save: (State) throws -> Void = { _ in }, progress: (Progress) -> Void = { _ in }
  ) throws -> State {
    var state = start ?? firstState
    let rate = CosineRate(first: settings.learningRate, last: settings.learningRate / 10, steps: settings.steps)
    let passes = Passes(network)
    while state.step < settings.steps, !isCancelled() {
      let macs = network.cost.macs(state.plan).total
      let found = try batch(state, passes, threads)
      let gradient = state.plan.gradient(found.masks, cost: network.cost, perMAC: price(macs).slope)
      state.optimizer.update(&state.plan, gradient, rate: rate(state.step))
      state.failed.formUnion(found.failed)
      state.step += 1
      state.add(loss: found.loss)
      try save(state)
      progress(self.progress(state))
    }
    return state
  }

  public func progress(_ state: State) -> Progress {
    Progress(
      step: state.step, steps: settings.steps, loss: state.loss,
      gmacs: Double(network.cost.macs(state.plan).total) * 1e-9, prune: state.plan.pruneCounts,
      merge: state.plan.mergeCounts)
  }

  /// Multiply-adds of a model without reduction, in 1e9, counted as the target is.
  /// - Throws: `CalibrationError` for a model that cannot be calibrated.
  public static func denseGMACs(of model: VisionModel) throws(CalibrationError) -> Double {
    let network = try FrozenNetwork(model)
    return Double(network.cost.dense(blocks: network.blocks.count)) * 1e-9
  }

  /// Before the first step: all candidates equally likely.
  public var firstState: State {
    State(
      RatePlan(
        blocks: network.blocks.count, patches: network.patches, granularity: settings.granularity,
        fixed: network.fixedBlocks))
  }
}

/// Training passes for as many threads as ask at once.
final class Passes: Sendable {
  private let network: FrozenNetwork
  private let free = Mutex<[Lent]>([])
  private struct Lent: @unchecked Sendable { let pass: TrainingPass }  // belongs to one thread at a time

  init(_ network: FrozenNetwork) { self.network = network }

  func with<Result>(_ body: (TrainingPass) -> Result) -> Result {
    let lent = free.withLock { $0.popLast() } ?? Lent(pass: TrainingPass(network))
    defer { free.withLock { $0.append(lent) } }
    return body(lent.pass)
  }
}
