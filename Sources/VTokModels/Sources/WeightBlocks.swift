import CVTokKernels
import VTokCore
import VTokTensor

#if canImport(Glibc)
  import Glibc
#else
  import Foundation
#endif

/// The blocks of a tower with their weights.
struct WeightBlocks: BlockSource {
  /// What attention of one tile needs beyond its rows and what travels with them. Methods do not thin towers that need any
  /// of it.
  struct Surroundings: Sendable {
    /// Added to every row of logits, -infinity for padding. `[n]`
    var keyBias: [Float]?
    /// Rotary positions of every row.
    var rotation: Rotary?
    /// Rows that attend to each other in blocks with windows; together all rows, in order.
    var windows: [Range<Int>] = []
    /// Pixels of every row, in 0...1. `[n, 3 * patch * patch]`
    var pixels: (@Sendable () -> Tensor)?

    /// What is left of it for some of the rows, of a tile without windows.
    func taking(_ rows: [Int]) -> Surroundings {
      Surroundings(
        keyBias: keyBias.map { bias in rows.map { bias[$0] } }, rotation: rotation?.taking(rows),
        windows: windows.isEmpty ? [] : [0..<rows.count])
    }
  }

  /// Attention of one tile in one block, as methods asked for it.
  struct Tapped: Sendable {
    let rows: [Int]
    let attention: TransformerBlock.Tapped
  }

  let tower: VisionTower
  /// Of every tile; empty where the tower needs none.
  private(set) var surroundings: [Surroundings]
  /// Attention adds log(mass) per key.
  let massBias: Bool
  let jointSpace: JointSpace?
  let threads: Int
  /// Of the block that has just run, every tile.
  var tapped: [Tapped] = []
  private var memory: TransformerBlock.Memory?
  /// Turns and pairs of the tiles as they were last, kept while no row leaves or moves.
  private var turns: [Int: (of: [Coordinate], rotation: Rotary)] = [:]
  private var pairs: [Int: (of: [Int32], entries: [Int32])] = [:]
  /// Hidden states that make the features together with others.
  private var states: [Int: [Tensor]] = [:]

  init(
    _ tower: VisionTower, _ surroundings: [Surroundings], massBias: Bool, joint: JointSpace?, threads: Int
  ) {
    self.tower = tower
    self.surroundings = surroundings
    self.massBias = massBias
    self.threads = threads
    jointSpace = joint
  }

  var count: Int { tower.blocks.count }
  var depth: Int { tower.featureStates?.max() ?? count }

  func windows(in block: Int) -> [Int] {
    hasWindows(block) ? surroundings.flatMap { $0.windows.map(\.count) } : []
  }

  private func hasWindows(_ block: Int) -> Bool { tower.shape.windows.map { !$0.global.contains(block) } ?? false }

  mutating func attend(
    _ block: Int, _ tiles: inout [TokenSequence], for requests: [Request], only: Int?, carried: [Tensor]
  ) {
    keepState(block, tiles)
    let memory = memory(for: tiles)
    tapped = []
    for index in tiles.indices {
      let around = surroundings.isEmpty ? Surroundings() : surroundings[index]
      let bias = massBias(of: tiles[index]) ?? around.keyBias
      let taps = taps(for: requests, on: tiles[index])
      let (rotation, pairs) = (around.rotation ?? rotation(of: tiles[index], index), pairs(of: tiles[index], index))
      let attention = tower.blocks[block].attend(
        &tiles[index].x, memory, keyBias: bias, pairs: pairs, rotation: rotation,
        windows: hasWindows(block) ? around.windows : [], taps: taps, only: only,
        carried: carried.isEmpty ? nil : carried[index], threads: threads)
      tapped.append(Tapped(rows: taps.rows, attention: attention))
    }
  }

  /// log(mass) of every key; nil where all are 1, or attention does not mind them.
  private func massBias(of tokens: TokenSequence) -> [Float]? {
    massBias && tokens.mass.contains { $0 != 1 } ? tokens.mass.map(logf) : nil
  }

  /// Rotary positions of the rows as they are now; nil where the tower has none.
  private mutating func rotation(of tokens: TokenSequence, _ tile: Int) -> Rotary? {
    guard let rotary = tower.rotary else { return nil }
    if let known = turns[tile], known.of == tokens.coordinate { return known.rotation }
    let rotation = rotary(tokens)
    turns[tile] = (tokens.coordinate, rotation)
    return rotation
  }

  /// Entries of the relative bias for the rows as they are now; nil where the tower has none.
  private mutating func pairs(of tokens: TokenSequence, _ tile: Int) -> [Int32]? {
    guard tower.hasRelativeBias else { return nil }
    if let known = pairs[tile], known.of == tokens.id { return known.entries }
    let shape = tower.shape
    let entries = RelativeBias.pairs(tokens, prefix: shape.prefix, rows: shape.rows, columns: shape.columns)
    pairs[tile] = (tokens.id, entries)
    return entries
  }

  /// What attention must keep, so that every request can be answered from one pass.
  private func taps(for requests: [Request], on tokens: TokenSequence) -> TransformerBlock.Taps {
    var taps = TransformerBlock.Taps()
    for request in requests {
      taps.keys = taps.keys || request.keys
      guard request.attention != .none else { continue }
      taps.logits = taps.logits || request.values == .logits
      taps.probabilities = taps.probabilities || request.values == .probabilities
      let rows = request.attention.indices(of: tokens.id, kind: tokens.kind)
      if rows.count > taps.rows.count { taps.rows = rows }
    }
    return taps
  }

  func attention(_ request: Request, tile: Int, rows: [Int]) -> Tensor {
    let tapped = tapped[tile]
    let source = (request.values == .logits ? tapped.attention.logits : tapped.attention.probabilities)!
    let (heads, keys) = (source.shape[0], source.shape[2])
    let places = rows.count == tapped.rows.count ? Array(rows.indices) : rows.map { tapped.rows.firstIndex(of: $0)! }
    if !request.summed, rows.count == tapped.rows.count { return source }
    return Tensor(shape: request.summed ? [heads, keys] : [heads, rows.count, keys]) { out in
      source.values.withUnsafeBufferPointer { from in
        for head in 0..<heads {
          for (row, place) in places.enumerated() {
            let line = from.baseAddress! + (head * tapped.rows.count + place) * keys
            let target = out + (request.summed ? head : head * rows.count + row) * keys
            if request.summed, row > 0 {
              vtok_accumulate(target, line, keys, 1)
            } else {
              target.update(from: line, count: keys)
            }
          }
        }
      }
    }
  }

  func keys(tile: Int) -> Tensor { tapped[tile].attention.keys! }

  mutating func feedForward(_ block: Int, _ tiles: inout [TokenSequence], only: Int?) {
    let memory = memory(for: tiles)
    for index in tiles.indices {
      tower.blocks[block].feedForward(&tiles[index].x, memory, only: only, threads: threads)
    }
  }

  func probe(_ block: Int, _ request: Request, _ tokens: TokenSequence, rows: [Int]) -> BlockProbe {
    let shape = tower.shape
    let pairs =
      tower.hasRelativeBias
      ? RelativeBias.pairs(tokens, prefix: shape.prefix, rows: shape.rows, columns: shape.columns) : nil
    return tower.blocks[block].probe(
      tokens.x, rows: rows, keyBias: massBias(of: tokens), logits: request.values == .logits, keys: request.probeKeys,
      pairs: pairs, rotation: tower.rotary?(tokens))
  }

  func pixels(tile: Int) -> Tensor? { surroundings.isEmpty ? nil : surroundings[tile].pixels?() }

  mutating func follow(_ reduction: Reduction, tile: Int) {
    guard !surroundings.isEmpty else { return }
    surroundings[tile] = surroundings[tile].taking(
      (0..<reduction.count).map { Int(reduction.row($0).first!) })
  }

  mutating func finish(_ tiles: inout [TokenSequence]) {
    keepState(depth, tiles)
    if tower.joinsStates {
      for index in tiles.indices {
        tiles[index].x = Tensor(sideBySide: tower.featureStates!.map { states[$0]![index] })
      }
    } else if let norm = tower.finalNorm, depth == count {
      for index in tiles.indices { tiles[index].x = norm(tiles[index].x) }
    }
  }

  /// Where several states are the features, the last one counts.
  func joint(_ tokens: TokenSequence) -> Tensor? {
    let (x, width) = (tokens.x, tower.shape.width)
    return jointSpace?(tower.joinsStates ? x.columns(x.width - width..<x.width) : x)
  }

  private mutating func keepState(_ index: Int, _ tiles: [TokenSequence]) {
    if tower.joinsStates, tower.featureStates!.contains(index) { states[index] = tiles.map(\.x) }
  }

  /// Of the first call: later ones have no more rows.
  private mutating func memory(for tiles: [TokenSequence]) -> TransformerBlock.Memory {
    if let memory { return memory }
    let made = TransformerBlock.Memory(
      rows: tiles.map(\.count).max() ?? 0, block: tower.blocks[0], threads: threads)
    memory = made
    return made
  }
}
