import VTokCore
import VTokLibC
import VTokTensor

/// PriorTR: keep the visual tokens that the question looks at more than the model looks without a question, and forget the
/// others in the caches of the layers before, too.
///
/// "Prior-corrected token reduction", ECCV 2026 (arXiv 2606.24156); CodeChildCZJ/PriorTR. The row behind the image cannot
/// see the question: what it attends to is the prior.
public struct PriorTR: Compressor {
  public static let name = "priortr"
  public static let summary =
    "keep what the question attends to beyond the model's own prior (PriorTR, ECCV 2026, arXiv 2606.24156)"
  public static let remarks = [
    "rows=question takes all rows behind the image, as the code for LLaVA does; its code for Qwen3-VL leaves the last one out "
      + "(rows=question-but-last). rows=last was published for LLaVA-NeXT.",
    "Caches of the layers before a cut lose the same tokens, so all layers hold equally many.",
    "ratios are of the tokens alive, tokens is a number at every stage; both as published. The paper's variant that reads the "
      + "prior from a second pass is left out.",
  ]

  /// Which rows ask.
  public enum Asking: String, Sendable, CaseIterable {
    case question
    case butLast = "question-but-last"
    case last
  }
  public enum Heads: String, Sendable, CaseIterable { case mean, max }

  let layers: CutLayers
  let asking: Asking, heads: Heads
  private var count: StageCount
  /// Ids of the visual tokens that are left.
  private var final: Set<Int32> = []

  /// - Parameters:
  ///   - layers: the first layer on fewer tokens of every stage, counted from 0.
  ///   - keep: what every stage keeps.
  ///   - asking: whose attention is the question's.
  ///   - heads: how heads become one.
  public init(
    layers: [Int] = [3], keep: StageShares = .budget(.tokens(192)), asking: Asking = .question, heads: Heads = .mean
  ) {
    self.init(CutLayers(layers), keep, asking, heads)
  }

  private init(_ layers: CutLayers, _ keep: StageShares, _ asking: Asking, _ heads: Heads) {
    self.layers = layers
    self.asking = asking
    self.heads = heads
    count = StageCount(keep, .towardZero)
  }

  public init(_ options: inout Options) throws(OptionError) {
    let layers = try CutLayers(&options, default: [3], "first layer of every stage, counted from 0")
    let asking = try options.take("rows", default: Asking.question, "rows behind the image that ask")
    let heads = try options.take("heads", default: Heads.mean, "how heads become one")
    let tokens = try options.take(
      "tokens", default: nil, in: 0...1_000_000, as: .amount, "visual tokens that every stage keeps (keep_tokens)")
    let published = StageShares.budget(.tokens(192))
    let hasAmount = options.has("ratios") || options.has("keep")
    let shares = try options.shares(ofStages: layers.count, published: [])
    if let tokens, hasAmount { throw options.invalid("tokens", "\(tokens)", "tokens alone, without ratios or keep") }
    let isTyped = hasAmount || { if case .budget = shares { true } else { false } }()
    let keep = tokens.map { .counts([Int](repeating: $0, count: layers.count)) } ?? (isTyped ? shares : published)
    self.init(layers, keep, asking, heads)
  }

  private static let request = Request(attention: .text)

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    var plan = Plan(positions: PositionRule(cut: .original, decode: .next))
    let layers = try layers.numbers(in: model, for: Self.request, of: Self.name)
    for layer in layers {
      let site = try model.innerLayer(layer, for: Self.name)
      plan.record[site] = Self.request
      plan.act.insert(site)
    }
    for layer in try model.decoder(for: Self.name).cutCaches where layer < layers.last! {
      plan.act.insert(.cache(layer))
    }
    return plan
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let tokens = view.sequences[0]
    guard case .layer(let layer) = site else { return view.step == 0 ? [view.forgetting(allBut: final)] : nil }
    let visual = view.visual(tokens)
    if visual.isEmpty { return nil }
    let recording = view.recording(site)
    let columns = try recording.columns(of: tokens)
    guard let attention = recording.attention, attention.shape[1] > 0 else {
      throw .lacks(method: Self.name, .question)
    }
    let scores = Self.scores(attention, at: visual.map { columns[$0] }, asking, heads)
    notes.keep("score", scores)
    let layers = try layers.numbers(in: view.shape, for: Self.request, of: Self.name)
    let kept = notes.top(scores, count(layers.firstIndex(of: layer)!, of: layers.count, view)).map { visual[$0] }
    final = Set(kept.map { tokens.id[$0] })
    return [.keep(kept, among: visual, of: tokens.count)]
  }

  /// By how much the question changes where the model looks, token by token.
  /// - Parameters:
  ///   - attention: of the rows behind the image, `[heads, rows, keys]`.
  ///   - visual: columns of the visual tokens.
  package static func scores(_ attention: Tensor, at visual: [Int], _ asking: Asking, _ heads: Heads) -> [Float] {
    let rows = attention.shape[1]
    let questions =
      switch asking {
      case .question: 0..<rows
      case .butLast where rows > 1: 0..<rows - 1
      case .butLast, .last: rows - 1..<rows
      }
    func shares(_ rows: Range<Int>) -> [Float] {
      let looks = visual.map { column in
        let lines = (0..<attention.shape[0]).map { head in
          rows.reduce(Float(0)) { $0 + attention.values[(head * attention.shape[1] + $1) * attention.width + column] }
            / Float(rows.count)
        }
        return heads == .max ? lines.max()! : lines.reduce(0, +) / Float(lines.count)
      }
      let sum = looks.reduce(0, +) + 1e-10
      return looks.map { $0 / sum }
    }
    return zip(shares(questions), shares(0..<1)).map { asked, prior in
      let score = asked * logf((asked + 1e-10) / (prior + 1e-10))
      return score.isNaN ? 0 : min(max(score, -1e6), 1e6)
    }
  }
}
