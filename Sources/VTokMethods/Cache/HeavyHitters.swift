import VTokCore
import VTokTensor

/// Attention that the cache entries of every layer gathered so far, head by head, and how many of them stay: what H2O and
/// Keyformer choose by.
struct HeavyHitters: Sendable {
  /// How many entries of a head stay.
  struct Size: Sendable {
    /// Those that gathered most, and the latest.
    let heavy: Int, recent: Int
  }

  /// What becomes of models on which several query heads share a cached one.
  enum Groups: String, Sendable, CaseIterable {
    /// The official codes keep one score per cached head, and fail.
    case refused
    /// Ours: the heads of a group are averaged.
    case mean
  }

  let groups: Groups
  /// By layer, then by head, in slot order.
  private var gathered: [Int: [[Float]]] = [:]
  /// By layer, decided when the prompt has been read.
  private var sizes: [Int: Size] = [:]

  init(_ groups: Groups = .refused) { self.groups = groups }

  /// The sites of all caches, each with the attention of this step's rows summed up.
  /// - Throws: for grouped queries, unless they are averaged.
  func plan(for model: Shape, _ method: String, _ values: Values = .probabilities) throws(CompressionError) -> Plan {
    if groups == .refused { _ = try model.ungrouped(for: method, orElse: "gqa=mean averages the heads of a group.") }
    return try model.caches(for: method, Request(attention: .all, values: values, summed: true))
  }

  /// Adds what the rows of this step gave, and cuts a cache that has too many entries.
  /// - Parameters:
  ///   - evicts: whether entries leave at this step.
  ///   - size: how many entries of a prompt of so many stay.
  mutating func step(
    _ view: borrowing View, at site: Site, evicts: Bool = true, notes: inout Notes, size: (Int) -> Size
  ) throws(CompressionError) -> [Reduction]? {
    guard case .cache(let layer) = site else { return nil }
    let decoder = try view.shape.decoder(for: "a cache method")
    if decoder.heads > decoder.kvHeads { notes.variant = "gqa" }
    var heads = try added(view, site, to: gathered[layer])
    let count = view.sequences[0].count
    let size = sizes[layer] ?? size(count)
    sizes[layer] = size
    let isFull = count > size.heavy + size.recent
    let reductions = evicts && isFull ? heads.indices.map { cut(&heads[$0], to: size, notes: &notes) } : nil
    gathered[layer] = heads
    notes.keep("score", heads.flatMap { $0 })
    return reductions
  }

  private func added(_ view: borrowing View, _ site: Site, to before: [[Float]]?) throws(CompressionError) -> [[Float]]
  {
    let heads = try view.shape.decoder(for: "a cache method").kvHeads
    // One recording for all heads until the cache has split.
    let parts = view.sequences.count
    let lines = (0..<parts).flatMap { view.recording(site, $0).attention!.grouped(heads / parts) }
    guard let before else { return lines }
    return zip(lines, before).map { line, before in
      line.enumerated().map { slot, value in slot < before.count ? value + before[slot] : value }
    }
  }

  /// Keeps the latest entries of a head, and of the others those that gathered most.
  private func cut(_ head: inout [Float], to size: Size, notes: inout Notes) -> Reduction {
    let count = head.count
    let latest = count - size.recent
    let kept = notes.top(Array(head[..<latest]), size.heavy).sorted() + Array(latest..<count)
    head = kept.map { [head] in head[$0] }
    return .keep(kept, of: count)
  }
}
