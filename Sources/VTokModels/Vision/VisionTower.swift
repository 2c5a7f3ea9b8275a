import CVTokKernels
import VTokCore
import VTokLibC
import VTokTensor

/// A vision transformer of any family: what differs between families is what they read into these fields.
public struct VisionTower: Sendable {
  /// Patches to tokens.
  struct Embedding: Sendable {
    let patch: Int
    /// `[width, 3 * patch * patch]`; frames of one patch lie inside each channel.
    let projection: Linear
    /// Prefix rows ready to use (positions added where the family adds them), with their kinds.
    let prefix: [(kind: TokenKind, row: [Float])]
    /// nil: positions are rotary.
    let positions: PositionGrid?
    /// CLIP normalises before the first block.
    let norm: LayerNorm?
  }

  let embedding: Embedding
  package let blocks: [TransformerBlock]
  /// Norm of all tokens after the last block; nil where the family has none or norms the pooled vector only.
  package let finalNorm: LayerNorm?
  public let shape: Shape.Tower
  /// Hidden states that make the features, joined along the channels: 0 enters block 0, i + 1 leaves block i. nil: what
  /// leaves the last block, after the final norm.
  var featureStates: [Int]?

  /// Tokens entering block 0. Pixels `[3, height, width]`; rows and columns that do not fill a patch are dropped.
  /// - Parameters:
  ///   - dense: the grid of the image before a method shrank it; nil: that of `pixels`.
  ///   - positions: `[rows * columns, width]` in place of the tower's own.
  ///   - first: number of the first patch, where a tile is not the first of a prompt.
  public func embed(
    _ pixels: Tensor, dense: (rows: Int, columns: Int)? = nil, positions: Tensor? = nil, first: Int = 0
  ) -> TokenSequence {
    let patch = embedding.patch
    let (height, width) = (pixels.shape[1], pixels.shape[2])
    let (rows, columns) = (height / patch, width / patch)
    precondition(rows > 0 && columns > 0, "an image of \(width)x\(height) is smaller than one patch of \(patch)")
    let channels = shape.width
    let prefix = embedding.prefix.count
    let table = positions ?? embedding.positions?.table(rows: rows, columns: columns)
    let flat = pixels.patches(patch)
    var x = Tensor(shape: [prefix + rows * columns, channels]) { out in
      for (index, token) in embedding.prefix.enumerated() {
        (out + index * channels).update(from: token.row, count: channels)
      }
      let patches = out + prefix * channels
      if let table { patches.update(from: table.values, count: rows * columns * channels) }
      embedding.projection.weight.multiply(
        flat.values, flat.rows, flat.width, accumulate: table != nil, into: patches, channels)
      if let bias = embedding.projection.bias { vtok_add_bias(patches, rows * columns, channels, bias) }
    }
    if let norm = embedding.norm { x = norm(x) }
    return TokenSequence(
      x: x, kind: embedding.prefix.map(\.kind) + [TokenKind](repeating: .patch, count: rows * columns),
      origin: Self.origin(prefix: prefix, rows: rows, columns: columns, dense: dense ?? (rows, columns), first: first))
  }

  /// Provenance of the grid: itself, or, when the image was shrunk, the patches of the dense grid under every token,
  /// weighted by area.
  private static func origin(
    prefix: Int, rows: Int, columns: Int, dense: (rows: Int, columns: Int), first: Int
  ) -> Origin {
    if (rows, columns) == dense {
      return Origin([Int?](repeating: nil, count: prefix) + (0..<rows * columns).map { first + $0 })
    }
    func overlaps(_ count: Int, _ full: Int) -> [[(Int, Double)]] {
      (0..<count).map { index in
        let low = Double(index * full) / Double(count)
        let high = Double((index + 1) * full) / Double(count)
        return (Int(low)..<min(full, Int(high.rounded(.up)))).compactMap { cell in
          let share = (min(high, Double(cell + 1)) - max(low, Double(cell))) / (high - low)
          return share > 1e-9 ? (cell, share) : nil
        }
      }
    }
    let vertical = overlaps(rows, dense.rows)
    let horizontal = overlaps(columns, dense.columns)
    var offsets = [Int32](repeating: 0, count: prefix + 1)
    var patches: [Int32] = []
    var weights: [Float] = []
    for down in vertical {
      for across in horizontal {
        // The anchor is the cell with the largest share, so that `keep` names the patch a token mostly shows.
        let cells = down.flatMap { v in across.map { h in (v.0 * dense.columns + h.0, v.1 * h.1) } }
        for (cell, share) in cells.sorted(by: { ($1.1, $0.0) < ($0.1, $1.0) }) {
          patches.append(Int32(first + cell))
          weights.append(Float(share))
        }
        offsets.append(Int32(patches.count))
      }
    }
    return Origin(offsets: offsets, patches: patches, weights: weights)
  }

  /// What attention of one tile needs beyond its rows. Methods do not thin towers that need any of it.
  struct Surroundings: Sendable {
    /// Added to every row of logits, -infinity for padding. `[n]`
    var keyBias: [Float]?
    /// Rotary positions of every row.
    var rotation: Rotary?
    /// Rows that attend to each other in blocks with windows; together all rows, in order.
    var windows: [Range<Int>] = []
  }

  /// Attention of one tile in one block, as methods asked for it.
  struct Tapped: Sendable {
    let ids: [Int32], rows: [Int]
    let attention: TransformerBlock.Tapped
  }

  /// Runs the tiles of one image in lockstep as far as the features need, letting methods look and act at every site,
  /// and through the final norm.
  /// - Parameters:
  ///   - tiles: asked for only when the run does not begin from what is shared.
  ///   - shared: what a dense run of the same tiles has left; a dense run fills it when it is empty.
  ///   - prefixOnly: nobody reads patch tokens behind the last block: unless methods or `shared` do, they stay there as they
  ///     entered it.
  public func forward(
    _ tiles: @autoclosure () -> [TokenSequence], run: inout Run, shared: SharedBlocks? = nil, prefixOnly: Bool = false,
    threads: Int = 1
  ) throws(CompressionError) -> [TokenSequence] {
    try forward(
      tiles(), [], run: &run, standard: { _ in nil }, joint: nil, shared: shared, prefixOnly: prefixOnly,
      threads: threads)
  }

  /// - Parameters:
  ///   - surroundings: of every tile; empty where the tower needs none.
  ///   - standard: what becomes of the features of a tile, as methods left it inside the tower, when no method says anything
  ///     else; nil: they stay.
  ///   - joint: the space that features share with the question, for methods that ask for it.
  func forward(
    _ tiles: @autoclosure () -> [TokenSequence], _ surroundings: [Surroundings], run: inout Run,
    standard: (TokenSequence) -> Reduction?, joint: JointSpace?, shared: SharedBlocks? = nil, prefixOnly: Bool = false,
    threads: Int
  ) throws(CompressionError) -> [TokenSequence] {
    let clock = ContinuousClock()
    let began = clock.now
    let joined = featureStates.map { $0.count > 1 ? $0 : [] } ?? []
    let shared = joined.isEmpty ? shared : nil  // states on the way are not among what is kept
    let start = shared?.start(for: run.composition)
    let filled = start == nil && run.composition.methods.isEmpty && shared?.isEmpty == true ? shared : nil
    var tiles = start?.tiles ?? tiles()
    run.enterTower(patches: tiles.reduce(0) { $0 + $1.rows(.patch).count })
    let end = featureStates?.max() ?? blocks.count
    var states: [Int: [Tensor]] = [:]
    if joined.contains(0) { states[0] = tiles.map(\.x) }
    if let first = blocks.first {
      let memory = TransformerBlock.Memory(rows: tiles.map(\.count).max() ?? 0, block: first, threads: threads)
      var layers = start?.layers ?? []
      for layer in layers { run.passBlock(layer) }
      for index in (start?.block ?? 0)..<end {
        let isBare =
          prefixOnly && index + 1 == blocks.count && filled?.needs(block: index) != true
          && ![.block(index, .end), .features].contains(where: run.composition.touches)
        layers.append(
          try pass(
            index, &tiles, surroundings, memory, &run, from: index == start?.block ? start : nil, after: layers,
            filling: filled, prefixOnly: isBare, threads))
        if joined.contains(index + 1) { states[index + 1] = tiles.map(\.x) }
      }
      filled?.keep(tiles, [], after: layers, at: .features)
    }
    if let finalNorm, end == blocks.count {
      for index in tiles.indices { tiles[index].x = finalNorm(tiles[index].x) }
    }
    if !joined.isEmpty {
      for index in tiles.indices { tiles[index].x = Tensor(sideBySide: joined.map { states[$0]![index] }) }
    }
    for (method, request) in run.requests(.features) where request.joint {
      for (index, tokens) in tiles.enumerated() {
        run.record(
          Recording(ids: tokens.id, joint: joint?(tokens.x)), for: method, at: .features, sequence: index)
      }
    }
    let kept = tiles.compactMap(standard)
    try run.act(at: .features, on: &tiles, standard: kept.count == tiles.count ? kept : nil)
    run.leaveTower(rows: tiles.map(\.count), seconds: began.duration(to: clock.now) / .seconds(1))
    return tiles
  }

  /// One block with its sites, from its beginning or from where another run has left it.
  /// - Parameter prefixOnly: nobody sees the patch tokens that leave it.
  private func pass(
    _ index: Int, _ tiles: inout [TokenSequence], _ surroundings: [Surroundings], _ memory: TransformerBlock.Memory,
    _ run: inout Run, from start: SharedBlocks.Start?, after before: [Trace.Layer], filling shared: SharedBlocks?,
    prefixOnly: Bool, _ threads: Int
  ) throws(CompressionError) -> Trace.Layer {
    let block = blocks[index]
    let (middle, end) = (Site.block(index, .middle), Site.block(index, .end))
    let only = prefixOnly ? shape.prefix : nil
    let isSeen = run.composition.touches(middle)
    let windows = hasWindows(index) ? surroundings.flatMap { $0.windows.map(\.count) } : []
    var layer = Trace.Layer(rows: windows.isEmpty ? tiles.map(\.count) : windows)
    var tapped = start?.tapped ?? []
    if start == nil {
      let requests = run.composition.requests(inBlock: index) + (shared?.requests(inBlock: index) ?? [])
      for position in tiles.indices {
        let around = surroundings.isEmpty ? Surroundings() : surroundings[position]
        let mass = tiles[position].mass
        let bias = run.massBias && mass.contains { $0 != 1 } ? mass.map(logf) : around.keyBias
        let taps = self.taps(for: requests, on: tiles[position])
        let attention = block.attend(
          &tiles[position].x, memory, keyBias: bias, rotation: around.rotation,
          windows: hasWindows(index) ? around.windows : [], taps: taps, only: isSeen ? nil : only, threads: threads)
        tapped.append(Tapped(ids: tiles[position].id, rows: taps.rows, attention: attention))
      }
      shared?.keep(tiles, tapped, after: before, at: middle)
    }
    if start?.site != end {
      try visit(middle, &tiles, tapped, next: nil, &layer, &run)
      layer.mlpRows = tiles.map(\.count)
      for position in tiles.indices { block.feedForward(&tiles[position].x, memory, only: only, threads: threads) }
      shared?.keep(tiles, tapped, after: before, at: end)
    }
    try visit(end, &tiles, tapped, next: index + 1 < blocks.count ? blocks[index + 1] : nil, &layer, &run)
    run.passBlock(layer)
    return layer
  }

  private func hasWindows(_ block: Int) -> Bool { shape.windows.map { !$0.global.contains(block) } ?? false }

  /// What attention must keep, so that every request can be answered from one pass.
  private func taps(for requests: [Request], on tokens: TokenSequence) -> TransformerBlock.Taps {
    var taps = TransformerBlock.Taps()
    for request in requests {
      taps.keys = taps.keys || request.keys
      guard request.attention != .none else { continue }
      taps.logits = taps.logits || request.values == .logits
      taps.probabilities = taps.probabilities || request.values == .probabilities
      let rows = Self.rows(request.attention, of: tokens)
      if rows.count > taps.rows.count { taps.rows = rows }
    }
    return taps
  }

  private static func rows(_ wanted: Rows, of tokens: TokenSequence) -> [Int] {
    switch wanted {
    case .all: Array(0..<tokens.count)
    case .classifier: Array(tokens.rows(.classifier).prefix(1))
    case .none, .last, .text: []
    }
  }

  /// Hands out the recordings of a site and lets the methods act.
  private func visit(
    _ site: Site, _ tiles: inout [TokenSequence], _ tapped: [Tapped], next: TransformerBlock?,
    _ layer: inout Trace.Layer, _ run: inout Run
  ) throws(CompressionError) {
    for (method, request) in run.requests(site) {
      for (position, tokens) in tiles.enumerated() {
        let (ids, tappedRows, found) = (tapped[position].ids, tapped[position].rows, tapped[position].attention)
        let source = request.values == .logits ? found.logits : found.probabilities
        var rowIDs: [Int32] = []
        var attention: Tensor?
        if request.attention != .none, let source {
          let rows = request.attention == .all ? tappedRows : Array(tappedRows.prefix(1))
          rowIDs = rows.map { ids[$0] }
          attention = Self.first(rows.count, of: source, summed: request.summed)
        }
        var probe: Tensor?
        if request.probe != .none, let next {
          let rows = Self.rows(request.probe, of: tokens)
          probe = next.probe(tokens.x, rows: rows, logits: request.values == .logits)
          layer.probes.append(Trace.Probe(rows: rows.count, keys: tokens.count))
          if rowIDs.isEmpty { rowIDs = rows.map { tokens.id[$0] } }
        }
        run.record(
          Recording(
            ids: request.probe != .none ? tokens.id : ids, rowIDs: rowIDs, attention: attention, probe: probe,
            keys: request.keys ? found.keys : nil), for: method, at: site, sequence: position)
      }
    }
    try run.act(at: site, on: &tiles)
  }

  /// The first `count` rows of `[heads, rows, keys]`, added up when `summed`.
  private static func first(_ count: Int, of source: Tensor, summed: Bool) -> Tensor {
    let (heads, rows, keys) = (source.shape[0], source.shape[1], source.shape[2])
    if !summed, count == rows { return source }
    return Tensor(shape: summed ? [heads, keys] : [heads, count, keys]) { out in
      source.values.withUnsafeBufferPointer { from in
        for head in 0..<heads {
          for row in 0..<count {
            let line = from.baseAddress! + (head * rows + row) * keys
            let target = out + (summed ? head : head * count + row) * keys
            if summed, row > 0 {
              vtok_accumulate(target, line, keys, 1)
            } else {
              target.update(from: line, count: keys)
            }
          }
        }
      }
    }
  }
}

/// The space of CLIP's contrastive training: features of the tower through the tower's last norm and the projection, which
/// a vision-language model leaves out.
public struct JointSpace: Sendable {
  let norm: LayerNorm
  let projection: Linear

  public init(norm: LayerNorm, projection: Linear) { (self.norm, self.projection) = (norm, projection) }

  /// Of the whole CLIP that the tower comes from; nil if it is of another kind.
  public init?(_ clip: CLIP) {
    guard case .normedToken(let norm) = clip.vision.head else { return nil }
    self.init(norm: norm, projection: clip.visualProjection)
  }

  /// x `[n, width]`, result `[n, projection]`.
  public func callAsFunction(_ x: Tensor) -> Tensor { projection(norm(x)) }
}
