import CVTokKernels

/// Rows of a cache in fewer bits than float32, in groups of numbers that are rounded by themselves: the key and the value of every
/// head. A value, as a `Tensor` is; rows and columns move without being rounded again.
package struct CacheRows: Sendable, Equatable {
  /// Numbers of a group, and of a row.
  package let group: Int, width: Int
  package private(set) var count: Int
  private let kind: vtok_cache_kind
  /// `[count, width / group]` groups of `size` bytes.
  private var bytes: [UInt8]

  package var byteCount: Int { bytes.count }
  private var size: Int { vtok_cache_bytes(kind, group) }
  private var stride: Int { width / group * size }

  /// - Parameters:
  ///   - x: `[count, width]`
  ///   - precision: not `.f32`.
  ///   - room: rows that may be added before they move.
  package init(_ x: Tensor, _ precision: CachePrecision, group: Int, room: Int = 0, threads: Int = 1) {
    guard let kind = precision.kind else { preconditionFailure("float32 is not rounded") }
    self.init(x, kind, group: group, room: room, threads: threads)
  }

  /// Rows as wide as those of `other`, rounded as they are.
  package init(_ x: Tensor, like other: CacheRows) { self.init(x, other.kind, group: other.group, room: 0, threads: 1) }

  private init(_ x: Tensor, _ kind: vtok_cache_kind, group: Int, room: Int, threads: Int) {
    precondition(x.width % group == 0, "\(x.width) numbers in groups of \(group)")
    let (rows, width, stride) = (x.rows, x.width, x.width / group * vtok_cache_bytes(kind, group))
    (self.kind, self.group, self.width, count) = (kind, group, width, rows)
    bytes = [UInt8](unsafeUninitializedCapacity: (rows + room) * stride) { buffer, initialized in
      initialized = rows * stride
      guard let base = buffer.baseAddress, rows > 0 else { return }
      let out = Shared(base)
      x.values.withUnsafeBufferPointer {
        let x = Shared(UnsafeMutablePointer(mutating: $0.baseAddress!))
        parallel(0..<rows, unit: 16, threads: threads) { first, count in
          vtok_cache_round(
            kind, x.pointer + first * width, count * (width / group), group, out.pointer + first * stride)
        }
      }
    }
  }

  private init(_ bytes: [UInt8], _ count: Int, width: Int, like other: CacheRows) {
    (kind, group) = (other.kind, other.group)
    (self.bytes, self.count, self.width) = (bytes, count, width)
  }

  /// As float32. `[count, columns]`
  /// - Parameter columns: whole groups; nil: all.
  package func widened(_ columns: Range<Int>? = nil) -> Tensor {
    let columns = columns ?? 0..<width
    return Tensor(shape: [count, columns.count]) { out in
      withGroups { groups in
        for (place, index) in (columns.lowerBound / group..<columns.upperBound / group).enumerated() {
          groups[index].widen(0..<count, into: out + place * group, stride: columns.count)
        }
      }
    }
  }

  /// Rows `indices`, in that order.
  package func gathered(_ indices: [Int]) -> CacheRows {
    var rows: [UInt8] = []
    rows.reserveCapacity(indices.count * stride)
    for index in indices { rows += bytes[index * stride..<(index + 1) * stride] }
    return CacheRows(rows, indices.count, width: width, like: self)
  }

  /// - Parameter range: whole groups.
  package func columns(_ range: Range<Int>) -> CacheRows {
    precondition(
      range.lowerBound % group == 0 && range.upperBound % group == 0, "columns \(range) of groups of \(group)")
    let part = range.lowerBound / group * size..<range.upperBound / group * size
    var rows: [UInt8] = []
    rows.reserveCapacity(count * part.count)
    for row in 0..<count { rows += bytes[row * stride + part.lowerBound..<row * stride + part.upperBound] }
    return CacheRows(rows, count, width: range.count, like: self)
  }

  /// Adds rows behind the last one. Amortised: memory grows by an eighth, as a tensor's does.
  package mutating func append(_ other: CacheRows) {
    precondition(
      other.width == width && other.group == group && other.kind == kind, "rows of another form behind those of a cache"
    )
    let needed = bytes.count + other.bytes.count
    if bytes.capacity < needed { bytes.reserveCapacity(needed + max(needed / 8, 16 * stride)) }
    bytes += other.bytes
    count += other.count
  }

  /// Puts other rows in the places of some.
  package mutating func replace(_ indices: [Int], with rows: CacheRows) {
    for (place, index) in indices.enumerated() {
      bytes.replaceSubrange(
        index * stride..<(index + 1) * stride, with: rows.bytes[place * stride..<(place + 1) * stride])
    }
  }

  /// Rewrites one group of a row, which is rounded again.
  package mutating func rewrite(_ row: Int, column: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) {
    let (kind, group, at) = (kind, group, row * stride + column / group * size)
    withUnsafeTemporaryAllocation(of: Float.self, capacity: group) { numbers in
      bytes.withUnsafeMutableBytes { bytes in
        let own = bytes.baseAddress! + at
        vtok_cache_widen(kind, own, 1, 0, group, numbers.baseAddress!, 0)
        body(numbers.baseAddress!)
        vtok_cache_round(kind, numbers.baseAddress!, 1, group, own)
      }
    }
  }

  /// The same group of all rows, where it lies.
  package struct Group: Sendable {
    fileprivate let kind: vtok_cache_kind
    fileprivate let bytes: Shared<UInt8>, stride: Int, numbers: Int

    /// As float32.
    /// - Parameter stride: from row to row of `out`.
    package func widen(_ rows: Range<Int>, into out: UnsafeMutablePointer<Float>, stride ldo: Int) {
      vtok_cache_widen(kind, bytes.pointer + rows.lowerBound * stride, rows.count, stride, numbers, out, ldo)
    }
  }

  /// Of every head key, then value, while `body` runs.
  package func withGroups<Result>(_ body: ([Group]) throws -> Result) rethrows -> Result {
    try bytes.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return try body([]) }
      return try body(
        (0..<width / group).map {
          Group(
            kind: kind, bytes: Shared(UnsafeMutablePointer(mutating: base + $0 * size)), stride: stride, numbers: group)
        })
    }
  }
}
