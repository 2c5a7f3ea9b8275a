import VTokCore
import VTokTensor

// What methods on the cache share.

extension Shape {
  /// Looks and acts at every cache that can be cut; heads may come to differ.
  /// - Parameter request: what to record at each of them.
  func caches(
    for method: String, _ request: Request? = nil,
    positions: PositionRule = PositionRule(cut: .original, decode: .next)
  ) throws(CompressionError) -> Plan {
    let sites = try cacheSites(for: method)
    let record = request.map { request in Dictionary(uniqueKeysWithValues: sites.map { ($0, request) }) }
    return Plan(record: record ?? [:], act: Set(sites), positions: positions)
  }

  /// A language model whose query heads have a cached head each.
  func ungrouped(for method: String, orElse fix: String = CompressionError.anotherMethod) throws(CompressionError)
    -> Decoder
  {
    let decoder = try decoder(for: method)
    guard decoder.heads == decoder.kvHeads else {
      throw .unsupported(
        method: method, found: "\(decoder.heads) heads on \(decoder.kvHeads) cached ones",
        expected: "a cached head for every head", fix: fix)
    }
    return decoder
  }

  /// A language model with positions of one axis, as numbering by slot or length needs it.
  func oneAxis(for method: String) throws(CompressionError) -> Decoder {
    let decoder = try decoder(for: method)
    guard decoder.sections.isEmpty else {
      throw .unsupported(
        method: method, found: "positions of three axes (M-RoPE)", expected: "positions of one axis",
        fix: CompressionError.anotherMethod)
    }
    return decoder
  }
}

/// How the scores of query heads that read the same cached head become one.
public enum GroupScore: String, Sendable, CaseIterable { case mean, max, sum }

extension Tensor {
  /// Lines of query heads `[heads, keys]`, those that share one of `groups` cached heads made one. `[groups][keys]`
  func grouped(_ groups: Int, _ score: GroupScore = .mean) -> [[Float]] {
    let size = rows / groups
    return (0..<groups).map { group in
      var line = Array(row(group * size))
      for other in 1..<max(size, 1) {
        for (key, value) in row(group * size + other).enumerated() {
          line[key] = score == .max ? Swift.max(line[key], value) : line[key] + value
        }
      }
      return score == .mean && size > 1 ? line.map { $0 / Float(size) } : line
    }
  }
}

/// The keys and values of one head of a cache that has not split. `[n, headDim]`
struct CacheHead {
  let keys: Tensor, values: Tensor

  init(_ cache: TokenSequence, _ head: Int, of heads: Int) {
    let width = cache.width / heads
    let middle = head * width + width / 2
    keys = cache.columns(head * width..<middle)
    values = cache.columns(middle..<(head + 1) * width)
  }
}
