import VTokTensor

extension Safetensors {
  /// A tensor to be written.
  public enum Value: Sendable, Equatable {
    case f32(Tensor)
    /// Rounded to float16, to nearest, ties to even.
    case f16(Tensor)
    case i64([Int64], shape: [Int])
    case u8([UInt8], shape: [Int])

    var type: ElementType {
      switch self {
      case .f32: .f32
      case .f16: .f16
      case .i64: .i64
      case .u8: .u8
      }
    }
    var shape: [Int] {
      switch self {
      case .f32(let tensor), .f16(let tensor): tensor.shape
      case .i64(_, let shape), .u8(_, let shape): shape
      }
    }
    var count: Int {
      switch self {
      case .f32(let tensor), .f16(let tensor): tensor.values.count
      case .i64(let values, _): values.count
      case .u8(let values, _): values.count
      }
    }
    var rank: Int {  // types in the order in which the official writer lays them out, widest first
      switch self {
      case .i64: 0
      case .f32: 1
      case .f16: 2
      case .u8: 3
      }
    }
  }

  /// The bytes of a safetensors file with these tensors, the same for the same tensors in any order. The layout is that
  /// of the official writer: wide types first, then by name, so that every tensor is aligned to its elements.
  public static func encode(
    _ tensors: [(String, Value)], metadata: [String: String] = [:]
  ) throws(WeightError) -> [UInt8] {
    let plan = try SafetensorsPlan(tensors, metadata: metadata, file: "safetensors")
    var out: [UInt8] = []
    out.reserveCapacity(plan.byteCount)
    plan.emit { out.append(contentsOf: $0) }
    return out
  }

  /// Writes the file whole or not at all.
  public static func write(
    _ tensors: [(String, Value)], metadata: [String: String] = [:], to path: String
  ) throws(WeightError) {
    let plan = try SafetensorsPlan(tensors, metadata: metadata, file: path)
    try WholeFile.write(to: path, count: plan.byteCount, plan.emit)
  }
}

/// The order and the header of a file to be written.
private struct SafetensorsPlan {
  let values: [Safetensors.Value]
  let header: [UInt8]  // with its length, padded to a multiple of 8
  let byteCount: Int

  init(
    _ tensors: [(String, Safetensors.Value)], metadata: [String: String], file: String
  ) throws(WeightError) {
    let sorted = tensors.sorted {
      $0.1.rank != $1.1.rank ? $0.1.rank < $1.1.rank : $0.0.utf8.lexicographicallyPrecedes($1.0.utf8)
    }
    var object = JSONObject()
    if !metadata.isEmpty {
      let pairs = metadata.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
      object["__metadata__"] = .object(JSONObject(pairs.map { ($0.key, JSON($0.value)) }))
    }
    var offset = 0
    for (name, value) in sorted {
      precondition(
        value.count == value.shape.reduce(1, *), "\(value.count) values cannot have the shape \(value.shape)")
      let end = offset + value.count * value.type.size
      let entry: JSON = [
        "dtype": JSON(value.type.rawValue), "shape": JSON(value.shape), "data_offsets": [JSON(offset), JSON(end)],
      ]
      guard ExactString(name) != ExactString("__metadata__"), object.append(name, entry) else {
        throw WeightError(
          .write, file, tensor: name, found: "a name that is taken", expected: "names that differ",
          fix: "Give every tensor a name of its own, none of them `__metadata__`.")
      }
      offset = end
    }
    var text: [UInt8] = []
    JSON.object(object).write(to: &text, indent: nil)
    text.append(contentsOf: repeatElement(0x20, count: (8 - text.count % 8) % 8))
    header = withUnsafeBytes(of: UInt64(text.count).littleEndian, Array.init) + text
    values = sorted.map(\.1)
    byteCount = header.count + offset
  }

  func emit(_ sink: (UnsafeRawBufferPointer) -> Void) {
    header.withUnsafeBytes(sink)
    for value in values {
      switch value {
      case .f32(let tensor): tensor.values.withUnsafeBytes(sink)
      case .i64(let values, _): values.withUnsafeBytes(sink)
      case .u8(let values, _): values.withUnsafeBytes(sink)
      case .f16(let tensor):
        for start in stride(from: 0, to: tensor.values.count, by: 1 << 16) {
          let part = tensor.values[start..<min(start + 1 << 16, tensor.values.count)]
          part.map(halfBits).withUnsafeBytes(sink)
        }
      }
    }
  }
}
