import CVTokKernels

/// Softmax of one vector, the maximum subtracted first.
public func softmax(_ logits: [Float]) -> [Float] {
  var row = logits
  vtok_softmax_rows(&row, 1, row.count, row.count, nil)
  return row
}

/// `values / |values|`; a vector of zeros stays zero.
public func normalised(_ values: [Float]) -> [Float] {
  var out = values
  _ = vtok_exact_normalise(values, 1, values.count, &out)
  return out
}
