import VTokCore
import VTokTensor

/// MustDrop: windows of similar patches are merged early in the tower; in stages of the prefill, tokens that the text
/// neither as a whole nor in any word attends to are dropped; before decoding, the caches forget what was dropped later.
///
/// Liu et al., "Multi-Stage Vision Token Dropping: Towards Efficient Multimodal Large Language Model"
/// (arXiv 2411.10803); liuting20/MustDrop.
public struct MustDrop: Compressor {
  public static let name = "mustdrop"
  public static let summary =
    "merge windows, drop what the text ignores, cut caches: three stages (MustDrop, arXiv 2411.10803)"
  public static let remarks = [
    "Thresholds set the budget, so counts depend on the image: published pairs are chosen by target.",
    "Merged windows come first, by similarity, then the other patches: the language model sees this order.",
    "Caches of the layers from the first stage to the last keep the final tokens only; keys are not turned anew.",
    "The official code's cache loop counts 32 layers; here it is the model's number.",
    "LLaVA-NeXT: tiles are joined flat, without newlines and with padding; all tiles merge equally many windows.",
  ]

  /// Published thresholds, by the average number of visual tokens they leave of 576.
  public enum Target: String, Sendable, CaseIterable {
    case tokens192 = "192"
    case tokens128 = "128"
    case tokens64 = "64"
    var thresholds: (global: Float, individual: Float) {
      switch self {
      case .tokens192: (0.001, 0.001)
      case .tokens128: (0.0012, 0.001)
      case .tokens64: (0.011, 0.01)
      }
    }
  }

  /// Stage A.
  public struct Vision: Sendable, Equatable {
    /// Edge of a window in patches, and the mean cosine from which on it is merged.
    public var window = 3, similarity: Float = 0.8
    /// Share of tokens that are key tokens, never dropped later.
    public var keys = 0.08
    public init() {}
  }

  let vision: Vision?
  let global: Float, individual: Float
  /// First layers that run on fewer tokens, ascending.
  let layers: CutLayers
  /// Key rows of every image, counted in its span.
  private var keys: [[Int]]
  private var final: Set<Int32> = []

  /// - Parameters:
  ///   - vision: stage A; nil: only the language model's stages.
  ///   - global: share of all attention below which a token may go.
  ///   - individual: attention of every word below which a token may go.
  ///   - layers: the first layer of every stage, counted from 0 (behind layers 2, 6, 10 and 14, as published).
  public init(
    vision: Vision? = Vision(), global: Float, individual: Float, layers: [Int] = [3, 7, 11, 15]
  ) {
    self.init(vision: vision, global: global, individual: individual, layers: layers, keys: [])
  }

  /// With key rows of every image given.
  package init(vision: Vision?, global: Float, individual: Float, layers: [Int], keys: [[Int]]) {
    self.vision = vision
    self.global = global
    self.individual = individual
    self.layers = CutLayers(layers)
    self.keys = keys
  }

  public init(_ options: inout Options) throws(OptionError) {
    let target = try options.take(
      "target", default: Target.tokens192, "published thresholds for so many visual tokens of 576 on average")
    global = Float(
      try options.take(
        "global", default: Double(target.thresholds.global), in: 0...1, "share of all text attention (overrides target)"
      ))
    individual = Float(
      try options.take(
        "individual", default: Double(target.thresholds.individual), in: 0...1, "attention of each word (same)"))
    layers = try CutLayers(
      &options, default: [3, 7, 11, 15], "first layer of every stage, counted from 0")
    let isOn = try options.take("vision", default: true, "merge windows and mark key tokens in the tower")
    var settings = Vision()
    settings.window = try options.take("window", default: settings.window, in: 2...100, "edge of a window in patches")
    settings.similarity = Float(
      try options.take("similarity", default: 0.8, in: -1...1, "mean cosine from which on a window is merged"))
    settings.keys = try options.take("keys", default: settings.keys, in: 0...1, "share of tokens never dropped later")
    vision = isOn ? settings : nil
    keys = []
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    var plan = Plan(positions: PositionRule(cut: .renumbered, decode: .cacheLength))
    let request = Request(attention: .text)
    let layers = try layers.numbers(in: model, for: request, of: Self.name)
    for layer in layers {
      let site = try model.innerLayer(layer, for: Self.name)
      plan.record[site] = request
      plan.act.insert(site)
    }
    let caches = try model.decoder(for: Self.name).cutCaches
    for layer in layers[0] - 1...layers.last! - 1 where caches.contains(layer) { plan.act.insert(.cache(layer)) }
    if let vision {
      let feature = try model.probedBlock(for: Self.name)
      try model.packs(for: Self.name)
      let tower = model.tower!
      guard tower.rows % vision.window == 0, tower.columns % vision.window == 0, tower.prefix == 1, feature > 0 else {
        throw .unsupported(
          method: Self.name, found: "a grid of \(tower.rows) x \(tower.columns) patches",
          expected: "edges that \(vision.window) divides", fix: "Choose another window, or vision=off.")
      }
      plan.massBias = false
      plan.record[.block(feature, .end)] = Request(probe: .classifier)
      plan.act.formUnion([.block(0, .end), .pack])
    }
    return plan
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    switch site {
    case .block: return try mergeWindows(view, notes: &notes)
    case .pack: return try markKeys(view, notes: &notes)
    case .layer: return [try filter(view, site, notes: &notes)]
    case .cache: return view.step == 0 ? [view.forgetting(allBut: final)] : nil
    case .patches, .features: return nil
    }
  }

  // MARK: Stage A, in the tower

  private func mergeWindows(_ view: borrowing View, notes: inout Notes) throws(CompressionError) -> [Reduction] {
    let (vision, tower) = (vision!, view.shape.tower!)
    var windows: [Windows] = []
    for tokens in view.sequences {
      guard tokens.count == 1 + tower.patches else {
        throw .unsupported(
          method: Self.name, found: "\(tokens.count - 1) patches", expected: "a whole grid of \(tower.patches)",
          fix: "Put no method before it that cuts at the first block.")
      }
      windows.append(
        Windows(tokens.x, rows: tower.rows, columns: tower.columns, edge: vision.window, notes: &notes))
    }
    let merged = windows.map { $0.count(from: vision.similarity, notes: &notes) }.min()!
    return windows.map { $0.reduction(merging: merged) }
  }

  /// All rows of all tiles in their order; the patches that the class token attends to most are key tokens.
  private mutating func markKeys(_ view: borrowing View, notes: inout Notes) throws(CompressionError) -> [Reduction] {
    let tiles = Tiles(view)
    let last = Site.block(view.shape.tower!.featureBlock, .end)
    var marked: [Int] = []
    var kept: [Int] = []
    for tile in tiles.order {
      let (recording, tokens) = (view.recording(last, tile), view.sequences[tile])
      let patches = tokens.rows(.patch)
      let scores = try recording.summed(recording.probe!, at: patches, of: tokens)
      let count = Int((vision!.keys * Double(patches.count)).rounded(.up))
      marked += notes.top(scores, count).map { kept.count + patches[$0] }
      kept += tokens.id.indices.map { tiles.source(tile, $0) }
    }
    keys.append(marked)
    notes.keep("key_index", marked.map { Float($0) })
    return [.keep(kept, of: tiles.count)]
  }

  // MARK: Stage B, in the language model

  private mutating func filter(_ view: borrowing View, _ site: Site, notes: inout Notes) throws(CompressionError)
    -> Reduction
  {
    let tokens = view.sequences[0]
    let visual = view.visual(tokens)
    let recording = view.recording(site)
    let columns = try recording.columns(of: tokens)
    let attention = recording.attention!.headMean(at: visual.map { columns[$0] })  // [text, visual]
    let sums = attention.lineSum()
    let peaks = visual.indices.map { column in
      (0..<attention.rows).reduce(0) { max($0, attention.values[$1 * visual.count + column]) }
    }
    notes.keep("attention_sum", sums)
    notes.keep("attention_max", peaks)
    let isWeak = notes.below(sums, global * sums.reduce(0, +))
    let isUnseen = notes.below(peaks, individual)
    let important = visual.indices.filter { !(isWeak[$0] && isUnseen[$0]) }
    notes.keep("important_index_local", important.map { Float($0) })
    var stay = Set(important.map { visual[$0] })
    let marked = Set(
      zip(view.images, keys).flatMap { image, rows in rows.map { image.spans[0].lowerBound + Int32($0) } })
    stay.formUnion(visual.filter { marked.contains(tokens.id[$0]) })
    final = Set(stay.map { tokens.id[$0] })
    return .keep(Array(stay), among: visual, of: tokens.count)
  }
}
