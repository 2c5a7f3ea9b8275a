import VTokCore
import VTokTensor

/// DART: a few pivots with strong keys, and around each of them the visual tokens that resemble it least.
///
/// Wen et al., "Stop Looking for Important Tokens in Multimodal Language Models: Duplication Matters More", EMNLP 2025
/// (arXiv 2502.11494); ZichenWen1/DART. TensorRT Edge-LLM's variant does the same on the input embeddings.
public struct DART: Compressor {
  public static let name = "dart"
  public static let summary =
    "keep what least resembles a few pivot tokens (DART, EMNLP 2025, arXiv 2502.11494)"
  public static let remarks = [
    "Pivots come on top of the published amount: tokens=128 keeps 132. A budget counts them.",
    "Pivots are visited in the order in which CPython iterates the set of their indices, as the official code does "
      + "(order=sorted: by index).",
    "Decoding goes on after the largest position of the whole prompt.",
    "stage=embeddings follows the description of TensorRT Edge-LLM: not checked against that code.",
  ]

  public static let rounding: String? = "every pivot picks the same whole number of tokens"

  public enum Stage: String, Sendable, CaseIterable { case layer, embeddings }
  public enum Order: String, Sendable, CaseIterable { case official, sorted }

  /// How many tokens the pivots pick together.
  public enum Amount: Sendable, Equatable {
    /// Official `max_num_trunction`.
    case tokens(Int)
    /// Official `reduction_ratio`, the share that goes.
    case reduction(Double)
    /// Image pivots included.
    case budget(Budget)
  }

  let amount: Amount
  let layer: CutLayer
  let visualPivots: Int, textPivots: Int
  let stage: Stage, order: Order

  /// - Parameter layer: the first layer that runs on fewer tokens.
  public init(
    _ amount: Amount, layer: Int = 2, visualPivots: Int = 4, textPivots: Int = 4, stage: Stage = .layer,
    order: Order = .official
  ) {
    self.amount = amount
    self.layer = CutLayer(layer)
    self.stage = stage
    self.order = order
    self.visualPivots = visualPivots
    self.textPivots = textPivots
  }

  public init(_ options: inout Options) throws(OptionError) {
    let tokens = try options.take(
      "tokens", default: nil, in: 0...1_000_000, as: .amount,
      "visual tokens picked around pivots (official: max_num_trunction)")
    let reduction = try options.amount("reduction", in: 0...1, "share of visual tokens that goes (official)")
    layer = try CutLayer(&options, default: 2, "the first layer that runs on fewer tokens; auto: one that has keys")
    visualPivots = try options.take("visual-pivots", default: 4, in: 1...1000, "pivots among the visual tokens")
    textPivots = try options.take("text-pivots", default: 4, in: 0...1000, "pivots in the text after the image")
    order = try options.take("order", default: Order.official, "order in which pivots pick")
    stage = try options.take(
      "stage", default: Stage.layer, "inside the language model, or on its input embeddings per image (Edge-LLM)")
    let budget = try options.budget("visual tokens kept, pivots included")
    guard tokens == nil || reduction == nil else {
      throw options.invalid("tokens", "reduction too", "one of tokens, reduction and keep")
    }
    amount =
      tokens.map { .tokens($0) } ?? reduction.map { .reduction($0) } ?? .budget(budget ?? .ratio(0.5))
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    let positions = PositionRule(cut: .original, decode: .next)
    if stage == .embeddings { return Plan(act: [.layer(0)], positions: positions, readsQuestion: textPivots > 0) }
    let request = Request(keys: true, finalNorm: true)
    let site = try layer.site(in: model, for: request, of: Self.name)
    return Plan(record: [site: request], act: [site], positions: positions)
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let tokens = view.sequences[0]
    let (hidden, strength): (Tensor, [Float])
    if stage == .embeddings {
      (hidden, strength) = (tokens.x, Self.absoluteSums(tokens.x, notes: &notes))
    } else {
      let recording = view.recording(site)
      let columns = try recording.columns(of: tokens)
      hidden = recording.finalNorm!.gathered(columns)
      strength = Self.absoluteSums(ZeroTPrune.sideBySide(recording.keys!).gathered(columns), notes: &notes)
    }
    let visual = view.visual(tokens)
    if visual.isEmpty { return nil }
    let text = view.text(tokens)
    let groups =
      stage == .layer ? [visual] : view.images.indices.map { view.visual(tokens, image: $0) }.filter { !$0.isEmpty }
    var kept = Set(tokens.id.indices).subtracting(visual)
    for group in groups {
      let wanted: Int? =
        if case .budget(let budget) = amount {
          stage == .layer ? view.kept(budget, of: tokens) : min(budget.tokens(of: group.count), group.count)
        } else { nil }
      let quota = try quota(
        of: group.count, share: Double(group.count) / Double(visual.count), wanted, text: text.count)
      let found = select(hidden, strength, visual: group, text: text, quota: quota, notes: &notes)
      kept.formUnion(found)
    }
    return [.keep(kept.sorted(), of: tokens.count)]
  }

  /// Tokens that every pivot picks, of `count` visual ones.
  /// - Parameters:
  ///   - share: what part of all visual tokens these are.
  ///   - wanted: of them, with a budget.
  ///   - text: rows that can be pivots in the text.
  private func quota(of count: Int, share: Double, _ wanted: Int?, text: Int) throws(CompressionError) -> Int {
    let pivots = visualPivots + textPivots
    let picked: Double
    switch amount {
    case .tokens(let tokens): picked = min(Double(tokens) * share, Double(count - visualPivots))
    case .reduction(let ratio): picked = Double(count) * (1 - ratio)
    case .budget:
      let wanted = wanted ?? count
      guard wanted >= visualPivots else {
        throw .unreachable(
          method: Self.name, asked: "\(wanted) visual tokens", reachable: "at least the \(visualPivots) pivots",
          fix: "Ask for more tokens or fewer pivots.")
      }
      let picking = visualPivots + min(textPivots, text)
      return nearest(to: wanted, in: 0...count) { min(count, visualPivots + $0 * picking) }
    }
    return max(0, Int((picked - picked.truncatingRemainder(dividingBy: Double(pivots))) / Double(pivots)))
  }

  /// Visual rows kept: the pivots among them, and `quota` rows for every pivot, visual and text. Rows of `hidden`
  /// `[n, width]`.
  private func select(
    _ hidden: Tensor, _ strength: [Float], visual: [Int], text: [Int], quota: Int, notes: inout Notes
  ) -> [Int] {
    func strongest(_ rows: [Int], _ count: Int) -> [Int] {
      notes.top(rows.map { strength[$0] }, min(count, rows.count)).map { rows[$0] }
    }
    let pivots = strongest(visual, visualPivots)
    let asking = strongest(text, textPivots)
    let visited = order == .official ? Self.setOrder(pivots + asking) : (pivots + asking).sorted()
    notes.keep("image_pivots", pivots.map { Float($0) })
    notes.keep("text_pivots", asking.map { Float($0) })
    notes.keep("pivot_visit_order", visited.map { Float($0) })
    var left = visual.filter { !pivots.contains($0) }
    var kept = pivots
    let cosines = notes.cosines(hidden.gathered(visited), hidden)
    for index in visited.indices {
      let line = cosines.row(index)
      let scores = left.map { -line[line.startIndex + $0] }
      let picked = notes.top(scores, min(quota, left.count)).map { left[$0] }
      kept += picked
      left.removeAll { picked.contains($0) }
    }
    notes.keep("retained", kept.sorted().map { Float($0) })
    return kept
  }

  /// Sum of absolute values of every row. `[n]`
  private static func absoluteSums(_ x: Tensor, notes: inout Notes) -> [Float] {
    notes.distances(x, Tensor(zeros: [1, x.width]), power: 1).values
  }

  /// The order in which CPython iterates the copy of a set into which `values` were put one by one: slots of an
  /// open-addressed table that probes nine neighbours, then jumps, and grows fourfold when three fifths are full. A copy
  /// gets the smallest table of more than twice as many slots as it has members.
  package static func setOrder(_ values: [Int]) -> [Int] {
    func table(over limit: Int, _ members: [Int]) -> [Int?] {
      var size = 8
      while size <= limit { size *= 2 }
      var table = [Int?](repeating: nil, count: size)
      for member in members { insert(member, into: &table) }
      return table
    }
    func insert(_ value: Int, into table: inout [Int?]) {
      let mask = table.count - 1
      var (perturbation, slot) = (value, value & mask)
      while true {
        let probes = slot + 9 <= mask ? slot...slot + 9 : slot...slot
        if let free = probes.first(where: { table[$0] == nil }) {
          table[free] = value
          return
        }
        perturbation >>= 5
        slot = (5 * slot + 1 + perturbation) & mask
      }
    }
    func isFull(_ members: Int, of slots: Int) -> Bool { 5 * members >= 3 * (slots - 1) }
    var original = [Int?](repeating: nil, count: 8)
    for (index, value) in values.enumerated() {
      insert(value, into: &original)
      if isFull(index + 1, of: original.count) { original = table(over: 4 * (index + 1), original.compactMap { $0 }) }
    }
    let order = original.compactMap { $0 }
    let copy = table(over: isFull(values.count, of: 8) ? 2 * values.count : 0, order)
    return copy.count == original.count ? order : copy.compactMap { $0 }
  }
}
