import VTokTensor

/// Element types of the safetensors format that fill whole bytes. Not all can be read as something (see `Safetensors`).
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

  /// Bytes of one element.
  public var size: Int {
    switch self {
    case .bool, .u8, .i8, .f8e5m2, .f8e4m3, .f8e8m0: 1
    case .u16, .i16, .f16, .bf16: 2
    case .u32, .i32, .f32: 4
    case .u64, .i64, .f64, .c64: 8
    }
  }
}

/// A safetensors file: eight bytes with the length n of the header, n bytes of JSON, the tensors.
/// Opening checks the whole header and touches no tensor. The checks are those of the `safetensors` crate (0.4 and
/// later): the tensors must fill the rest of the file without holes and overlaps.
public struct Safetensors: Sendable {
  /// One tensor of a file.
  public struct Entry: Sendable, Equatable {
    public let name: String
    public let type: ElementType
    /// Sizes of the axes, outermost first; empty for a scalar.
    public let shape: [Int]
    /// Where the elements lie, in bytes from the start of the file.
    public let range: Range<Int>
    /// Path of the file.
    public let file: String
    public var count: Int { range.count / type.size }
  }

  /// Longest header read, in bytes, as in the official reader.
  public static let headerLimit = 100_000_000

  public let file: MappedFile
  /// The tensors in the order of their bytes.
  public let entries: [Entry]
  /// The strings under `__metadata__`.
  public let metadata: [String: String]
  private let index: [ExactString: Int]

  public init(path: String) throws(WeightError) {
    try self.init(MappedFile(path: path))
  }

  public init(_ file: MappedFile) throws(WeightError) {
    let path = file.path
    let header = try file.withBytes { bytes throws(WeightError) in try SafetensorsHeader(bytes, path: path) }
    self.file = file
    entries = header.entries
    metadata = header.metadata
    index = Dictionary(uniqueKeysWithValues: header.entries.enumerated().map { (ExactString($1.name), $0) })
  }

  public func entry(_ name: String) -> Entry? { index[ExactString(name)].map { entries[$0] } }

  /// Calls `body` with the elements of a tensor as they lie in the file.
  private func withElements<Result>(_ entry: Entry, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    file.withBytes { body(UnsafeRawBufferPointer(rebasing: $0[entry.range])) }
  }

  /// A floating-point tensor as float32: F16 and BF16 exactly, F64 rounded to nearest.
  public func tensor(_ name: String) throws(WeightError) -> Tensor {
    let entry = try required(name)
    let count = entry.count
    if entry.type == .f64 {
      return withElements(entry) { source in
        Tensor(shape: entry.shape) { out in
          for index in 0..<count {
            out[index] = Float(source.loadUnaligned(fromByteOffset: index * 8, as: Double.self))
          }
        }
      }
    }
    let weight = try weight(entry, rows: 1, columns: count)
    return Tensor(shape: entry.shape) { weight.widen(rows: 0..<1, into: $0) }
  }

  /// The matrix `[shape[0], product of the rest]`, left in the file and in its own precision (F32, F16, BF16). It is
  /// copied only if its bytes are not aligned to its elements.
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

  private func weight(_ entry: Entry, rows: Int, columns: Int) throws(WeightError) -> Weight {
    guard let type = WeightType(rawValue: entry.type.rawValue) else {
      throw unsuitable(entry, "F32, F16 or BF16")
    }
    return withElements(entry) { source in
      if let base = source.baseAddress, !source.isEmpty, UInt(bitPattern: base) % UInt(type.size) == 0 {
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
    case .i64: return load(entry, Int64.self)
    case .i32: return load(entry, Int32.self)
    case .u32: return load(entry, UInt32.self)
    case .i16: return load(entry, Int16.self)
    case .u16: return load(entry, UInt16.self)
    case .i8: return load(entry, Int8.self)
    case .u8, .bool: return load(entry, UInt8.self)
    default: throw unsuitable(entry, "an integer type up to I64")
    }
  }

  /// The elements of a U8 or BOOL tensor, row-major.
  public func bytes(_ name: String) throws(WeightError) -> [UInt8] {
    let entry = try required(name)
    guard entry.type == .u8 || entry.type == .bool else { throw unsuitable(entry, "U8 or BOOL") }
    return withElements(entry) { Array($0) }
  }

  private func load<Element: FixedWidthInteger & BitwiseCopyable>(_ entry: Entry, _: Element.Type) -> [Int64] {
    withElements(entry) { source in
      stride(from: 0, to: source.count, by: MemoryLayout<Element>.size).map {
        Int64(source.loadUnaligned(fromByteOffset: $0, as: Element.self))
      }
    }
  }

  func required(_ name: String) throws(WeightError) -> Entry {
    if let entry = entry(name) { return entry }
    throw WeightError(
      .missingTensor, file.path, tensor: name, found: "no such tensor among \(entries.count)", expected: "the tensor",
      fix: similarNames(name, in: entries.lazy.map(\.name)))
  }

  private func unsuitable(_ entry: Entry, _ expected: String) -> WeightError {
    WeightError(
      .unsuitableType, file.path, tensor: entry.name, found: "elements of type \(entry.type.rawValue)",
      expected: expected, fix: "Quantised checkpoints are not read: use the original in half precision.")
  }
}
