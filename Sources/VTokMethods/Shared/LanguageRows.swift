import VTokCore
import VTokTensor

// What methods inside the language model share.

extension Shape {
  /// The language model.
  func decoder(for method: String) throws(CompressionError) -> Decoder {
    guard let decoder else {
      throw .unsupported(
        method: method, found: "no language model", expected: "one", fix: CompressionError.anotherMethod)
    }
    return decoder
  }

  /// The sites of all caches that can be cut.
  func cacheSites(for method: String) throws(CompressionError) -> [Site] {
    let layers = try decoder(for: method).cutCaches
    guard !layers.isEmpty else {
      throw .unsupported(
        method: method, found: "no layer that attends to all rows", expected: "some, whose caches can be cut",
        fix: CompressionError.anotherMethod)
    }
    return layers.map { .cache($0) }
  }

  /// The site of a cut on entering a layer that is neither the first (nothing has run) nor behind the last.
  func innerLayer(_ layer: Int, for method: String) throws(CompressionError) -> Site {
    let layers = try decoder(for: method).layers
    guard (1..<layers).contains(layer) else {
      throw .unsupported(
        method: method, found: "a cut on entering layer \(layer)", expected: "a layer in 1...\(layers - 1)",
        fix: "Name one of these layers.")
    }
    return .layer(layer)
  }
}

extension View {
  /// A cache without the visual entries that are not in `final`; text stays.
  func forgetting(allBut final: Set<Int32>) -> Reduction {
    let cache = sequences[0]
    let visual = Set(visual(cache))
    return .keep(cache.id.indices.filter { !visual.contains($0) || final.contains(cache.id[$0]) }, of: cache.count)
  }
}

extension Reduction {
  /// Keeps `kept` of the rows in `candidates` and all others, in their order.
  static func keep(_ kept: [Int], among candidates: [Int], of count: Int) -> Reduction {
    let dropped = Set(candidates).subtracting(kept)
    return .keep((0..<count).filter { !dropped.contains($0) }, of: count)
  }
}
