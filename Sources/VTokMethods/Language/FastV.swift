import VTokCore
import VTokTensor

/// FastV: behind an early layer, keep the visual tokens that the last token of the prompt attends to most.
///
/// Chen et al., "An Image is Worth 1/2 Tokens After Layer 2", ECCV 2024 (arXiv 2403.06764); pkunlp-icler/FastV. The score
/// is the attention of the layer that has just run, averaged over heads; positions stay as they were.
public struct FastV: Compressor {
  public static let name = "fastv"
  public static let summary =
    "keep what the last prompt token attends to, after one early layer (FastV, ECCV 2024, arXiv 2403.06764)"
  public static let remarks = [
    "The paper averages the attention of all other tokens; the official code takes the last token's row, and so does this.",
    "mode=in-place is the repository's older path: no cache, ranked again for every token. Its model ignores rope_theta; this one does not.",
    "Several images share the sum of their budgets.",
    "caches=cut is FastV as PriorTR's repository runs it (CodeChildCZJ/PriorTR): caches of the layers before the cut lose the same "
      + "tokens, so all layers hold equally many.",
  ]

  public enum Mode: String, Sendable, CaseIterable {
    /// Cut once in the prefill, caches kept.
    case cache = "kv"
    /// No cache: every token is a prefill of its own with a cut of its own.
    case inPlace = "in-place"
  }

  /// What becomes of the caches of layers before the cut.
  public enum Caches: String, Sendable, CaseIterable { case whole, cut }

  let layer: CutLayer
  let budget: Budget
  let mode: Mode
  let caches: Caches
  /// Ids of the visual tokens that are left.
  private var final: Set<Int32> = []

  /// - Parameters:
  ///   - layer: the first one to run on fewer tokens, counted from 0 (K of the paper).
  ///   - keep: visual tokens kept (1 - R of the paper).
  public init(layer: Int = 2, keep: Budget, mode: Mode = .cache, caches: Caches = .whole) {
    self.layer = CutLayer(layer)
    budget = keep
    self.mode = mode
    self.caches = caches
  }

  public init(_ options: inout Options) throws(OptionError) {
    layer = try CutLayer(
      &options, default: 2, "first layer on fewer tokens, counted from 0 (K); auto: one that can tell")
    mode = try options.take("mode", default: Mode.cache, "cut once and keep a cache, or rank anew for every token")
    caches = try options.take(
      "caches", default: Caches.whole, "caches of the layers before stay whole, or lose the same tokens")
    if caches == .cut, mode == .inPlace { throw options.invalid("caches", "cut", "whole: mode=in-place has no caches") }
    budget = try options.budget("visual tokens kept") ?? .ratio(0.5)
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    let request = Request(attention: .last)
    let site = try layer.site(in: model, for: request, of: Self.name)
    var plan = Plan(
      record: [site: request], act: [site],
      positions: PositionRule(cut: .original, decode: mode == .cache ? .next : .afresh))
    if caches == .cut, case .layer(let first) = site {
      for layer in try model.decoder(for: Self.name).cutCaches where layer < first { plan.act.insert(.cache(layer)) }
    }
    return plan
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    if case .cache = site { return view.step == 0 ? [view.forgetting(allBut: final)] : nil }
    let tokens = view.sequences[0]
    let visual = view.visual(tokens)
    let recording = view.recording(site)
    let columns = try recording.columns(of: tokens)
    let scores = recording.attention!.headMean(at: visual.map { columns[$0] }).values
    notes.keep("score", scores)
    let kept = notes.top(scores, view.kept(budget, of: tokens)).map { visual[$0] }
    if caches == .cut { final = Set(kept.map { tokens.id[$0] }) }
    return [.keep(kept, among: visual, of: tokens.count)]
  }
}
