import CVTokKernels

/// The largest index wins nothing here: of equal values the first is returned. `nil` for an empty sequence.
public func argmax(_ values: some Collection<Float>) -> Int? {
  var best: Int?
  var top = -Float.infinity
  for (index, value) in values.enumerated() where best == nil || value > top {
    best = index
    top = value
  }
  return best
}

/// Indices of the `k` largest values, best first; among equal values the smaller index comes first. NaN ranks last.
/// O(n log n).
public func topK(_ values: [Float], _ k: Int) -> [Int] {
  precondition((0...values.count).contains(k), "top \(k) of \(values.count)")
  func key(_ index: Int) -> Float { values[index].isNaN ? -.infinity : values[index] }
  return Array(values.indices.sorted { (key($0), $1) > (key($1), $0) }.prefix(k))
}
