import CVTokKernels
import VTokTensor

/// A method's page in the `Trace`. The helpers compute and book at once, so no method writes FLOPs code or forgets a
/// margin; what they compute is summed in one order on every CPU.
public struct Notes: Sendable {
  /// Multiply-adds spent on selecting.
  public private(set) var macs = 0
  /// Smallest distance of any cut from flipping (difference of the last kept and the first dropped score); infinity
  /// when nothing was cut.
  public private(set) var margin = Float.infinity
  /// Intermediates by name, for goldens and overlays.
  public private(set) var kept: [String: [Float]] = [:]
  /// Rows of zeros met by `cosines`: their similarity counts as 0.
  public private(set) var zeroRows = 0
  /// Which form of itself a method ran, where the model decides; results name it behind the method, `downsample:pool`.
  public var variant: String?
  private let wanted: Bool
  /// Products and cosines go over at most so many columns, and are booked in full.
  private let columns: Int

  /// - Parameters:
  ///   - keeping: whether `keep` stores intermediates.
  ///   - rehearsing: the rows are noise, and their products noise of the same kind: few columns do.
  public init(keeping: Bool = false, rehearsing: Bool = false) {
    wanted = keeping
    columns = rehearsing ? 64 : .max
  }

  /// Indices of the `k` largest scores, best first; the smaller index wins a tie.
  public mutating func top(_ scores: [Float], _ k: Int) -> [Int] {
    let order = topK(scores, min(k + 1, scores.count))
    if k > 0, order.count > k { margin = min(margin, scores[order[k - 1]] - scores[order[k]]) }
    return Array(order.prefix(k))
  }

  /// All indices, best first, where every place counts: the smallest gap between two neighbours is booked as margin.
  public mutating func ranked(_ scores: [Float]) -> [Int] {
    let order = topK(scores, scores.count)
    for (above, below) in zip(order, order.dropFirst()) { margin = min(margin, scores[above] - scores[below]) }
    return order
  }

  /// Index of the largest value, first one on a tie; the distance to the second is booked as margin.
  public mutating func first(_ values: [Float]) -> Int {
    var best = 0
    var top = -Float.infinity
    var second = -Float.infinity
    for index in values.indices where values[index] > second {
      let value = values[index]
      if value > top {
        (best, second, top) = (index, top, value)
      } else {
        second = value
      }
    }
    if second > -.infinity { margin = min(margin, top - second) }
    return best
  }

  /// Which values lie strictly below `limit`; the smallest distance to it is booked as margin.
  public mutating func below(_ values: [Float], _ limit: Float) -> [Bool] {
    for value in values { margin = min(margin, abs(value - limit)) }
    return values.map { $0 < limit }
  }

  /// `a b^T`: a `[m, n]`, b `[k, n]`, result `[m, k]`.
  public mutating func product(_ a: Tensor, _ b: Tensor) -> Tensor {
    precondition(a.width == b.width, "product of rows of length \(a.width) and \(b.width)")
    book(macs: a.rows * b.rows * a.width)
    return formed(narrowed(a), narrowed(b))
  }

  /// Cosine similarities `[m, k]` of the rows of a `[m, n]` and b `[k, n]`; a row of zeros has cosine 0 to all.
  public mutating func cosines(_ a: Tensor, _ b: Tensor) -> Tensor {
    precondition(a.width == b.width, "cosines of rows of length \(a.width) and \(b.width)")
    book(macs: a.rows * b.rows * a.width)
    return formed(normalised(narrowed(a)), normalised(narrowed(b)))
  }

  /// Cosine similarities of the rows of a `[m, n]` with each other, `[m, m]`.
  public mutating func cosines(_ a: Tensor) -> Tensor {
    book(macs: a.rows * a.rows * a.width)
    let unit = normalised(narrowed(a))
    return Tensor(shape: [a.rows, a.rows]) { vtok_exact_squares(unit.values, unit.rows, unit.width, $0) }
  }

  private func formed(_ a: Tensor, _ b: Tensor) -> Tensor {
    Tensor(shape: [a.rows, b.rows]) { out in
      vtok_exact_products(a.values, a.rows, a.width, b.values, b.rows, b.width, a.width, out)
    }
  }

  private func narrowed(_ x: Tensor) -> Tensor {
    x.width <= columns ? x : Tensor((0..<x.rows).flatMap { x.row($0).prefix(columns) }, shape: [x.rows, columns])
  }

  /// Sums over columns of `|a - b|^power`, the largest difference for power 0: a `[m, n]`, b `[k, n]`, result `[m, k]`.
  public mutating func distances(_ a: Tensor, _ b: Tensor, power: Int32) -> Tensor {
    precondition(a.width == b.width, "distance of rows of length \(a.width) and \(b.width)")
    book(macs: a.rows * b.rows * a.width * max(1, Int(power)))
    return Tensor(shape: [a.rows, b.rows]) {
      vtok_exact_distances(a.values, a.rows, b.values, b.rows, a.width, power, $0)
    }
  }

  /// Every row divided by its length; rows of zeros stay and are counted.
  public mutating func normalised(_ x: Tensor) -> Tensor {
    Tensor(shape: x.shape) { zeroRows += vtok_exact_normalise(x.values, x.rows, x.width, $0) }
  }

  /// Books loops that are not a product (DPP, page rank).
  public mutating func book(macs: Int) { self.macs += macs }

  /// Books a margin that was found outside the helpers.
  public mutating func book(margin: Float) { self.margin = min(self.margin, margin) }

  /// Keeps an intermediate under a name; dropped unless wanted.
  public mutating func keep(_ name: String, _ values: @autoclosure () -> [Float]) {
    if wanted { kept[name] = values() }
  }
}
