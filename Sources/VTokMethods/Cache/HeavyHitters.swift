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

  /// By layer, then by head, in slot order.
  private var gathered: [Int: [[Float]]] = [:]
  /// By layer, decided when the prompt has been read.
  private var sizes: [Int: Size] = [:]

  /// The sites of all caches, each with the attention of this step's rows summed up.
  /// - Throws: for grouped queries; the official codes keep one score per cached head.
  static func plan(for model: Shape, _ method: String, _ values: Values = .probabilities) throws(CompressionError)
    -> Plan
  {
    let decoder = try model.decoder(for: method)
    guard decoder.heads == decoder.kvHeads else {
      throw .unsupported(
        method: method, found: "\(decoder.heads) heads on \(decoder.kvHeads) cached ones",
        expected: "a cached head for every head", fix: CompressionError.anotherMethod)
    }
    let sites = (0..<decoder.layers).map { Site.cache($0) }
    let request = Request(attention: .all, values: values, summed: true)
    return Plan(
      record: Dictionary(uniqueKeysWithValues: sites.map { ($0, request) }), act: Set(sites),
      positions: PositionRule(cut: .original, decode: .next))
  }

  /// Adds what the rows of this step gave, and cuts a cache that has too many entries.
  /// - Parameters:
  ///   - evicts: whether entries leave at this step.
  ///   - size: how many entries of a prompt of so many stay.
  mutating func step(
    _ view: borrowing View, at site: Site, evicts: Bool = true, notes: inout Notes, size: (Int) -> Size
  ) throws(CompressionError) -> [Reduction]? {
    guard case .cache(let layer) = site else { return nil }
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
    let before = before ?? [[Float]](repeating: [], count: heads)
    // One recording for all heads until the cache has split.
    let isSplit = view.sequences.count > 1
    var after: [[Float]] = []
    for head in 0..<heads {
      let line = view.recording(site, isSplit ? head : 0).attention!.row(isSplit ? 0 : head)
      after.append(
        line.enumerated().map { slot, value in slot < before[head].count ? value + before[head][slot] : value })
    }
    return after
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
