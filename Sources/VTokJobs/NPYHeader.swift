import VTokWeights

/// What stands before the values in a file of NumPy (`.npy`, version 1.0).
enum NPYHeader {
  /// - Returns: nil for a type that NumPy does not have.
  static func bytes(_ type: ElementType, shape: [Int]) -> [UInt8]? {
    let types: [ElementType: String] = [
      .f16: "<f2", .f32: "<f4", .f64: "<f8", .i64: "<i8", .i32: "<i4", .u8: "|u1",
    ]
    guard let name = types[type] else { return nil }
    let sizes = shape.map(String.init).joined(separator: ", ") + (shape.count == 1 ? "," : "")
    let text = "{'descr': '\(name)', 'fortran_order': False, 'shape': (\(sizes)), }"
    // Values begin at a multiple of 64 bytes; a line end comes before them.
    let length = (10 + text.utf8.count + 1 + 63) / 64 * 64 - 10
    return [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(length & 255), UInt8(length >> 8)] + Array(text.utf8)
      + [UInt8](repeating: 32, count: length - text.utf8.count - 1) + [10]
  }
}
