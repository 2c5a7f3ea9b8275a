import VTokCore
import VTokLibC
import VTokTensor

extension Attention {
  /// Keys and values of one KV head.
  struct Keys {
    enum Place {
      /// float32: a key, its value behind it, entries at a distance of `stride`.
      case exact(Shared<Float>, stride: Int)
      /// In fewer bits.
      case packed(keys: CacheRows.Group, values: CacheRows.Group)
    }
    let place: Place
    let headDim: Int, count: Int
    let ids: [Int32]
    /// Added to the logits of every key; nil: nothing. `[count]`
    var bias: [Float]?

    /// float32 rows of `headDim`, at a distance of `stride`.
    typealias Rows = (pointer: UnsafeMutablePointer<Float>, stride: Int)

    /// Keys of some entries: where they lie, or widened into `room`.
    func keys(_ entries: Range<Int>, _ room: UnsafeMutablePointer<Float>) -> Rows {
      switch place {
      case .exact(let first, let stride): (first.pointer + entries.lowerBound * stride, stride)
      case .packed(let keys, _): widened(keys, entries, room)
      }
    }

    /// Values of the same, which a probe may not have.
    func values(_ entries: Range<Int>, _ room: UnsafeMutablePointer<Float>) -> Rows {
      switch place {
      case .exact(let first, let stride): (first.pointer + entries.lowerBound * stride + headDim, stride)
      case .packed(_, let values): widened(values, entries, room)
      }
    }

    private func widened(_ group: CacheRows.Group, _ entries: Range<Int>, _ room: UnsafeMutablePointer<Float>) -> Rows {
      group.widen(entries, into: room, stride: headDim)
      return (room, headDim)
    }
  }
}

/// The keys of every KV head of a cache, while `body` runs.
/// - Parameter massBias: whether attention counts what an entry stands for.
func withKeys(
  of cache: [TokenSequence], _ shape: Shape.Decoder, massBias: Bool = false, _ body: ([Attention.Keys]) -> Void
) {
  func collect(_ rest: ArraySlice<TokenSequence>, _ keys: [Attention.Keys]) {
    guard let sequence = rest.first else { return body(keys) }
    let bias = massBias ? sequence.logMass : nil
    withPlaces(of: sequence, shape.headDim) { places in
      let own = places.map {
        Attention.Keys(place: $0, headDim: shape.headDim, count: sequence.count, ids: sequence.id, bias: bias)
      }
      collect(rest.dropFirst(), keys + own)
    }
  }
  collect(cache[...], [])
}

/// Where the KV heads of one sequence of a cache lie.
private func withPlaces(of sequence: TokenSequence, _ headDim: Int, _ body: ([Attention.Keys.Place]) -> Void) {
  if let packed = sequence.packed {
    return packed.withGroups { groups in
      body(stride(from: 0, to: groups.count, by: 2).map { .packed(keys: groups[$0], values: groups[$0 + 1]) })
    }
  }
  sequence.x.values.withUnsafeBufferPointer { values in
    let first = UnsafeMutablePointer(mutating: values.baseAddress!)
    body(
      stride(from: 0, to: sequence.width, by: 2 * headDim).map {
        .exact(Shared(first + $0), stride: sequence.width)
      })
  }
}

extension TokenSequence {
  /// What a row adds to attention for standing for several; nil: every row stands for itself.
  var logMass: [Float]? { mass.contains { $0 != 1 } ? mass.map(logf) : nil }
}
