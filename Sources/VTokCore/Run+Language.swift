// What holds at the sites of a language model.

extension Composition {
  /// Recordings that the layers of a language model can make: nothing n x n is held, and nothing of a layer that is not
  /// there.
  static func checkLanguage(_ request: Request, at site: Site, of name: String, for shape: Shape)
    throws(CompressionError)
  {
    let found: String?
    switch site {
    case .patches, .block, .features, .pack: return
    case .layer(let index):
      if request.besideAttention != .none {
        found = "attention of two kinds of rows outside a cache"
        break
      }
      let ranNothing = index == 0 && (request.attention != .none || request.keys || request.branches)
      let hasNoNext = request.probe != .none && index == shape.decoder?.layers
      let isPassedBy =
        index > 0 && (request.attention != .none || request.keys || request.branches)
        && shape.decoder?.computed(of: 1, in: index - 1) != nil
      found =
        ranNothing
        ? "a layer before the first"
        : hasNoNext
          ? "a probe of a layer after the last"
          : isPassedBy ? "a layer that some visual tokens pass by (mixture of depths)" : nil
    case .cache:
      let isLayers = request.probe != .none || request.branches || request.finalNorm
      found = isLayers ? "a probe, branches or a norm at a cache" : nil
    }
    let rows = [request.attention, request.besideAttention, request.probe]
    if let found {
      throw .unsupported(
        method: name, found: "a recording of \(found) (\(site))", expected: "one of a layer that runs on all tokens",
        fix: "Choose another layer.")
    }
    if rows.contains(.classifier) || request.joint || (rows.contains(.all) && !request.summed) {
      throw .unsupported(
        method: name, found: "a recording of class tokens, image features or whole attention matrices at \(site)",
        expected: "the last rows, text rows, or a sum over all rows", fix: CompressionError.anotherMethod)
    }
  }
}

extension Run {
  /// The first text row that no row after `reduction` stands for: text may leave caches, never the sequence.
  func lostText(_ reduction: Reduction, of tokens: TokenSequence) -> Int32? {
    let kept = Set(reduction.offsets.dropLast().map { tokens.id[Int(reduction.members[Int($0)])] })
    return tokens.id.first { !kept.contains($0) && !images.contains(id: $0) }
  }
}
