/// A form of attention that a method defines itself, for what is neither probabilities nor logits. Rows are given to it as
/// they are formed, so that sums over rows need no matrix.
///
/// It may depend on seed and step: what it makes is never taken from one run for another.
public protocol AttentionForm: Hashable, Sendable {
  /// What becomes of a row.
  /// - Parameter logits: of one query of one head, scaled, before the softmax; an entry for each of `row.keys`.
  /// - Returns: as many numbers.
  func callAsFunction(_ logits: [Float], of row: AttentionRow) -> [Float]
}

/// Where a row of attention stands.
public struct AttentionRow: Sendable {
  /// Of the run.
  public let seed: UInt64
  /// 0 = prefill, then one more for every token decoded.
  public let step: Int
  public let layer: Int, head: Int
  /// Ids of the row and of the keys that it sees.
  public let query: Int32, keys: ArraySlice<Int32>

  public init(seed: UInt64, step: Int, layer: Int, head: Int, query: Int32, keys: ArraySlice<Int32>) {
    self.seed = seed
    self.step = step
    self.layer = layer
    self.head = head
    self.query = query
    self.keys = keys
  }
}
