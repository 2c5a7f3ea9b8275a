import VTokTensor

extension Tensor {
  /// An image `[3, height, width]` as the rows that a patch convolution multiplies: patches row by row, each as (channel,
  /// row, column). `[patches, 3 * patch * patch]`; rows and columns that do not fill a patch are dropped.
  package func patches(_ patch: Int) -> Tensor {
    let (height, width) = (shape[1], shape[2])
    let (rows, columns) = (height / patch, width / patch)
    return Tensor(shape: [rows * columns, 3 * patch * patch]) { out in
      values.withUnsafeBufferPointer { source in
        var target = out
        for row in 0..<rows {
          for column in 0..<columns {
            for channel in 0..<3 {
              var from = source.baseAddress! + (channel * height + row * patch) * width + column * patch
              for _ in 0..<patch {
                target.update(from: from, count: patch)
                target += patch
                from += width
              }
            }
          }
        }
      }
    }
  }
}
