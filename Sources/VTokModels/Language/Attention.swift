import CVTokKernels
import VTokCore
import VTokTensor

/// Attention of some rows over the keys and values of every KV head.
///
/// A row sees those before it, and in some models the other rows of its image. Order in the sequence decides, never the
/// position: after a cut positions may have gaps or start anew.
/// Rows go in blocks, and a block forms the products with those keys alone that its rows can see, so no n x n matrix is
/// held. What a cache holds in fewer bits is widened on the way, for a prompt a head at a time, for a single row a few entries,
/// which stay in the nearest cache of the processor. Query heads share the key heads that there are evenly, in order. Products are chains over the depth in order: a row
/// comes out the same to the bit whether its prompt goes in one pass or in two. A single row, as in decoding, is summed in
/// another order.
struct Attention {
  let heads: Int, kvHeads: Int, headDim: Int
  /// How caches hold keys and values.
  var kv = CachePrecision.f32

  /// What the rows of a layer see.
  struct Sight {
    /// So many keys up to its own; nil: all.
    var window: Int?
    /// Of the rows that pass together: how many of them each sees, counted from the first; nil: those up to itself.
    var reach: [Int]?

    func end(_ row: Int) -> Int { reach?[row] ?? row + 1 }
  }

  static let blockRows = 128

  /// A form of attention rows that somebody asked for.
  struct Tap: Hashable {
    let rows: Rows
    let values: Values
    let summed: Bool
  }

  /// What is recorded on the way.
  struct Taps {
    /// Forms with the rows they want, as indexes into the query rows, ascending.
    var wanted: [(tap: Tap, rows: [Int])] = []
    /// Sums of rows that were formed before these, `[heads, keys]`.
    var before: [Tap: Tensor] = [:]
    var seed: UInt64 = 0, step = 0, layer = 0
  }

  /// Scratch of every thread: a block of scores, panels of keys or values, and those of a head that were widened.
  final class Memory {
    let keys: Int, threads: Int
    let scores: Scratch, panels: Scratch, widened: Scratch

    init(rows: Int, keys: Int, heads: Int, widened: Int, threads: Int) {
      self.keys = keys
      self.threads = threads
      scores = Scratch(Self.scores(rows: rows, keys: keys, heads: heads, threads: threads))
      panels = Scratch(threads * vtok_matrix.panels)
      self.widened = Scratch(threads * widened)
    }

    static func scores(rows: Int, keys: Int, heads: Int, threads: Int) -> Int {
      max(threads * min(rows, Attention.blockRows), heads) * keys
    }

    /// Numbers that one thread widens at a time.
    static func widened(rows: Int, keys: Int, headDim: Int, _ kv: CachePrecision) -> Int {
      kv == .f32 ? 0 : 2 * headDim * (rows == 1 ? Attention.blockKeys : keys)
    }
  }

  /// softmax(q kᵀ) v of every head. Queries come rotated and scaled; the outputs take their place.
  /// - Parameters:
  ///   - q: `[rows, heads * headDim]`
  ///   - rows: which row of the last `total` keys every query is, ascending.
  ///   - keys: one entry per KV head, or per query head, all of at least `total` keys.
  ///   - mixing: whether outputs are wanted; a probe only looks.
  /// - Returns: for every tap one tensor per group of heads with equal keys: `[heads, rows, keys]`, or `[heads, keys]`.
  func callAsFunction(
    _ q: Shared<Float>, rows: [Int], of total: Int, over keys: [Keys], groups: Int = 1, mixing: Bool = true,
    sight: Sight = Sight(), taps: Taps = Taps(), _ memory: Memory, threads: Int
  ) -> [Tap: [Tensor]] {
    let recorder = Recorder(taps, heads: heads, keys: keys, groups: groups)
    let width = heads * headDim
    let slots = threadCount(rows.count, keys, memory.threads, threads)
    let (scratch, length) = (Shared(memory.scores.pointer), min(rows.count, Self.blockRows) * memory.keys)
    let panels = Shared(memory.panels.pointer)
    let (widened, room) = (Shared(memory.widened.pointer), memory.widened.count / memory.threads)
    if rows.count == 1 {
      step(
        q, rows[0], of: total, over: keys, mixing: mixing, sight, recorder, scratch, memory.keys, widened, room, slots)
      return recorder.tensors
    }
    parallel(slots, threads: slots) { slot in
      let scores = scratch.pointer + slot * length
      let panel = panels.pointer + slot * vtok_matrix.panels
      let own = widened.pointer + slot * room
      var open: (index: Int, keys: Keys.Rows, values: Keys.Rows)?  // heads that share keys follow each other
      for head in stride(from: slot, to: heads, by: slots) {
        let index = head * keys.count / heads
        let source = keys[index]
        if open?.index != index {
          let all = 0..<source.count
          open = (index, source.keys(all, own), source.values(all, own + room / 2))
        }
        let (lying, past) = (open!, source.count - total)
        for first in stride(from: 0, to: rows.count, by: Self.blockRows) {
          let count = min(Self.blockRows, rows.count - first)
          let start = sight.window.map { max(0, past + rows[first] + 1 - $0) } ?? 0
          let seen = past + sight.end(rows[first + count - 1]) - start
          let queries = q.pointer + first * width + head * headDim
          let visible = lying.keys.pointer + start * lying.keys.stride
          let keys = vtok_matrix(rows: visible, depth: headDim, stride: lying.keys.stride)
          vtok_product(queries, count, width, keys, 0, seen, 0, scores, seen, panel)
          for row in 0..<count {
            let line = scores + row * seen
            let own = past + rows[first + row] + 1 - start
            let end = past + sight.end(rows[first + row]) - start
            if let window = sight.window, own > window { line.update(repeating: -.infinity, count: own - window) }
            source.bias?.withUnsafeBufferPointer { vtok_add_bias(line, 1, end, $0.baseAddress! + start) }
            let place = Recorder.Place(row: first + row, head: head, keys: start..<start + end)
            recorder.take(logits: line, at: place, of: source, query: past + rows[first + row])
            vtok_softmax_rows(line, 1, end, end, nil)
            (line + end).update(repeating: 0, count: seen - end)
            recorder.take(probabilities: line, at: place)
          }
          guard mixing else { continue }
          let values = vtok_matrix(
            columns: lying.values.pointer + start * lying.values.stride, depth: seen, stride: lying.values.stride)
          vtok_product(scores, count, seen, values, 0, headDim, 0, queries, width, panel)
        }
      }
    }
    return recorder.tensors
  }

  /// One row alone, as in decoding, which waits for memory: a thread takes neighbouring heads, whose keys and values lie side by
  /// side, and goes through the cache a few entries at a time, in the order in which they lie.
  private func step(
    _ q: Shared<Float>, _ row: Int, of total: Int, over keys: [Keys], mixing: Bool, _ sight: Sight,
    _ recorder: Recorder, _ scores: Shared<Float>, _ length: Int, _ widened: Shared<Float>, _ room: Int, _ slots: Int
  ) {
    @Sendable func visible(_ source: Keys) -> Range<Int> {
      let past = source.count - total
      return (sight.window.map { max(0, past + row + 1 - $0) } ?? 0)..<past + sight.end(row)
    }
    let end = keys.reduce(0) { max($0, visible($1).upperBound) }
    parallel(slots, threads: slots) { slot in
      let own = slot * heads / slots..<(slot + 1) * heads / slots
      func blocks(
        _ rows: (Keys, Range<Int>, UnsafeMutablePointer<Float>) -> Keys.Rows,
        _ body: (_ head: Int, _ rows: Keys.Rows, _ entries: Range<Int>) -> Void
      ) {
        for from in stride(from: 0, to: end, by: Self.blockKeys) {
          var open: (index: Int, rows: Keys.Rows)?
          for head in own {
            let index = head * keys.count / heads
            let entries = visible(keys[index]).clamped(to: from..<from + Self.blockKeys)
            if entries.isEmpty { continue }
            if open?.index != index { open = (index, rows(keys[index], entries, widened.pointer + slot * room)) }
            body(head, open!.rows, entries)
          }
        }
      }
      blocks({ $0.keys($1, $2) }) { head, rows, entries in
        vtok_exact_products(
          q.pointer + head * headDim, 1, headDim, rows.pointer, entries.count, rows.stride, headDim,
          scores.pointer + head * length + entries.lowerBound)
      }
      for head in own {
        let source = keys[head * keys.count / heads]
        let entries = visible(source)
        let line = scores.pointer + head * length + entries.lowerBound
        source.bias?.withUnsafeBufferPointer {
          vtok_add_bias(line, 1, entries.count, $0.baseAddress! + entries.lowerBound)
        }
        let place = Recorder.Place(row: 0, head: head, keys: entries)
        recorder.take(logits: line, at: place, of: source, query: source.count - total + row)
        vtok_softmax_rows(line, 1, entries.count, entries.count, nil)
        recorder.take(probabilities: line, at: place)
        if mixing { (q.pointer + head * headDim).update(repeating: 0, count: headDim) }
      }
      guard mixing else { return }
      blocks({ $0.values($1, $2) }) { head, rows, entries in
        vtok_exact_more_votes(
          rows.pointer, entries.count, headDim, rows.stride, scores.pointer + head * length + entries.lowerBound,
          q.pointer + head * headDim)
      }
    }
  }

  /// Entries of a cache that heads pass together in a step.
  private static let blockKeys = 16

  /// Below about a quarter of a million multiply-adds a thread costs more than it brings.
  private func threadCount(_ rows: Int, _ keys: [Keys], _ slots: Int, _ threads: Int) -> Int {
    let work = rows * keys[0].count * heads * headDim
    return max(1, min(threads, slots, heads, work >> 18))
  }
}

/// Gives rows of attention to those who asked for them.
private struct Recorder: Sendable {
  /// One row of one head, and the keys it sees.
  struct Place {
    let row: Int, head: Int
    let keys: Range<Int>
  }

  private let taps: Attention.Taps
  /// By tap, then by group of heads with equal keys.
  private let stores: [[Store]]
  private let heads: Int

  init(_ taps: Attention.Taps, heads: Int, keys: [Attention.Keys], groups: Int) {
    self.taps = taps
    self.heads = heads
    stores = taps.wanted.map { wanted in
      (0..<groups).map {
        Store(wanted.tap, wanted.rows, heads: heads / groups, keys: keys[$0].count, before: taps.before[wanted.tap])
      }
    }
  }

  /// - Parameter query: which entry of the cache the row is.
  func take(logits line: UnsafePointer<Float>, at place: Place, of source: Attention.Keys, query: Int) {
    for (wanted, stores) in zip(taps.wanted, stores) {
      let store = stores[place.head * stores.count / heads]
      switch wanted.tap.values {
      case .probabilities: break
      case .logits: store.put(line, at: place)
      case .own(let form):
        guard store.wants(place.row) else { continue }
        let formed = form(
          Array(UnsafeBufferPointer(start: line, count: place.keys.count)),
          of: AttentionRow(
            seed: taps.seed, step: taps.step, layer: taps.layer, head: place.head, query: source.ids[query],
            keys: source.ids[place.keys]))
        precondition(formed.count == place.keys.count, "\(formed.count) numbers for \(place.keys.count) keys")
        store.put(formed, at: place)
      }
    }
  }

  func take(probabilities line: UnsafePointer<Float>, at place: Place) {
    for (wanted, stores) in zip(taps.wanted, stores) where wanted.tap.values == .probabilities {
      stores[place.head * stores.count / heads].put(line, at: place)
    }
  }

  var tensors: [Attention.Tap: [Tensor]] {
    Dictionary(uniqueKeysWithValues: zip(taps.wanted.map(\.tap), stores.map { $0.map(\.tensor) }))
  }
}

/// Rows of attention as they are formed, of heads with equal keys.
private final class Store: @unchecked Sendable {  // every head is written by one thread
  private let memory: Scratch
  private let heads: Int, keys: Int, summed: Bool
  private let slots: [Int: Int], count: Int

  init(_ tap: Attention.Tap, _ rows: [Int], heads: Int, keys: Int, before: Tensor?) {
    self.heads = heads
    self.keys = keys
    summed = tap.summed
    count = rows.count
    slots = Dictionary(uniqueKeysWithValues: zip(rows, rows.indices))
    memory = Scratch(heads * keys * (summed ? 1 : rows.count))
    // What a row cannot see.
    memory.pointer.update(repeating: tap.values == .logits && !summed ? -.infinity : 0, count: memory.count)
    if let before {
      for head in 0..<heads {
        before.values.withUnsafeBufferPointer {
          (memory.pointer + head * keys).update(from: $0.baseAddress! + head * before.width, count: before.width)
        }
      }
    }
  }

  func wants(_ row: Int) -> Bool { slots[row] != nil }

  /// Takes what a row has for the keys it sees.
  func put(_ line: UnsafePointer<Float>, at place: Recorder.Place) {
    guard let slot = slots[place.row] else { return }
    let head = place.head % heads
    if summed {
      vtok_accumulate(memory.pointer + head * keys + place.keys.lowerBound, line, place.keys.count, 1)
    } else {
      (memory.pointer + (head * count + slot) * keys + place.keys.lowerBound).update(
        from: line, count: place.keys.count)
    }
  }

  var tensor: Tensor {
    Tensor(shape: summed ? [heads, keys] : [heads, count, keys]) {
      $0.update(from: memory.pointer, count: memory.count)
    }
  }
}
