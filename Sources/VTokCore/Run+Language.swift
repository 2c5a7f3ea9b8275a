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
      try checkStates(request, entering: index, of: name, for: shape)
      let ranNothing = index == 0 && (request.attention != .none || request.keys || request.branches)
      let hasNoNext = (request.probe != .none || request.projections) && index == shape.decoder?.layers
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
      let isLayers =
        request.probe != .none || request.branches || request.finalNorm || request.tokens || request.projections
      found = isLayers ? "a probe, projections, branches, a norm or rows at a cache" : nil
    }
    let rows = [request.attention, request.besideAttention, request.probe]
    if let found {
      throw .unsupported(
        method: name, found: "a recording of \(found) (\(site))", expected: "one of a layer that runs on all tokens",
        fix: "Choose another layer.")
    }
    if rows.contains(.classifier) || request.joint || request.probeKeys || (rows.contains(.all) && !request.summed) {
      throw .unsupported(
        method: name,
        found: "a recording of class tokens, image features, a tower's keys or whole attention matrices at \(site)",
        expected: "the last rows, text rows, or a sum over all rows", fix: CompressionError.anotherMethod)
    }
  }
}

extension Composition {
  /// A cache that methods may cut, see `Shape.Decoder.cutCaches`.
  static func checkCache(_ index: Int, of name: String, for shape: Shape) throws(CompressionError) {
    let found: String
    switch shape.decoder?.mixer(of: index) {
    case nil, .full: return
    case .window(let count): found = "which sees the last \(count) rows and lets others go by age"
    case .deltaNet: found = "a gated delta net: what its state has seen stays seen"
    }
    throw .unsupported(
      method: name, found: "the cache of layer \(index), \(found)",
      expected: "caches of layers that attend to all rows",
      fix: CompressionError.anotherMethod)
  }

  /// Refuses what only attention can tell of layers that are gated delta nets, and names the nearest place where it can.
  private static func checkStates(
    _ request: Request, entering index: Int, of name: String, for shape: Shape
  ) throws(CompressionError) {
    guard let decoder = shape.decoder else { return }
    let looksBack = request.attention != .none || request.keys
    let asked = [looksBack ? index - 1 : -1, request.probe == .none && !request.projections ? -1 : index]
    guard let net = asked.first(where: { (0..<decoder.layers).contains($0) && decoder.mixer(of: $0) == .deltaNet })
    else { return }
    let nearest = decoder.nearestCut(to: index, for: request)
    throw .unsupported(
      method: name,
      found: "attention or keys of layer \(net), a gated delta net, which has none (\(Site.layer(index)))",
      expected: "a cut beside a layer that attends to all rows",
      fix: nearest.map {
        "Cut on entering layer \($0), the nearest; the options layer and layers take auto too."
      }
        ?? CompressionError.anotherMethod)
  }
}

extension Run {
  /// Refuses attention rows that see nothing of pictures, because these lie before the window of the layer: what would be
  /// ranked by them are ties.
  /// - Parameters:
  ///   - layer: the one that the rows are of.
  ///   - rows: asked for, in a sequence of `ids`.
  package func checkWindow(
    _ rows: [Int], in layer: Int, of ids: [Int32], for method: Int, at site: Site
  ) throws(CompressionError) {
    guard case .window(let count)? = composition.shape.decoder?.mixer(of: layer), let last = rows.last,
      let first = ids.firstIndex(where: { images.contains(id: $0) }), last - first >= count
    else { return }
    let decoder = composition.shape.decoder!
    let full = decoder.cutCaches.map { $0 + 1 }.filter { $0 < decoder.layers }
    let layers = full.prefix(8).map(String.init).joined(separator: ", ")
    throw .unsupported(
      method: composition.name(method),
      found:
        "attention rows of layer \(layer), which sees \(count) rows, for pictures that begin \(last - first) before them "
        + "(\(site))",
      expected: "a layer that sees them", fix: "Cut behind one that attends to all rows: entering layer \(layers).")
  }

  /// The first text row that no row after `reduction` stands for: text may leave caches, never the sequence.
  func lostText(_ reduction: Reduction, of tokens: TokenSequence) -> Int32? {
    let kept = Set(reduction.offsets.dropLast().map { tokens.id[Int(reduction.members[Int($0)])] })
    return tokens.id.first { !kept.contains($0) && !images.contains(id: $0) }
  }
}
