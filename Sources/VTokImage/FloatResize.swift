import VTokTensor

extension ImageProcessor {
  /// Rescaled, then resized in float32 with a filter that widens with the scale, as torchvision does to real pictures; then
  /// cropped and normalised. `[3, height, width]`
  /// - Precondition: nothing is padded to a square.
  func resizedInFloat(_ image: Image) -> Tensor {
    precondition(padToSquare == nil, "pictures that are resized in float32 are not padded first")
    let plan = plan(image.size)
    let (width, height) = (image.width, image.height)
    let (columns, rows) = (filter.taps(width, plan.resized.width), filter.taps(height, plan.resized.height))
    let (x, y, size) = (plan.x, plan.y, plan.crop)
    return Tensor(shape: [3, size.height, size.width]) { out in
      for channel in 0..<3 {
        var wide = [Float](repeating: 0, count: height * plan.resized.width)
        for row in 0..<height {
          for (column, taps) in columns.enumerated() {
            var sum: Float = 0
            for (source, weight) in taps {
              sum += weight * (Float(image.rgb[(row * width + source) * 3 + channel]) * Float(rescale))
            }
            wide[row * plan.resized.width + column] = sum
          }
        }
        for row in 0..<size.height {
          for column in 0..<size.width {
            var sum: Float = 0  // what a crop adds around a picture is black
            if rows.indices.contains(row + y), columns.indices.contains(column + x) {
              for (source, weight) in rows[row + y] { sum += weight * wide[source * plan.resized.width + column + x] }
            }
            out[(channel * size.height + row) * size.width + column] = (sum - mean[channel]) / std[channel]
          }
        }
      }
    }
  }
}

extension Resample {
  /// Source indices and weights of every output along one axis; an axis that keeps its length is left as it is.
  fileprivate func taps(_ input: Int, _ output: Int) -> [[(Int, Float)]] {
    if input == output { return (0..<input).map { [($0, 1)] } }
    let scale = Double(input) / Double(output)
    let stretch = max(scale, 1)
    return (0..<output).map { index in
      let center = (Double(index) + 0.5) * scale
      let low = max(Int(center - support * stretch + 0.5), 0)
      let high = min(Int(center + support * stretch + 0.5), input)
      let weights = (low..<high).map { value((Double($0) - center + 0.5) / stretch) }
      let total = weights.reduce(0, +)
      return zip(low..<high, weights).map { ($0, Float($1 / total)) }
    }
  }
}
