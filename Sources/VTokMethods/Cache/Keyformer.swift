import VTokCore
import VTokTensor

/// Keyformer: like H2O, but the score of an entry is a softmax of noisy logits, so that entries which attention overlooked
/// early have a chance; evicts now and then.
///
/// Adnan et al., "Keyformer: KV Cache Reduction through Key Tokens Selection for Efficient Generative Inference", MLSys 2024
/// (arXiv 2403.09054); d-matrix-ai/keyformer-llm.
public struct Keyformer: Compressor {
  public static let name = "keyformer"
  public static let summary =
    "every head keeps entries scored by a Gumbel softmax, and the latest (Keyformer, MLSys 2024, arXiv 2403.09054)"
  public static let counted = Counted.entries
  public static let rounding: String? =
    "nothing leaves while the prompt is read, but at every interval-th new token"
  public static let remarks = [
    "The official repository serves MPT, GPT-J and Cerebras-GPT; here the same rule runs on the Llama family.",
    "Grouped query attention is refused: the official code keeps one score per cached head. gqa=mean, a variant of our own, "
      + "averages the heads of a group.",
    "Nothing leaves in the prefill, and later only at every interval-th new token, so a cache exceeds its budget meanwhile.",
    "A budget is a share of the prompt (or a number of entries); at least the newest entry always stays.",
    "Noise comes from the seed and the place in the model, not from a generator's state.",
  ]

  public var isStochastic: Bool { true }

  let budget: Budget
  let recent: Double, interval: Int
  let form: GumbelSoftmax
  private var hitters: HeavyHitters

  /// - Parameters:
  ///   - keep: cache entries of the prompt.
  ///   - recent: share of them that are the latest ones.
  ///   - interval: new tokens from one eviction to the next.
  ///   - tau, perStep: temperature of the softmax in the prefill, and what every new token adds to it.
  public init(
    keep: Budget = .ratio(0.6), recent: Double = 0.3, interval: Int = 8, tau: Float = 1, perStep: Float = 0.01
  ) {
    self.init(keep: keep, recent: recent, interval: interval, tau: tau, perStep: perStep, HeavyHitters())
  }

  private init(
    keep: Budget, recent: Double, interval: Int, tau: Float, perStep: Float, _ hitters: HeavyHitters
  ) {
    budget = keep
    self.hitters = hitters
    self.recent = recent
    self.interval = interval
    form = GumbelSoftmax(tau: tau, perStep: perStep)
  }

  public init(_ options: inout Options) throws(OptionError) {
    let recent = try options.take("recent", default: 0.3, in: 0...1, "share of the kept entries that are the latest")
    let interval = try options.take("interval", default: 8, in: 1...100_000, "new tokens between evictions")
    let tau = try options.take("tau", default: 1.0, in: 0.01...100, "temperature in the prefill")
    let perStep = try options.take("tau-step", default: 0.01, in: 0...100, "what a new token adds to the temperature")
    let groups = try options.take(
      "gqa", default: HeavyHitters.Groups.refused, "query heads that share a cached one: refused, or averaged")
    let budget = try options.budget("cache entries kept, of the prompt", published: true)
    self.init(
      keep: budget ?? .ratio(0.6), recent: recent, interval: interval, tau: Float(tau), perStep: Float(perStep),
      HeavyHitters(groups))
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    try hitters.plan(for: model, Self.name, .own(form))
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let evicts = view.step > 0 && view.step % interval == 0
    return try hitters.step(view, at: site, evicts: evicts, notes: &notes, size: size(of:))
  }

  /// What stays of a prompt of `count` entries.
  private func size(of count: Int) -> HeavyHitters.Size {
    let total = max(1, budget.tokens(of: count, .towardZero))
    let latest = max(1, Int(Double(total) * recent))
    return HeavyHitters.Size(heavy: total - latest, recent: latest)
  }
}

/// Softmax of logits with Gumbel noise over a temperature that grows with every new token.
struct GumbelSoftmax: AttentionForm {
  let tau: Float, perStep: Float

  func callAsFunction(_ logits: [Float], of row: AttentionRow) -> [Float] {
    let noise = GumbelField(seed: row.seed, step: row.step, layer: row.layer, head: row.head)
    let temperature = tau + perStep * Float(row.step)
    return softmax(zip(logits, row.keys).map { ($0 + noise[row.query, $1]) / temperature })
  }
}
