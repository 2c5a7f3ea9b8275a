import VTokWeights

extension DiffRateCalibration {
  /// All that a calibration needs to go on after a step as if it had never stopped.
  public struct State: Sendable, Equatable {
    /// Steps done.
    public internal(set) var step = 0
    package internal(set) var plan: RatePlan
    package internal(set) var optimizer: RateOptimizer
    /// Cross-entropy, a running mean over about the last twenty steps.
    public private(set) var loss = 0.0
    /// Pictures that could not be read and were left out.
    public internal(set) var failed: Set<Int> = []

    init(_ plan: RatePlan) {
      self.plan = plan
      optimizer = RateOptimizer(plan)
    }

    /// The running mean starts as a plain one.
    mutating func add(loss new: Double) { loss += (new - loss) / Double(min(step, 20)) }
  }
}

extension DiffRateCalibration.State {
  /// Doubles are written in the shortest form that reads back exactly, so nothing is lost on the way.
  public var json: JSON {
    func list(_ logits: [RateLogits], _ optimizers: [AdamW]) -> JSON {
      .array(
        zip(logits, optimizers).map { logits, optimizer in
          [
            "candidates": JSON(logits.candidates), "theta": JSON(logits.theta), "mean": JSON(optimizer.mean),
            "square": JSON(optimizer.square),
          ]
        })
    }
    return [
      "step": JSON(step), "loss": JSON(loss), "failed": JSON(failed.sorted()),
      "prune": list(plan.prune, optimizer.prune), "merge": list(plan.merge, optimizer.merge),
    ]
  }

  /// - Throws: `JSONError` for what is missing or of another type.
  public init(_ json: JSON) throws(JSONError) {
    func list(_ key: String, _ step: Int) throws(JSONError) -> (logits: [RateLogits], optimizers: [AdamW]) {
      var logits: [RateLogits] = []
      var optimizers: [AdamW] = []
      for (index, entry) in try json.array(key).enumerated() {
        let candidates = try entry.ints("candidates")
        let (theta, mean, square) = (try entry.doubles("theta"), try entry.doubles("mean"), try entry.doubles("square"))
        guard !candidates.isEmpty, [theta.count, mean.count, square.count].allSatisfy({ $0 == candidates.count }) else {
          throw JSONError(place: .path("\(key).\(index)"), reason: "lists of different lengths")
        }
        logits.append(RateLogits(candidates: candidates, theta: theta))
        optimizers.append(AdamW(step: step, mean: mean, square: square))
      }
      return (logits, optimizers)
    }
    let step = try json.int("step")
    let (prune, merge) = (try list("prune", step), try list("merge", step))
    guard prune.logits.count == merge.logits.count else {
      throw JSONError(
        place: .path("merge"), reason: "found \(merge.logits.count) blocks, expected \(prune.logits.count)")
    }
    self.init(RatePlan(prune: prune.logits, merge: merge.logits))
    self.step = step
    (optimizer.prune, optimizer.merge) = (prune.optimizers, merge.optimizers)
    loss = try json.double("loss")
    failed = Set(try json.ints("failed"))
  }
}
