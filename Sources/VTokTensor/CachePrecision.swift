import CVTokKernels

/// How a cache holds keys and values, chosen beside `Precision` and recorded in every result.
///
/// They are rounded when they are stored, and attention reads what is stored, of the rows that pass too: a prompt gives the same
/// bits in one pass and in two, and answers are those over a float32 cache of the rounded numbers. Queries, sums, softmax and
/// what methods look at are float32, and so are the states of gated delta nets.
public enum CachePrecision: String, Sendable, CaseIterable {
  /// As they were formed; the default.
  case f32
  /// Rounded to bfloat16, to nearest even: half the bytes.
  case bf16
  /// Rounded to 8 bits, the key and the value of every head in every entry by themselves: their largest magnitude / 127 is the
  /// scale, halves go to even. About a quarter of the bytes.
  case int8

  /// nil: float32, which is not rounded.
  var kind: vtok_cache_kind? {
    switch self {
    case .f32: nil
    case .bf16: VTOK_CACHE_BF16
    case .int8: VTOK_CACHE_INT8
    }
  }

  /// Bytes of so many numbers that are rounded together: the key, or the value, of one head in one entry.
  package func bytes(of numbers: Int) -> Int { kind.map { vtok_cache_bytes($0, numbers) } ?? 4 * numbers }
}
