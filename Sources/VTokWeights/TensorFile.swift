import VTokTensor

/// Element types of weight files by their safetensors names, and the block types of GGUF files by theirs. Not all can be
/// read as something.
public enum ElementType: String, Sendable, CaseIterable {
  case bool = "BOOL"
  case u8 = "U8"
  case i8 = "I8"
  case u16 = "U16"
  case i16 = "I16"
  case u32 = "U32"
  case i32 = "I32"
  case u64 = "U64"
  case i64 = "I64"
  case f8e5m2 = "F8_E5M2"
  case f8e4m3 = "F8_E4M3"
  case f8e8m0 = "F8_E8M0"
  case f16 = "F16"
  case bf16 = "BF16"
  case f32 = "F32"
  case f64 = "F64"
  case c64 = "C64"
  case q40 = "Q4_0"
  case q41 = "Q4_1"
  case q50 = "Q5_0"
  case q51 = "Q5_1"
  case q80 = "Q8_0"
  case q2K = "Q2_K"
  case q3K = "Q3_K"
  case q4K = "Q4_K"
  case q5K = "Q5_K"
  case q6K = "Q6_K"
  case iq4NL = "IQ4_NL"
  case iq4XS = "IQ4_XS"

  /// Types whose elements fill whole bytes each.
  public static let plain = allCases.filter { $0.block == nil }

  /// What elements of this type share a block with; nil for those that fill whole bytes each.
  public var block: BlockType? { BlockType(rawValue: rawValue) }

  /// Bytes of one element, or of one block.
  public var size: Int {
    switch self {
    case .bool, .u8, .i8, .f8e5m2, .f8e4m3, .f8e8m0: 1
    case .u16, .i16, .f16, .bf16: 2
    case .u32, .i32, .f32: 4
    case .u64, .i64, .f64, .c64: 8
    default: block!.bytes
    }
  }
}

/// One tensor of a file.
public struct TensorEntry: Sendable, Equatable {
  public let name: String
  public let type: ElementType
  /// Sizes of the axes, outermost first; empty for a scalar.
  public let shape: [Int]
  /// Where the elements lie, in bytes from the start of the file.
  public let range: Range<Int>
  /// Elements from one index to the next, axis by axis, where they do not lie in row-major order (a transposed matrix).
  public let strides: [Int]?
  /// Path of the file.
  public let file: String
  public var count: Int { shape.reduce(1, *) }

  /// Some rows of it: they lie one after the other.
  func rows(_ rows: Range<Int>) -> TensorEntry {
    let size = range.count / max(shape[0], 1)
    let first = range.lowerBound + rows.lowerBound * size
    return TensorEntry(
      name: name, type: type, shape: [rows.count] + shape.dropFirst(), range: first..<first + rows.count * size,
      file: file)
  }

  init(name: String, type: ElementType, shape: [Int], range: Range<Int>, strides: [Int]? = nil, file: String) {
    self.name = name
    self.type = type
    self.shape = shape
    self.range = range
    self.strides = strides
    self.file = file
  }
}

/// A file of named tensors, whatever its format. Opening one checks all that describes them and touches none.
public protocol TensorFile: Sendable {
  var file: MappedFile { get }
  /// The tensors in the order of their bytes.
  var entries: [TensorEntry] { get }
  /// Texts about the file.
  var metadata: [String: String] { get }
  func entry(_ name: String) -> TensorEntry?
  /// Checks a tensor's bytes, where the format can, before they are used.
  func verify(_ entry: TensorEntry) throws(WeightError)
}

extension TensorFile {
  public var metadata: [String: String] { [:] }
  public func verify(_ entry: TensorEntry) throws(WeightError) {}

  /// A floating-point tensor as float32: F16, BF16 and block types exactly, F64 rounded to nearest.
  public func tensor(_ name: String) throws(WeightError) -> Tensor { try tensor(required(name)) }

  /// The same of a tensor of this file, or of some rows of one.
  func tensor(_ entry: TensorEntry) throws(WeightError) -> Tensor {
    let count = entry.count
    if entry.type == .f64 {
      return try withElements(entry) { source in
        Tensor(shape: entry.shape) { out in
          for index in 0..<count {
            out[index] = Float(source.loadUnaligned(fromByteOffset: index * 8, as: Double.self))
          }
        }
      }
    }
    if let block = entry.type.block {
      return try withElements(entry) { source in
        Tensor(shape: entry.shape) { out in
          if let base = source.baseAddress { block.dequantise(base, count, into: out) }
        }
      }
    }
    let weight = try weight(entry, rows: 1, columns: count)
    return Tensor(shape: entry.shape) { weight.widen(rows: 0..<1, into: $0) }
  }

  /// The matrix `[shape[0], product of the rest]`, left in the file and in its own precision (F32, F16, BF16). It is
  /// copied only if its bytes are not aligned to its elements or not in row-major order.
  public func weight(_ name: String) throws(WeightError) -> Weight {
    let entry = try required(name)
    guard entry.shape.count >= 2 else {
      throw WeightError(
        .shape, file.path, tensor: name, found: "shape \(entry.shape)", expected: "a matrix of two or more axes",
        fix: "Check that the checkpoint is of the model that its config.json says.")
    }
    let rows = entry.shape[0]
    return try weight(entry, rows: rows, columns: rows == 0 ? 0 : entry.count / rows)
  }

  /// The same of a tensor of this file, or of some rows of one, of block types too.
  /// - Parameter rounding: of products with a block type, as `Weight.init(_:rounding:)`.
  func weight(_ entry: TensorEntry, rounding: Bool) throws(WeightError) -> Weight {
    let rows = entry.shape.first ?? 1
    let columns = rows == 0 ? 0 : entry.count / rows
    guard let type = entry.type.block else { return try weight(entry, rows: rows, columns: columns) }
    return Weight(try blocks(entry, type, rows: rows, columns: columns), rounding: rounding)
  }

  /// The matrix `[product of the others, last axis]` of a block type, left in the file; a tensor of one axis is one row.
  public func blocks(_ name: String) throws(WeightError) -> BlockWeight {
    let entry = try required(name)
    guard let type = entry.type.block, let columns = entry.shape.last else {
      throw unsuitable(entry, "one of \(BlockType.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return try blocks(entry, type, rows: columns == 0 ? 0 : entry.count / columns, columns: columns)
  }

  private func blocks(
    _ entry: TensorEntry, _ type: BlockType, rows: Int, columns: Int
  ) throws(WeightError) -> BlockWeight {
    try withElements(entry) { source in
      BlockWeight(
        rows: rows, columns: columns, type: type, base: source.baseAddress ?? UnsafeRawPointer(bitPattern: 64)!,
        owner: file)
    }
  }

  private func weight(_ entry: TensorEntry, rows: Int, columns: Int) throws(WeightError) -> Weight {
    guard let type = WeightType(rawValue: entry.type.rawValue) else {
      throw unsuitable(entry, "F32, F16 or BF16")
    }
    return try withElements(entry) { source in
      if entry.strides == nil, let base = source.baseAddress, !source.isEmpty,
        UInt(bitPattern: base) % UInt(type.size) == 0
      {
        return Weight(rows: rows, columns: columns, type: type, base: base, owner: file)
      }
      let copy = MappedFile(copying: source, name: file.path)
      return Weight(rows: rows, columns: columns, type: type, base: copy.bytes.baseAddress!, owner: copy)
    }
  }

  /// The elements of an integer or boolean tensor, row-major.
  public func integers(_ name: String) throws(WeightError) -> [Int64] {
    let entry = try required(name)
    switch entry.type {
    case .i64: return try load(entry, Int64.self)
    case .i32: return try load(entry, Int32.self)
    case .u32: return try load(entry, UInt32.self)
    case .i16: return try load(entry, Int16.self)
    case .u16: return try load(entry, UInt16.self)
    case .i8: return try load(entry, Int8.self)
    case .u8, .bool: return try load(entry, UInt8.self)
    default: throw unsuitable(entry, "an integer type up to I64")
    }
  }

  /// The elements of a U8 or BOOL tensor, row-major.
  public func bytes(_ name: String) throws(WeightError) -> [UInt8] {
    let entry = try required(name)
    guard entry.type == .u8 || entry.type == .bool else { throw unsuitable(entry, "U8 or BOOL") }
    return try withElements(entry) { Array($0) }
  }

  private func load<Element: FixedWidthInteger & BitwiseCopyable>(
    _ entry: TensorEntry, _: Element.Type
  ) throws(WeightError) -> [Int64] {
    try withElements(entry) { source in
      stride(from: 0, to: source.count, by: MemoryLayout<Element>.size).map {
        Int64(source.loadUnaligned(fromByteOffset: $0, as: Element.self))
      }
    }
  }

  /// Calls `body` with the elements of a tensor in row-major order, as they lie in the file where they lie like that.
  private func withElements<Result>(
    _ entry: TensorEntry, _ body: (UnsafeRawBufferPointer) -> Result
  ) throws(WeightError) -> Result {
    try verify(entry)
    guard let strides = entry.strides else {
      return file.withBytes { body(UnsafeRawBufferPointer(rebasing: $0[entry.range])) }
    }
    let size = entry.type.size
    let ordered = file.withBytes { bytes in
      let source = UnsafeRawBufferPointer(rebasing: bytes[entry.range])
      var index = [Int](repeating: 0, count: strides.count)
      var at = 0
      var ordered: [UInt8] = []
      ordered.reserveCapacity(entry.count * size)
      for _ in 0..<entry.count {
        ordered.append(contentsOf: source[at * size..<(at + 1) * size])
        for axis in strides.indices.reversed() {  // the next index, last axis first
          index[axis] += 1
          at += strides[axis]
          if index[axis] < entry.shape[axis] { break }
          at -= index[axis] * strides[axis]
          index[axis] = 0
        }
      }
      return ordered
    }
    return ordered.withUnsafeBytes(body)
  }

  func required(_ name: String) throws(WeightError) -> TensorEntry {
    if let entry = entry(name) { return entry }
    throw WeightError(
      .missingTensor, file.path, tensor: name, found: "no such tensor among \(entries.count)", expected: "the tensor",
      fix: similarNames(name, in: entries.lazy.map(\.name)))
  }

  private func unsuitable(_ entry: TensorEntry, _ expected: String) -> WeightError {
    WeightError(
      .unsuitableType, file.path, tensor: entry.name, found: "elements of type \(entry.type.rawValue)",
      expected: expected, fix: "Quantised checkpoints are not read: use the original in half precision.")
  }
}
