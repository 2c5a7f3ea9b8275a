import VTokTensor
import VTokWeights

/// Writes GGUF files, right and wrong ones.
struct GGUFBuilder {
  var version: UInt32 = 3
  var alignment = 32
  /// What the head says, where it is not the truth.
  var tensorCount: UInt64?, valueCount: UInt64?
  private(set) var values: [[UInt8]] = []
  private(set) var tensors: [(info: [UInt8], data: [UInt8], offset: UInt64?)] = []

  static func number<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian, Array.init)
  }
  static func text(_ bytes: [UInt8]) -> [UInt8] { number(UInt64(bytes.count)) + bytes }
  static func text(_ text: String) -> [UInt8] { Self.text(Array(text.utf8)) }

  mutating func add(_ key: String, type: UInt32, _ bytes: [UInt8]) { add(Array(key.utf8), type: type, bytes) }
  mutating func add(_ key: [UInt8], type: UInt32, _ bytes: [UInt8]) {
    values.append(Self.text(key) + Self.number(type) + bytes)
  }
  mutating func add(_ key: String, _ value: UInt32) { add(key, type: 4, Self.number(value)) }
  mutating func add(_ key: String, _ value: UInt16) { add(key, type: 2, Self.number(value)) }
  mutating func add(_ key: String, _ value: Int32) { add(key, type: 5, Self.number(value)) }
  mutating func add(_ key: String, _ text: String) { add(key, type: 8, Self.text(text)) }
  mutating func add(_ key: String, _ number: Float) { add(key, type: 6, Self.number(number.bitPattern)) }
  mutating func add(_ key: String, _ flag: Bool) { add(key, type: 7, [flag ? 1 : 0]) }
  mutating func add(_ key: String, _ texts: [String]) { add(key, array: 8, texts.map { Self.text($0) }) }
  mutating func add(_ key: String, _ numbers: [Int32]) { add(key, array: 5, numbers.map { Self.number($0) }) }
  mutating func add(_ key: String, _ numbers: [Float]) {
    add(key, array: 6, numbers.map { Self.number($0.bitPattern) })
  }
  private mutating func add(_ key: String, array type: UInt32, _ elements: [[UInt8]]) {
    add(key, type: 9, Self.number(type) + Self.number(UInt64(elements.count)) + elements.flatMap(\.self))
  }
  mutating func remove(_ key: String) { values.removeAll { $0.starts(with: Self.text(key)) } }

  /// - Parameters:
  ///   - shape: row-major.
  ///   - offset: where it begins, if not behind the one before it.
  mutating func add(_ name: String, shape: [UInt64], type: UInt32, _ data: [UInt8], offset: UInt64? = nil) {
    var info = Self.text(name) + Self.number(UInt32(shape.count))
    for size in shape.reversed() { info += Self.number(size) }
    tensors.append((info + Self.number(type), data, offset))
  }
  mutating func add(_ name: String, _ tensor: Tensor) {
    add(name, shape: tensor.shape.map(UInt64.init), type: 0, tensor.values.withUnsafeBytes(Array.init))
  }

  mutating func removeTensor(_ name: String) { tensors.removeAll { $0.info.starts(with: Self.text(name)) } }

  var bytes: [UInt8] {
    var out = Array("GGUF".utf8) + Self.number(version)
    out += Self.number(tensorCount ?? UInt64(tensors.count)) + Self.number(valueCount ?? UInt64(values.count))
    for value in values { out += value }
    var data: [UInt8] = []
    for tensor in tensors {
      let offset = tensor.offset ?? UInt64(data.count)
      out += tensor.info + Self.number(offset)
      if offset <= 1 << 20 {
        let end = Int(offset) + tensor.data.count
        if data.count < end { data += repeatElement(0, count: end - data.count) }
        data.replaceSubrange(Int(offset)..<end, with: tensor.data)
      }
      data += repeatElement(0, count: (alignment - data.count % alignment) % alignment)
    }
    out += repeatElement(0, count: (alignment - out.count % alignment) % alignment)
    return out + data
  }

  func opened() throws(WeightError) -> GGUFFile {
    let file = bytes.withUnsafeBytes { MappedFile(copying: $0, name: "test.gguf") }
    return try GGUFFile(file)
  }
}
