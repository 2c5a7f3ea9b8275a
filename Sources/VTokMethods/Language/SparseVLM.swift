import VTokCore
import VTokLibC
import VTokTensor

/// SparseVLM: the words of the prompt that look like the image rate its tokens in stages; version 1.5 merges the best of
/// the dropped ones into a few, version 2.0 (SparseVLM+) takes out what positions add to attention and rates by its most
/// visual heads.
///
/// Zhang et al., "SparseVLM: Visual Token Sparsification for Efficient Vision-Language Model Inference", ICML 2025
/// (arXiv 2410.04417); Gumpest/SparseVLMs.
public struct SparseVLM: Compressor {
  public static let name = "sparsevlm"
  public static let summary =
    "words that match the image rate its tokens, dropped ones are recycled (SparseVLM, ICML 2025, arXiv 2410.04417)"
  public static let remarks = [
    "The official clustering adds random noise of 1e-6 to densities: here it is off, and the smaller index wins "
      + "(noise=seeded draws it from the image's seed).",
    "Published budgets (target, average) are averages over layers that count recycled tokens and count a pruning layer as "
      + "pruned; a budget of the job counts what the last stage leaves, recycled tokens too.",
    "A budget takes the published schedule that is nearest, scaled; published ones are for 576 tokens.",
    "Version 2.0 takes exactly 14 heads, so models with fewer are refused.",
    "Version 1.0's rank-based counts are not offered: the repository has dropped them.",
  ]

  public static let rounding: String? = "recycled tokens come with those that are kept"

  public enum Version: String, Sendable, CaseIterable {
    case recycling = "1.5"
    case plus = "2.0"
  }
  public enum Noise: String, Sendable, CaseIterable { case off, seeded }

  public var isStochastic: Bool { noise == .seeded && version == .recycling }

  let version: Version, noise: Noise
  /// First layers that run on fewer tokens.
  let layers: CutLayers
  let amount: Amount
  /// What every stage keeps, once the prompt is known.
  private var counts: [Int] = []
  /// Ids of the words that rate.
  private var raters: [Int32] = []
  /// Uniform in 0..<1, by stage: what stands for the official random numbers.
  private var uniform: [[Float]]

  public init(
    counts: [Int], version: Version = .recycling, layers: [Int] = [3, 7, 16], noise: Noise = .off
  ) {
    self.init(counts: counts, version: version, layers: layers, noise: noise, uniform: [])
  }

  /// With the random numbers of every stage given.
  package init(counts: [Int], version: Version, layers: [Int], noise: Noise = .off, uniform: [[Float]]) {
    precondition(counts.count == layers.count)
    amount = .counts(counts)
    self.version = version
    self.layers = CutLayers(layers)
    self.noise = noise
    self.uniform = uniform
  }

  public init(_ options: inout Options) throws(OptionError) {
    version = try options.take("version", default: Version.recycling, "recycling of dropped tokens, or SparseVLM+")
    layers = try CutLayers(&options, default: [3, 7, 16], "first layer of every stage, counted from 0")
    noise = try options.take("noise", default: Noise.off, "random part of densities in the clustering of 1.5")
    amount = try Amount(&options, version, stages: layers.count)
    uniform = []
  }

  private static let heads = 14
  private static let request = Request(attention: .text)

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    let decoder = try model.decoder(for: Self.name)
    if version == .plus, decoder.heads < Self.heads || !decoder.sections.isEmpty {
      throw .unsupported(
        method: Self.name, found: decoder.sections.isEmpty ? "\(decoder.heads) heads" : "positions of three axes",
        expected: "at least \(Self.heads) heads and positions of one axis for version 2.0", fix: "Use version=1.5.")
    }
    let rule: PositionRule =
      version == .recycling
      ? PositionRule(cut: .renumbered, decode: .cacheLength) : PositionRule(cut: .original, decode: .next)
    var plan = Plan(act: [.layer(0)], positions: rule)
    for layer in try layers.numbers(in: model, for: Self.request, of: Self.name) {
      let site = try model.innerLayer(layer, for: Self.name)
      plan.record[site] = Self.request
      plan.act.insert(site)
    }
    return plan
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let tokens = view.sequences[0]
    let visual = view.visual(tokens)
    if visual.isEmpty { return nil }
    if site == .layer(0) {
      let text = view.text(tokens)
      let rating = Self.raters(tokens.x.gathered(visual), tokens.x.gathered(text), notes: &notes)
      notes.keep("raters", rating.map { Float($0) })
      raters = rating.map { tokens.id[text[$0]] }
      counts = amount.counts(of: visual.count, version) { view.kept($0, of: tokens) }
      return nil
    }
    let layers = try layers.numbers(in: view.shape, for: Self.request, of: Self.name)
    guard let stage = layers.firstIndex(where: { .layer($0) == site }) else { return nil }
    let scores = try scores(view, site, visual)
    notes.keep("score", scores)
    // Published counts drop something at every stage.
    let keep = amount.isBudget ? counts[stage] : min(counts[stage], visual.count - 1)
    guard keep >= 1, keep < visual.count else { return nil }
    let kept = Set(notes.top(scores, keep))
    notes.keep("keep_mask", visual.indices.map { kept.contains($0) ? 1 : 0 })
    let stay = kept.map { visual[$0] }
    if version == .plus { return [.keep(stay, among: visual, of: tokens.count)] }
    let dropped = visual.indices.filter { !kept.contains($0) }
    let recycled = topK(dropped.map { scores[$0] }, Self.recycled(of: dropped.count)).map { visual[dropped[$0]] }
    notes.keep("merge_input", tokens.x.gathered(recycled).values)
    let uniform = uniform(for: recycled.count, stage, view.seed)
    let clusters = Self.cluster(
      tokens.x.gathered(recycled), into: Self.clusters(of: recycled.count), noise: uniform.map { 1e-6 * $0 },
      notes: &notes)
    return [Self.reduction(keeping: stay, of: visual, merging: clusters.map { $0.map { recycled[$0] } }, tokens.count)]
  }

  /// Words that are more like the image than words are on average. Rows of `text` `[t, width]`.
  static func raters(_ visual: Tensor, _ text: Tensor, notes: inout Notes) -> [Int] {
    let likeness = notes.product(visual, text)
    var weight = [Double](repeating: 0, count: text.rows)
    for row in 0..<visual.rows {
      let line = likeness.row(row)
      let top = Double(line.max() ?? 0)
      let terms = line.map { exp(Double($0) - top) }
      let sum = terms.reduce(0, +)
      for (word, term) in terms.enumerated() { weight[word] += term / sum }
    }
    let weights = weight.map { Float($0 / Double(visual.rows)) }
    let isBelow = notes.below(weights.map { -$0 }, -weights.reduce(0, +) / Float(weights.count))
    return isBelow.indices.filter { isBelow[$0] }
  }

  /// What the raters give to every visual row, averaged over heads and raters.
  private func scores(_ view: borrowing View, _ site: Site, _ visual: [Int]) throws(CompressionError) -> [Float] {
    let tokens = view.sequences[0]
    let recording = view.recording(site)
    let columns = try recording.columns(of: tokens)
    let words = recording.rowIDs.indices.filter { raters.contains(recording.rowIDs[$0]) }
    let attention = recording.attention!  // [heads, text, keys]
    let (heads, rows, keys) = (attention.shape[0], attention.shape[1], attention.shape[2])
    let turned = version == .plus ? tokens.position.map { turnedOnes($0, view.shape.decoder!) } : nil
    var ratings = Tensor(zeros: [heads, visual.count])  // added over raters
    for word in words {
      let row = tokens.id.firstIndex(of: recording.rowIDs[word])!
      for (place, token) in visual.enumerated() {
        let bias = turned.map { positionBias($0[row], $0[token]) } ?? 1
        for head in 0..<heads {
          let value = attention.values[(head * rows + word) * keys + columns[token]]
          ratings.values[head * visual.count + place] += value / bias
        }
      }
    }
    var chosen = Array(0..<heads)
    if version == .plus { chosen = topK(chosen.map { ratings.row($0).reduce(0, +) }, Self.heads) }
    let divisor = Float(chosen.count * max(words.count, 1))
    return ratings.gathered(chosen.sorted()).lineSum().map { $0 / divisor }
  }

  /// A row of ones as rotary positions turn it. `[headDim]`
  private func turnedOnes(_ position: Position, _ decoder: Shape.Decoder) -> [Float] {
    let angles = decoder.frequencies.map { Double(Float(position.t) * $0) }
    let (cosines, sines) = (angles.map { Float(cos($0)) }, angles.map { Float(sin($0)) })
    return zip(cosines, sines).map(-) + zip(cosines, sines).map(+)
  }

  /// What positions alone make of attention between rows of ones. Version 2.0 divides by it. It can be near 0, where its
  /// last bits count: they are those of matrix products with fused multiply-adds, as the official code has them.
  private func positionBias(_ query: [Float], _ key: [Float]) -> Float {
    var sum: Float = 0
    for index in query.indices { sum.addProduct(query[index], key[index]) }
    return sum / Float(query.count).squareRoot()
  }

  private func uniform(for count: Int, _ stage: Int, _ seed: UInt64) -> [Float] {
    if stage < uniform.count { return uniform[stage] }
    guard noise == .seeded else { return [Float](repeating: 0, count: count) }
    var generator = SeededGenerator(seed: seed &+ UInt64(stage))
    return (0..<count).map { _ in generator.uniform() }
  }
}
