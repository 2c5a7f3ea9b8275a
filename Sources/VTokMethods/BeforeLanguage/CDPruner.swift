import VTokCore
import VTokTensor

/// CDPruner: tokens that are both relevant to the question and different from each other, as the most probable subset of
/// a determinantal point process whose kernel is weighted by relevance.
///
/// Zhang et al., "Beyond Attention or Similarity: Maximizing Conditional Diversity for Token Pruning in MLLMs",
/// NeurIPS 2025 (arXiv 2506.10967); Theia-4869/CDPruner. Relevance compares patches and question in the space of a
/// companion CLIP; OpenVINO GenAI's variant compares projected patches with the prompt's own embeddings instead.
public struct CDPruner: Compressor {
  public static let name = "cdpruner"
  public static let summary =
    "keep relevant and diverse tokens by a determinantal point process (CDPruner, NeurIPS 2025, arXiv 2506.10967)"
  public static let remarks = [
    "Relevance is the negated cosine to the question: for CLIP's patches lower similarity means more relevant.",
    "Relevance is scaled over all tiles of an image together; every tile keeps equally many tokens, but for what a budget "
      + "leaves over.",
    "LLaVA-NeXT: padding is not cut and no newline is placed.",
    "Where the kernel has no rank left the most relevant tokens fill up; the official code repeats tokens there.",
    "kernel=openvino follows OpenVINO GenAI: mean cosine to the prompt's text embeddings (its comments say the largest), "
      + "sequences cut in two halves with a kernel each, even counts. Not checked against that code.",
  ]

  public static let rounding: String? =
    "no newlines are placed and a tile has no more than its patches; kernel=openvino keeps even numbers"

  public enum Kernel: String, Sendable, CaseIterable { case official, openvino }

  /// Settings of OpenVINO's variant.
  public struct OpenVINO: Sendable {
    /// Share of the kernel that is weighted by relevance.
    public var weight: Float = 0.5
    public var negative = false, split = true
    public init() {}
  }

  let budget: Budget
  let perTile: Int?
  let kernel: Kernel
  let openvino: OpenVINO

  public init(keep: Budget, kernel: Kernel = .official, openvino: OpenVINO = OpenVINO()) {
    budget = keep
    perTile = nil
    self.kernel = kernel
    self.openvino = openvino
  }

  /// - Parameter perTile: tokens kept of every tile, the official `visual_token_num`.
  public init(perTile: Int) {
    budget = .ratio(1)
    self.perTile = perTile
    kernel = .official
    openvino = OpenVINO()
  }

  public init(_ options: inout Options) throws(OptionError) {
    kernel = try options.take("kernel", default: Kernel.official, "the authors' method, or OpenVINO GenAI's variant")
    perTile = try options.take(
      "per-tile", default: nil, in: 1...100_000, as: .amount,
      "visual tokens kept of every tile (official: visual_token_num)")
    var settings = OpenVINO()
    settings.weight = Float(
      try options.take("weight", default: 0.5, in: 0...1, "openvino: share of the kernel weighted by relevance"))
    settings.negative = try options.take("negative", default: false, "openvino: less similar is more relevant (CLIP)")
    settings.split = try options.take("split", default: true, "openvino: two halves with a kernel each")
    openvino = settings
    budget = try options.budget("visual tokens kept, of all tiles of an image") ?? .ratio(0.5)
    if perTile != nil, kernel == .openvino { throw options.invalid("per-tile", "kernel=openvino", "keep") }
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    if kernel == .openvino {
      return Plan(
        act: [.layer(0)], positions: PositionRule(cut: .renumbered, decode: .next), readsQuestion: true)
    }
    try model.packs(for: Self.name)
    if let perTile, let tower = model.tower, perTile > tower.patches { throw tooMany(perTile, of: tower.patches) }
    return Plan(record: [.features: Request(joint: true)], act: [.pack], readsQuestion: true)
  }

  private func tooMany(_ asked: Int, of count: Int) -> CompressionError {
    .unreachable(
      method: Self.name, asked: "\(asked) tokens of a tile", reachable: "1 to \(count)", fix: "Ask for another number.")
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    if site == .layer(0) { return [fromPrompt(view, notes: &notes)] }
    let tiles = Tiles(view)
    let patches = view.sequences.map { $0.rows(.patch) }
    let order = tiles.order
    let carried = view.sequences[order[0]].count - patches[order[0]].count  // a class token that goes on
    if perTile == nil, view.wanted(budget) == view.whole { return nil }
    let dealt = evenly(max(0, view.wanted(budget) - carried), to: patches.count)
    let counts = patches.indices.map { perTile ?? min(dealt[$0], patches[$0].count) }
    var relevance: [[Float]] = []
    for (tile, tokens) in view.sequences.enumerated() {
      let recording = view.recording(.features, tile)
      let columns = try recording.columns(of: tokens)
      let joint = recording.joint!.gathered(patches[tile].map { columns[$0] })
      relevance.append(Self.relevance(joint, to: view.question!, notes: &notes).map { -$0 })
    }
    let all = relevance.flatMap { $0 }
    let (low, high) = (all.min()!, all.max()!)
    relevance = relevance.map { $0.map { high > low ? ($0 - low + 1e-6) / (high - low) : 1 } }
    var chosen: [[Int]] = []  // [tile][patch]
    for (tile, weights) in relevance.enumerated() {
      let count = counts[tile]
      guard count >= 1, count <= weights.count else { throw tooMany(count, of: weights.count) }
      let x = view.sequences[tile].x.gathered(patches[tile])
      let kernel = Self.weighted(notes.cosines(x), by: weights)
      chosen.append(Self.select(kernel, count, relevance: weights, notes: &notes).sorted())
    }
    notes.keep("relevance", tiles.order.flatMap { relevance[$0] })
    notes.keep("selected", tiles.order.flatMap { tile in chosen[tile].map { Float($0) } })
    let kept = chosen.indices.map { tile in chosen[tile].map { patches[tile][$0] } }
    let other = tiles.thumbnail.map { tile in
      view.sequences[tile].id.indices.filter { !patches[tile].contains($0) }.map { tiles.source(tile, $0) }
    }
    return [.keep((other ?? []) + tiles.inOrder(kept, of: view), of: tiles.count)]
  }

  /// Mean cosine of every row of x `[n, width]` to the rows of `texts`. `[n]`
  private static func relevance(_ x: Tensor, to texts: Tensor, notes: inout Notes) -> [Float] {
    let cosines = notes.cosines(x, texts)
    return (0..<x.rows).map { row in cosines.row(row).reduce(0, +) / Float(texts.rows) }
  }

  /// `diag(r) S diag(r)`
  private static func weighted(_ similarity: Tensor, by relevance: [Float]) -> Tensor {
    var kernel = similarity
    let n = relevance.count
    for row in 0..<n {
      for column in 0..<n {
        kernel.values[row * n + column] = relevance[row] * kernel.values[row * n + column] * relevance[column]
      }
    }
    return kernel
  }

  /// Greedy most probable subset of `count` rows under `kernel` `[n, n]`, in the order chosen: the fast update of
  /// Chen et al. 2018 (arXiv 1709.05135). O(count² n).
  static func select(
    _ kernel: Tensor, _ count: Int, relevance: [Float], epsilon: Float = 0, notes: inout Notes
  ) -> [Int] {
    let n = kernel.rows
    var gain = (0..<n).map { kernel.values[$0 * n + $0] }
    var rows: [[Float]] = []  // the Cholesky factor, one row a token chosen
    var chosen: [Int] = []
    while chosen.count < count {
      let best = notes.first(gain)
      guard gain[best] > 1e-12 else {
        let left = (0..<n).filter { gain[$0] > -.infinity }
        return chosen + topK(left.map { relevance[$0] }, count - chosen.count).map { left[$0] }
      }
      var row = Array(kernel.row(best))
      var projected = [Float](repeating: 0, count: n)
      for earlier in rows {
        let weight = earlier[best]
        for column in 0..<n { projected[column] += weight * earlier[column] }
      }
      let length = (gain[best] + epsilon).squareRoot()
      for column in 0..<n {
        row[column] = (row[column] - projected[column]) / length
        gain[column] -= row[column] * row[column]
      }
      notes.book(macs: rows.count * n)
      gain[best] = -.infinity
      rows.append(row)
      chosen.append(best)
    }
    return chosen
  }

  /// OpenVINO GenAI: every image's rows against the text rows of the prompt.
  private func fromPrompt(_ view: borrowing View, notes: inout Notes) -> Reduction {
    let tokens = view.sequences[0]
    let text = tokens.x.gathered(view.text(tokens))
    var dropped = Set<Int>()
    for image in view.images.indices {
      let rows = view.visual(tokens, image: image)
      if rows.isEmpty { continue }
      let asked = min(budget.tokens(of: rows.count), rows.count)
      let even = min(asked + asked % 2, rows.count)
      let half = rows.count / 2
      let parts =
        openvino.split && half > 0
        ? [(rows[..<half], even / 2), (rows[half...], even - even / 2)] : [(rows[...], even)]
      for (part, count) in parts {
        let x = tokens.x.gathered(Array(part))
        let sign: Float = openvino.negative ? -1 : 1
        let scores = Self.relevance(x, to: text, notes: &notes).map { sign * $0 }
        let (low, high) = (scores.min()!, scores.max()!)
        let relevance = scores.map { ($0 - low) / (high - low + Self.threshold) }
        let similarity = notes.cosines(x)
        var kernel = Self.weighted(similarity, by: relevance)
        for index in kernel.values.indices {
          kernel.values[index] =
            openvino.weight * kernel.values[index] + (1 - openvino.weight) * similarity.values[index]
        }
        let kept = Set(Self.select(kernel, count, relevance: relevance, epsilon: Self.threshold, notes: &notes))
        dropped.formUnion(part.indices.filter { !kept.contains($0 - part.startIndex) }.map { rows[$0] })
      }
    }
    return .keep((0..<tokens.count).filter { !dropped.contains($0) }, of: tokens.count)
  }

  private static let threshold: Float = 1e-6
}
