import CVTokKernels
import VTokTensor

public enum TokenKind: UInt8, Sendable { case classifier, register, patch, newline, text }

/// A rotary position. All three axes are equal without M-RoPE.
public struct Position: Sendable, Hashable {
  public var t: Int32, h: Int32, w: Int32
  public init(t: Int32, h: Int32, w: Int32) {
    self.t = t
    self.h = h
    self.w = w
  }
  public init(_ index: Int) { self.init(t: Int32(index), h: Int32(index), w: Int32(index)) }
}

/// Where a row lies in a picture, in the unit of a tower's rotary positions.
public struct Coordinate: Sendable, Hashable {
  public var row: Float, column: Float
  public init(row: Float, column: Float) {
    self.row = row
    self.column = column
  }
}

/// The tokens in flight with all that must stay in step. `apply` is the only way to change their number. A layer's KV
/// cache is one too: x = per KV head key, then value; one sequence for all heads, or one per head once they differ.
public struct TokenSequence: Sendable {
  /// `[count, width]`; a layer may rewrite values, never the count. Of a cache in fewer bits what they stand for, and what is
  /// written is rounded.
  public var x: Tensor {
    get { packed?.widened() ?? exact }
    _modify {  // in place: most rows are float32
      if let packed { exact = packed.widened() }
      yield &exact
      precondition(exact.rows == id.count, "only apply and append change the number of tokens")
      guard let rows = packed else { return }
      packed = CacheRows(exact, like: rows)
      exact = Self.nowhere
    }
  }
  private var exact: Tensor
  /// A cache's rows in fewer bits, in place of `exact`.
  package private(set) var packed: CacheRows?
  private static let nowhere = Tensor([], shape: [0, 0])
  /// Row number at birth: in the tile, from `.pack` on in the whole prompt. Never renumbered.
  public private(set) var id: [Int32]
  /// How many tokens of the dense sequence a row counts for (ToMe's size).
  public private(set) var mass: [Float]
  public private(set) var kind: [TokenKind]
  public private(set) var position: [Position]
  public private(set) var origin: Origin
  /// Rows that are still to be added to `x`, in this order: what the tower of Qwen3-VL gives to the first layers of its
  /// language model. One row per token, zeros for text; empty in most models. `[count, width]` each
  public private(set) var pending: [Tensor] = []
  /// Of every row in a tower with rotary positions; empty elsewhere. A merged row lies at the mean of its members by mass.
  public private(set) var coordinate: [Coordinate]

  public var count: Int { id.count }
  /// Numbers of a row.
  public var width: Int { packed?.width ?? exact.width }
  /// Of all rows' numbers.
  package var bytes: Int { packed?.byteCount ?? 4 * exact.values.count }

  /// - Precondition: all arrays have one entry per row of `x`.
  public init(
    x: Tensor, kind: [TokenKind], position: [Position]? = nil, origin: Origin, id: [Int32]? = nil,
    coordinate: [Coordinate] = []
  ) {
    let count = x.rows
    exact = x
    self.id = id ?? (0..<count).map(Int32.init)
    self.mass = [Float](repeating: 1, count: count)
    self.kind = kind
    self.position = position ?? (0..<count).map { Position($0) }
    self.origin = origin
    self.coordinate = coordinate
    precondition(coordinate.isEmpty || coordinate.count == count)
    precondition(self.id.count == count && kind.count == count && self.position.count == count)
    precondition(origin.offsets.count == count + 1)
  }

  /// Replaces the rows as `reduction` says. O(members * width).
  /// - Parameter features: `[reduction.count, width']`: a trained connector made the rows, the rest follows.
  public mutating func apply(_ reduction: Reduction, features: Tensor? = nil) {
    precondition(reduction.inputCount == count, "a reduction of \(reduction.inputCount) rows got \(count)")
    let shares = memberShares(reduction)
    let anchors = (0..<reduction.count).map { Int(reduction.members[Int(reduction.offsets[$0])]) }
    let masses = mass
    let kept = features == nil ? packed.map { reduced($0, reduction, anchors, masses) } : nil
    let rows = kept == nil ? features ?? blended(exact, reduction, anchors, masses) : Self.nowhere
    precondition(
      (kept?.count ?? rows.rows) == reduction.count, "\(rows.rows) rows of features for \(reduction.count) tokens")
    let newMass =
      reduction.mass
      ?? (0..<reduction.count).map { row in reduction.row(row).reduce(0) { $0 + mass[Int($1)] } }
    origin = origin.applying(reduction, shares: shares)
    id = anchors.map { id[$0] }
    kind = anchors.map { kind[$0] }
    position = anchors.map { position[$0] }
    if !coordinate.isEmpty { coordinate = (0..<reduction.count).map { place(of: reduction.row($0)) } }
    mass = newMass
    // Addition is linear: what would be added to the members is blended as they are.
    pending = pending.map { blended($0, reduction, anchors, masses) }
    (exact, packed) = (rows, kept)
  }

  /// Puts rows behind those that are still to be added to `x`. `[count, width]`
  public mutating func postpone(_ rows: Tensor) {
    precondition(rows.shape == x.shape, "\(rows.shape) to be added to \(x.shape)")
    pending.append(rows)
  }

  /// Adds the next of the pending rows to `x`, if there are any.
  public mutating func settle() {
    guard !pending.isEmpty else { return }
    x.add(pending.removeFirst())
  }

  /// The same rows with other values, to which nothing is pending: entries of a cache. `[count, any width]`
  public func carrying(_ x: Tensor) -> TokenSequence {
    var copy = self
    copy.pending = []
    (copy.exact, copy.packed) = (x, nil)
    precondition(x.rows == count, "\(x.rows) rows for \(count) entries")
    return copy
  }

  /// The same rows as a cache holds them.
  /// - Parameters:
  ///   - group: numbers that are rounded together, where anything is.
  ///   - room: rows that may be added to rounded ones before they move.
  package func stored(in precision: CachePrecision, group: Int, room: Int = 0, threads: Int = 1) -> TokenSequence {
    guard precision != .f32 else { return self }
    var copy = self
    copy.packed = CacheRows(x, precision, group: group, room: room, threads: threads)
    copy.exact = Self.nowhere
    return copy
  }

  /// Columns as float32. `[count, range]`
  /// - Parameter range: of a cache whole keys or values.
  package func columns(_ range: Range<Int>) -> Tensor { packed?.widened(range) ?? exact.columns(range) }

  /// Rewrites a key or value of one entry of a cache, which begins at a column; the others keep their bits.
  package mutating func rewrite(_ row: Int, column: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) {
    guard packed == nil else { return packed!.rewrite(row, column: column, body) }
    let at = row * exact.width + column
    exact.values.withUnsafeMutableBufferPointer { body($0.baseAddress! + at) }
  }

  /// A copy with `reduction` applied.
  public func reduced(_ reduction: Reduction) -> TokenSequence {
    var copy = self
    copy.apply(reduction)
    return copy
  }

  /// Adds `entries` of equal width behind the last row. Caches grow only here. Amortised.
  public mutating func append(_ entries: TokenSequence) {
    origin.append(entries.origin)
    id += entries.id
    kind += entries.kind
    position += entries.position
    mass += entries.mass
    let stages = max(pending.count, entries.pending.count)
    for stage in 0..<stages {
      if stage == pending.count { pending.append(Tensor(zeros: [exact.rows, width])) }
      pending[stage].append(
        rows: stage < entries.pending.count ? entries.pending[stage] : Tensor(zeros: [entries.count, width]))
    }
    // Rows of other tiles, or of no tile, lie in no common picture.
    coordinate = []
    guard let rows = packed else { return exact.append(rows: entries.x) }
    packed!.append(entries.packed ?? CacheRows(entries.x, like: rows))
  }

  /// The rows of a range, as they are.
  package func rows(_ range: Range<Int>) -> TokenSequence { reduced(.keep(Array(range), of: count)) }

  /// Whether the first rows are those of `other`, in everything.
  package func begins(with other: TokenSequence) -> Bool {
    let rows = other.count
    return count >= rows && x.width == other.x.width && id.prefix(rows).elementsEqual(other.id)
      && x.values.prefix(rows * x.width).elementsEqual(other.x.values)
      && mass.prefix(rows).elementsEqual(other.mass) && kind.prefix(rows).elementsEqual(other.kind)
      && position.prefix(rows).elementsEqual(other.position) && origin.begins(with: other.origin)
      && pendsLike(other)
  }

  /// Whether what is pending to the first rows is what is pending to those of `other`.
  private func pendsLike(_ other: TokenSequence) -> Bool {
    (0..<max(pending.count, other.pending.count)).allSatisfy { stage in
      let own = stage < pending.count ? pending[stage].values.prefix(other.x.values.count) : []
      let others = stage < other.pending.count ? other.pending[stage].values : []
      if own.isEmpty || others.isEmpty { return (own.isEmpty ? others[...] : own).allSatisfy { $0 == 0 } }
      return own.elementsEqual(others)
    }
  }

  /// The columns in `parts` equal shares, one sequence each: a cache, by KV head.
  public func split(into parts: Int) -> [TokenSequence] {
    let share = width / parts
    precondition(share * parts == width, "\(width) columns in \(parts) parts")
    return (0..<parts).map { part in
      let columns = part * share..<(part + 1) * share
      var own = self
      if let packed { own.packed = packed.columns(columns) } else { own.exact = exact.columns(columns) }
      return own
    }
  }

  /// A cache of `kvHeads` heads in `parts` shares: one sequence for every KV head, or one for every query head, which then has
  /// its own copy.
  package func split(into parts: Int, kvHeads: Int) -> [TokenSequence] {
    guard parts > kvHeads else { return split(into: parts) }
    let heads = split(into: kvHeads)
    return (0..<parts).map { heads[$0 * kvHeads / parts] }
  }

  /// Numbers the rows anew, 0..<count, at these positions: a prompt is born where its spans and its text come together.
  public mutating func restart(at position: [Position]) {
    precondition(position.count == count, "\(position.count) positions for \(count) tokens")
    id = (0..<count).map(Int32.init)
    self.position = position
    coordinate = []
  }

  /// Positions 0..<count, as `PositionRule.Cut.renumbered` asks after a cut.
  public mutating func renumber() { position = (0..<count).map { Position($0) } }

  /// Rows of one kind, ascending.
  public func rows(_ wanted: TokenKind) -> [Int] { kind.indices.filter { kind[$0] == wanted } }

  /// Attention among these rows `[heads, n, n]` as it is among those that `reduction` makes of them: columns added up, rows
  /// averaged as the rows are. `[heads, n', n']`
  package func carrying(_ attention: Tensor, through reduction: Reduction) -> Tensor {
    let (heads, n, shares) = (attention.shape[0], count, memberShares(reduction))
    return Tensor(shape: [heads, reduction.count, reduction.count]) { out in
      out.update(repeating: 0, count: heads * reduction.count * reduction.count)
      for head in 0..<heads {
        for row in 0..<reduction.count {
          let line = out + (head * reduction.count + row) * reduction.count
          for slot in Int(reduction.offsets[row])..<Int(reduction.offsets[row + 1]) {
            let source = (head * n + Int(reduction.members[slot])) * n
            for column in 0..<reduction.count {
              let sum = reduction.row(column).reduce(Float(0)) { $0 + attention.values[source + Int($1)] }
              line[column] += shares[slot] * sum
            }
          }
        }
      }
    }
  }

  /// The mean of the members' coordinates by mass; of one member its own, to the bit.
  private func place(of members: ArraySlice<Int32>) -> Coordinate {
    guard members.count > 1 else { return coordinate[Int(members.first!)] }
    var (sum, total) = (Coordinate(row: 0, column: 0), Float(0))
    for member in members.lazy.map(Int.init) {
      sum.row += mass[member] * coordinate[member].row
      sum.column += mass[member] * coordinate[member].column
      total += mass[member]
    }
    return Coordinate(row: sum.row / total, column: sum.column / total)
  }

  /// Share of every member in its row: the coefficients of the linear map.
  private func memberShares(_ reduction: Reduction) -> [Float] {
    switch reduction.blend {
    case .copy: return [Float](repeating: 1, count: reduction.members.count)
    case .weighted(let weights), .entries(_, let weights): return weights
    case .byCount:
      return (0..<reduction.count).flatMap { row in
        let members = reduction.row(row)
        return [Float](repeating: 1 / Float(members.count), count: members.count)
      }
    case .byMass:
      return (0..<reduction.count).flatMap { row in
        let masses = reduction.row(row).map { mass[Int($0)] }
        let total = masses.reduce(0, +)
        return masses.map { $0 / total }
      }
    }
  }

  /// The new rows of a cache in fewer bits: what is one row as it was keeps its bits, what is made of several is rounded.
  private func reduced(_ rows: CacheRows, _ reduction: Reduction, _ anchors: [Int], _ mass: [Float]) -> CacheRows {
    var kept = rows.gathered(anchors)
    let made = (0..<reduction.count).filter { !reduction.copies($0) }
    guard !made.isEmpty else { return kept }
    kept.replace(made, with: CacheRows(blended(x, reduction, anchors, mass).gathered(made), like: rows))
    return kept
  }

  /// The new rows, each summed in member order with every operation rounded (the order official code uses when the
  /// destination comes first and its sources follow as matched).
  private func blended(_ x: Tensor, _ reduction: Reduction, _ anchors: [Int], _ mass: [Float]) -> Tensor {
    if reduction.blend == .copy { return x.gathered(anchors) }
    if case .entries(let keys, let values) = reduction.blend {
      // Of keys and values by themselves.
      let parts = zip(split(into: 2), [keys, values]).map { part, weights in
        part.blended(part.x, reduction.blended(.weighted(weights)), anchors, mass)
      }
      return Tensor(sideBySide: parts)
    }
    let width = x.width
    return Tensor(shape: [reduction.count, width]) { out in
      x.values.withUnsafeBufferPointer { source in
        for row in 0..<reduction.count {
          let target = out + row * width
          target.update(repeating: 0, count: width)
          var divisor: Float = 0
          for slot in Int(reduction.offsets[row])..<Int(reduction.offsets[row + 1]) {
            let member = Int(reduction.members[slot])
            let weight: Float
            switch reduction.blend {
            case .byMass: (weight, divisor) = (mass[member], divisor + mass[member])
            case .weighted(let weights): (weight, divisor) = (weights[slot], 1)
            case .copy, .byCount, .entries: (weight, divisor) = (1, divisor + 1)
            }
            vtok_accumulate(target, source.baseAddress! + member * width, width, weight)
          }
          if case .weighted = reduction.blend { continue }
          vtok_divide(target, width, divisor)
        }
      }
    }
  }
}
