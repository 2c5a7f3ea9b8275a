import VTokFiles

/// A value of a GGUF file's metadata. Writers are loose with the widths of numbers, so these are not kept.
public enum GGUFValue: Sendable {
  case integer(Int128)
  /// Of 32 bits (exactly) or 64.
  case number(Double)
  case bool(Bool)
  case text(String)
  case array(GGUFArray)

  /// A whole number that fits; nil for anything else.
  public var int: Int? { if case .integer(let value) = self { Int(exactly: value) } else { nil } }
  /// A number with or without fraction.
  public var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }
  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  public var text: String? { if case .text(let value) = self { value } else { nil } }
  public var array: GGUFArray? { if case .array(let value) = self { value } else { nil } }
}

/// Types of values, by their numbers in a file.
enum GGUFType: UInt32 {
  case u8, i8, u16, i16, u32, i32, f32, bool, string, array, u64, i64, f64

  /// Bytes of one value; of a string and of an array the fewest.
  var size: Int {
    switch self {
    case .u8, .i8, .bool: 1
    case .u16, .i16: 2
    case .u32, .i32, .f32: 4
    case .u64, .i64, .f64, .string: 8
    case .array: 12
    }
  }
}

/// An array of metadata: all elements have one type. They stay in the file until they are asked for, since vocabularies have
/// hundreds of thousands.
public struct GGUFArray: Sendable {
  public let count: Int
  let type: GGUFType
  let file: MappedFile
  /// Where the elements lie, in bytes from the start of the file; checked when the file was opened.
  let range: Range<Int>

  /// The elements, or the first `most` of them.
  /// - Throws: `WeightError` where they would take more memory than a vocabulary may.
  public func values(first most: Int = .max) throws(WeightError) -> [GGUFValue] {
    try elements(first: most, price: 48) { reader throws(WeightError) in try reader.scalar(type) }
  }

  /// The elements as text; nil where they are no strings.
  public func texts() throws(WeightError) -> [String]? {
    guard type == .string else { return nil }
    return try elements(price: 16) { reader throws(WeightError) in try reader.text("a string") }
  }

  /// The elements as whole numbers; nil where one is none, or does not fit.
  public func ints() throws(WeightError) -> [Int]? {
    if [.string, .bool, .f32, .f64].contains(type) { return nil }
    let values = try elements(price: 16) { reader throws(WeightError) in try reader.scalar(type).int }
    let found = values.compactMap { $0 }
    return found.count == count ? found : nil
  }

  /// The elements as float32; nil where they are no numbers.
  public func floats() throws(WeightError) -> [Float]? {
    if [.string, .bool].contains(type) { return nil }
    return try elements(price: 8) { reader throws(WeightError) in Float(try reader.scalar(type).double!) }
  }

  private func elements<Element>(
    first most: Int = .max, price: Int, _ next: (inout GGUFReader) throws(WeightError) -> Element
  ) throws(WeightError) -> [Element] {
    let count = min(count, most)
    return try file.withBytes { bytes throws(WeightError) in
      var reader = GGUFReader(bytes, path: file.path, at: range.lowerBound, budget: .vocabulary)
      try reader.spend(Int(clamping: Int128(count) * Int128(price)))
      var elements: [Element] = []
      elements.reserveCapacity(count)
      for _ in 0..<count { elements.append(try next(&reader)) }
      return elements
    }
  }
}

/// The metadata of a file, in its order.
public struct GGUFMetadata: Sendable, RandomAccessCollection {
  private var entries: [(key: String, value: GGUFValue)] = []
  private var index: [ExactString: Int] = [:]

  init() {}

  /// False if the key is there already.
  mutating func append(_ key: String, _ value: GGUFValue) -> Bool {
    guard index.updateValue(entries.count, forKey: ExactString(key)) == nil else { return false }
    entries.append((key, value))
    return true
  }

  public var startIndex: Int { 0 }
  public var endIndex: Int { entries.count }
  public subscript(position: Int) -> (key: String, value: GGUFValue) { entries[position] }
  /// What kind of model the file holds; nil: none.
  public var architecture: String? { self["general.architecture"]?.text }
  /// Whether the file holds a tower with its projector (mmproj).
  public var isProjector: Bool { architecture == "clip" }

  public subscript(key: String) -> GGUFValue? { index[ExactString(key)].map { entries[$0].value } }
}

/// Reads a GGUF file from front to back. Every length is compared with what is left before it is used, and what is kept is
/// counted.
struct GGUFReader {
  let bytes: UnsafeRawBufferPointer, path: String
  private(set) var at: Int
  private let limit: Int
  private var meter: MemoryMeter
  private let budget: ReadBudget

  init(_ bytes: UnsafeRawBufferPointer, path: String, at: Int = 0, budget: ReadBudget) {
    self.bytes = bytes
    self.path = path
    self.at = at
    self.budget = budget
    limit = at + budget.text
    meter = MemoryMeter(budget)
  }

  var left: Int { bytes.count - at }

  func refuse(
    _ kind: WeightError.Kind, tensor: String? = nil, _ found: String, _ expected: String, fix: String = damagedFile
  ) -> WeightError {
    WeightError(kind, path, tensor: tensor, found: found, expected: expected, fix: fix)
  }

  mutating func spend(_ memory: Int) throws(WeightError) {
    guard meter.takes(memory) else {
      throw refuse(
        .budget, "more than \(budget.memory >> 20) MB of values", "at most that for \(budget.kind)",
        fix: "The file is not what its name says: fetch it again.")
    }
  }

  /// Steps over `count` bytes and gives where they lie.
  private mutating func take(_ count: UInt64, _ what: String) throws(WeightError) -> Range<Int> {
    guard count <= UInt64(left) else {
      throw refuse(.headerLength, "\(what) of \(count) bytes with \(left) left in the file", "a file that is whole")
    }
    guard Int(count) <= limit - at else {
      throw refuse(
        .budget, "\(what) that ends behind \(budget.text) bytes", "at most that for \(budget.kind)",
        fix: "The file is not what its name says: fetch it again.")
    }
    defer { at += Int(count) }
    return at..<at + Int(count)
  }

  mutating func number<Value: FixedWidthInteger & BitwiseCopyable>(
    _ what: String, as _: Value.Type = Value.self
  ) throws(WeightError) -> Value {
    let range = try take(UInt64(MemoryLayout<Value>.size), what)
    return Value(littleEndian: bytes.loadUnaligned(fromByteOffset: range.lowerBound, as: Value.self))
  }

  /// A string; bytes that are no UTF-8 stand in it as they do in file names (`FileName`).
  mutating func text(_ what: String) throws(WeightError) -> String {
    let range = try take(try number("the length of \(what)", as: UInt64.self), what)
    try spend(MemoryMeter.text(range.count))
    return FileName.text(bytes[range])
  }

  mutating func type(_ key: String) throws(WeightError) -> GGUFType {
    let code: UInt32 = try number("the type of `\(shortened(key))`")
    guard let type = GGUFType(rawValue: code) else {
      throw refuse(.headerEntry, "a value of type \(code) under `\(shortened(key))`", "one of the types 0 to 12")
    }
    return type
  }

  /// A value that is no array.
  mutating func scalar(_ type: GGUFType) throws(WeightError) -> GGUFValue {
    switch type {
    case .u8: .integer(Int128(try number("a value", as: UInt8.self)))
    case .i8: .integer(Int128(try number("a value", as: Int8.self)))
    case .u16: .integer(Int128(try number("a value", as: UInt16.self)))
    case .i16: .integer(Int128(try number("a value", as: Int16.self)))
    case .u32: .integer(Int128(try number("a value", as: UInt32.self)))
    case .i32: .integer(Int128(try number("a value", as: Int32.self)))
    case .u64: .integer(Int128(try number("a value", as: UInt64.self)))
    case .i64: .integer(Int128(try number("a value", as: Int64.self)))
    case .f32: .number(Double(Float(bitPattern: try number("a value", as: UInt32.self))))
    case .f64: .number(Double(bitPattern: try number("a value", as: UInt64.self)))
    case .bool: .bool(try number("a value", as: UInt8.self) != 0)
    case .string: .text(try text("a value"))
    case .array: throw refuse(.headerEntry, "an array in an array", "plain values")
    }
  }

  /// Steps over an array; strings one by one, since their lengths are all that says where it ends.
  mutating func array(_ key: String, in file: MappedFile) throws(WeightError) -> GGUFArray {
    let type = try type(key)
    guard type != .array else {
      throw refuse(.headerEntry, "arrays in the array `\(shortened(key))`", "plain values")
    }
    let count: UInt64 = try number("the count of `\(shortened(key))`")
    guard count <= UInt64(left / type.size) else {
      throw refuse(
        .headerLength, "\(count) values under `\(shortened(key))` with \(left) bytes left in the file",
        "a file that is whole")
    }
    let start = at
    if type == .string {
      for _ in 0..<count { _ = try take(try number("the length of a string", as: UInt64.self), "a string") }
    } else {
      _ = try take(count * UInt64(type.size), "an array")
    }
    return GGUFArray(count: Int(count), type: type, file: file, range: start..<at)
  }
}
