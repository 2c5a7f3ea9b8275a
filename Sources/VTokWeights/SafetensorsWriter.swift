import VTokTensor

extension Safetensors {
  /// A tensor to be written.
  public enum Value: Sendable, Equatable {
    case f32(Tensor)
    /// Rounded to float16, to nearest, ties to even.
    case f16(Tensor)
    case i64([Int64], shape: [Int])
    case u8([UInt8], shape: [Int])
    /// Bytes of any type that lie in a file already.
    case stored(ElementType, shape: [Int], StoredBytes)

    public var type: ElementType {
      switch self {
      case .f32: .f32
      case .f16: .f16
      case .i64: .i64
      case .u8: .u8
      case .stored(let type, _, _): type
      }
    }
    public var shape: [Int] {
      switch self {
      case .f32(let tensor), .f16(let tensor): tensor.shape
      case .i64(_, let shape), .u8(_, let shape), .stored(_, let shape, _): shape
      }
    }
    var count: Int {
      switch self {
      case .f32(let tensor), .f16(let tensor): tensor.values.count
      case .i64(let values, _): values.count
      case .u8(let values, _): values.count
      case .stored(let type, _, let bytes): bytes.range.count / type.size
      }
    }
    /// Hands over the bytes as a file has them, piece by piece.
    public func emit(_ sink: (UnsafeRawBufferPointer) -> Void) {
      switch self {
      case .f32(let tensor): tensor.values.withUnsafeBytes(sink)
      case .i64(let values, _): values.withUnsafeBytes(sink)
      case .u8(let values, _): values.withUnsafeBytes(sink)
      case .stored(_, _, let bytes): bytes.withBytes(sink)
      case .f16(let tensor):
        for start in stride(from: 0, to: tensor.values.count, by: 1 << 16) {
          let part = tensor.values[start..<min(start + 1 << 16, tensor.values.count)]
          part.map(halfBits).withUnsafeBytes(sink)
        }
      }
    }
  }

  /// A range of bytes in a file.
  public struct StoredBytes: Sendable, Equatable {
    public let file: MappedFile
    public let range: Range<Int>
    public init(_ file: MappedFile, _ range: Range<Int>) {
      precondition(range.upperBound <= file.count, "bytes \(range) of a file of \(file.count)")
      self.file = file
      self.range = range
    }
    public func withBytes(_ body: (UnsafeRawBufferPointer) -> Void) {
      file.withBytes { body(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }
    public static func == (one: StoredBytes, other: StoredBytes) -> Bool {
      one.file === other.file && one.range == other.range
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
  /// - Returns: length and checksum of the file.
  @discardableResult
  public static func write(
    _ tensors: [(String, Value)], metadata: [String: String] = [:], to path: String
  ) throws(WeightError) -> FileSum {
    let plan = try SafetensorsPlan(tensors, metadata: metadata, file: path)
    return try WholeFile.write(to: path) { sink throws(WeightError) in plan.emit(sink) }
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
      // Wide types first, as the official writer lays them out.
      $0.1.type.size != $1.1.type.size
        ? $0.1.type.size > $1.1.type.size : $0.0.utf8.lexicographicallyPrecedes($1.0.utf8)
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
    for value in values { value.emit(sink) }
  }
}
