import VTokCore
import VTokTensor

/// Attention that the cache entries of one layer gathered so far, head by head: what H2O and Keyformer choose by.
struct HeavyHitters: Sendable {
  /// By head, in slot order.
  private(set) var gathered: [[Float]] = []

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

  /// Adds what the rows of this step gave.
  mutating func add(_ view: borrowing View, _ site: Site) throws(CompressionError) {
    let heads = try view.shape.decoder(for: "a cache method").kvHeads
    if gathered.isEmpty { gathered = [[Float]](repeating: [], count: heads) }
    // One recording for all heads until the cache has split.
    let isSplit = view.sequences.count > 1
    for head in 0..<heads {
      let line = view.recording(site, isSplit ? head : 0).attention!.row(isSplit ? 0 : head)
      gathered[head] = line.enumerated().map { slot, value in
        slot < gathered[head].count ? value + gathered[head][slot] : value
      }
    }
  }

  /// Keeps in every head the latest `recent` entries, and of the others the `heavy` that gathered most.
  mutating func cut(heavy: Int, recent: Int, notes: inout Notes) -> [Reduction] {
    gathered.indices.map { head in
      let count = gathered[head].count
      let latest = count - recent
      let kept = notes.top(Array(gathered[head][..<latest]), heavy).sorted() + Array(latest..<count)
      gathered[head] = kept.map { gathered[head][$0] }
      return .keep(kept, of: count)
    }
  }
}
