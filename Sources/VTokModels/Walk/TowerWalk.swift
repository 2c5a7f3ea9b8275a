import VTokCore
import VTokTensor

/// The way of the tiles of one image through the blocks of a tower, in lockstep, as far as the features need: the only code
/// that visits the sites of towers, records there and lets methods act.
package struct TowerWalk<Source: BlockSource> {
  package private(set) var source: Source
  private let prefix: Int?
  /// Attention that the next block is to use, tile by tile; empty: its own.
  private var carried: [Tensor] = []

  /// - Parameter prefixOnly: nobody reads patch tokens after the last block: unless a method does, they may stay there as
  ///   they entered it, and only so many prefix rows are computed. nil: all are.
  package init(_ source: Source, prefixOnly prefix: Int? = nil) {
    self.source = source
    self.prefix = prefix
  }

  /// - Parameters:
  ///   - tiles: the rows entering block 0.
  ///   - standard: what becomes of the features of a tile, as methods left it inside the tower, when no method says anything
  ///     else; nil: they stay.
  /// - Returns: the features.
  package mutating func callAsFunction(
    _ tiles: @autoclosure () -> [TokenSequence], run: inout Run, standard: (TokenSequence) -> Reduction? = { _ in nil }
  ) throws(CompressionError) -> [TokenSequence] {
    let clock = ContinuousClock()
    let began = clock.now
    var tiles = tiles()
    run.enterTower(patches: tiles.reduce(0) { $0 + $1.rows(.patch).count })
    // What is probed before block 0 is booked with it.
    var entrance = Trace.Layer(rows: [])
    if run.composition.touches(.patches) {
      let entering = tiles.map { Attended(ids: $0.id, kind: $0.kind) }
      try visit(.patches, &tiles, entering, next: 0, &entrance, &run)
    }
    for block in 0..<source.depth { try pass(block, &tiles, block == 0 ? entrance.probes : [], &run) }
    source.finish(&tiles)
    for (method, request) in run.requests(.features) {
      for (index, tokens) in tiles.enumerated() {
        let recording = Recording(
          ids: tokens.id, joint: request.joint ? source.joint(tokens) : nil, tokens: request.tokens ? tokens : nil)
        run.record(recording, for: method, at: .features, sequence: index)
      }
    }
    let kept = tiles.compactMap(standard)
    try run.act(at: .features, on: &tiles, standard: kept.count == tiles.count ? kept : nil)
    run.leaveTower(rows: tiles.map(\.count), seconds: began.duration(to: clock.now) / .seconds(1))
    return tiles
  }

  /// One block with its sites.
  /// - Parameter probes: formed before it.
  private mutating func pass(
    _ block: Int, _ tiles: inout [TokenSequence], _ probes: [Trace.Probe], _ run: inout Run
  ) throws(CompressionError) {
    let (middle, end) = (Site.block(block, .middle), Site.block(block, .end))
    let isBare = block + 1 == source.count && ![end, .features].contains(where: run.composition.touches)
    let only = isBare && carried.isEmpty ? prefix : nil
    let windows = source.windows(in: block)
    let attended = tiles.map { Attended(ids: $0.id, kind: $0.kind) }
    var layer = Trace.Layer(rows: windows.isEmpty ? tiles.map(\.count) : windows)
    layer.probes = probes
    layer.isCarried = !carried.isEmpty
    source.attend(
      block, &tiles, for: run.composition.requests(inBlock: block), only: run.composition.touches(middle) ? nil : only,
      carried: carried)
    carried = []
    try visit(middle, &tiles, attended, next: nil, &layer, &run)
    layer.mlpRows = tiles.map(\.count)
    source.feedForward(block, &tiles, only: only)
    try visit(end, &tiles, attended, next: block + 1 < source.count ? block + 1 : nil, &layer, &run)
    run.passBlock(layer)
  }

  /// The rows of a tile that a block attended.
  private struct Attended {
    let ids: [Int32], kind: [TokenKind]
  }

  /// Hands out the recordings of a site and lets the methods act.
  private mutating func visit(
    _ site: Site, _ tiles: inout [TokenSequence], _ attended: [Attended], next: Int?, _ layer: inout Trace.Layer,
    _ run: inout Run
  ) throws(CompressionError) {
    var carrier: (method: Int, attention: [Tensor])?
    for (method, request) in run.requests(site) {
      for (tile, tokens) in tiles.enumerated() {
        let recording = recording(request, tile, attended[tile], now: tokens, next: next, &layer)
        run.record(recording, for: method, at: site, sequence: tile)
        if request.carriesProbe, let probe = recording.probe {
          carrier = (method, (carrier?.attention ?? []) + [probe])
        }
      }
    }
    let before = tiles
    let made = try run.act(at: site, on: &tiles)
    if site == .patches {
      for (_, reductions) in made.sorted(by: { $0.key < $1.key }) {
        for (tile, reduction) in reductions.enumerated() { source.follow(reduction, tile: tile) }
      }
    }
    guard let carrier, let reductions = made[carrier.method] else { return }
    if let other = made.keys.first(where: { $0 != carrier.method }) {
      throw .conflict(
        run.composition.name(carrier.method), run.composition.name(other),
        reason: "one carries attention into the block behind \(site), where the other acts too")
    }
    carried = tiles.indices.map { before[$0].carrying(carrier.attention[$0], through: reductions[$0]) }
  }

  /// What a request gets: attention and keys of the rows that were attended, probes of those there now.
  private mutating func recording(
    _ request: Request, _ tile: Int, _ attended: Attended, now tokens: TokenSequence, next: Int?,
    _ layer: inout Trace.Layer
  ) -> Recording {
    let rows = request.attention.indices(of: attended.ids, kind: attended.kind)
    let attention = rows.isEmpty ? nil : source.attention(request, tile: tile, rows: rows)
    let probed = next == nil ? [] : request.probe.indices(of: tokens.id, kind: tokens.kind)
    var probe = BlockProbe()
    if let next, !probed.isEmpty || request.probeKeys {
      probe = source.probe(next, request, tokens, rows: probed)
      layer.probes.append(Trace.Probe(rows: probed.count, keys: tokens.count))
    }
    return Recording(
      ids: request.probe == .none && !request.probeKeys ? attended.ids : tokens.id,
      rowIDs: rows.isEmpty ? probed.map { tokens.id[$0] } : rows.map { attended.ids[$0] },
      attention: attention, probe: probe.attention, keys: request.keys ? source.keys(tile: tile) : nil,
      probeKeys: probe.keys, pixels: request.pixels ? source.pixels(tile: tile) : nil,
      tokens: request.tokens ? tokens : nil)
  }
}
