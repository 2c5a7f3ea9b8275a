// Reading values out of JSON: optional accessors for a look, throwing ones with a path for configurations.

extension JSON {
  /// The member `key`; nil if it is absent or this is no object.
  public subscript(key: String) -> JSON? { object?[key] }
  /// Element `index`; nil if it is absent or this is no array.
  public subscript(index: Int) -> JSON? {
    guard case .array(let values) = self, values.indices.contains(index) else { return nil }
    return values[index]
  }

  public var isNull: Bool { self == .null }
  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  /// A whole number; `4.0` counts as one.
  public var int: Int? {
    switch self {
    case .integer(let value): Int(exactly: value)
    case .number(let value): Int(exactly: value)
    default: nil
    }
  }
  public var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }
  public var string: String? { if case .string(let value) = self { value } else { nil } }
  public var array: [JSON]? { if case .array(let values) = self { values } else { nil } }
  public var object: JSONObject? { if case .object(let members) = self { members } else { nil } }
  public var ints: [Int]? { all(\.int) }
  public var doubles: [Double]? { all(\.double) }
  public var strings: [String]? { all(\.string) }

  private func all<Value>(_ read: (JSON) -> Value?) -> [Value]? {
    guard let array else { return nil }
    let values = array.compactMap(read)
    return values.count == array.count ? values : nil
  }
}

/// Lookup by path: `config.int("vision_config.hidden_size", default: 768)`. A key that is absent or null takes the
/// default; without one, or with a value of another type, `JSONError` names the path, what was found and expected.
extension JSON {
  /// The value at `path` (keys joined with dots); nil if it is absent or null.
  public func value(at path: String) -> JSON? {
    var value = self
    for key in path.split(separator: ".") {
      guard let next = value[String(key)] else { return nil }
      value = next
    }
    return value.isNull ? nil : value
  }

  public func int(_ path: String, default standard: Int? = nil) throws(JSONError) -> Int {
    try read(path, "a whole number", standard, \.int)
  }
  public func double(_ path: String, default standard: Double? = nil) throws(JSONError) -> Double {
    try read(path, "a number", standard, \.double)
  }
  public func string(_ path: String, default standard: String? = nil) throws(JSONError) -> String {
    try read(path, "a string", standard, \.string)
  }
  public func bool(_ path: String, default standard: Bool? = nil) throws(JSONError) -> Bool {
    try read(path, "true or false", standard, \.bool)
  }
  public func array(_ path: String, default standard: [JSON]? = nil) throws(JSONError) -> [JSON] {
    try read(path, "an array", standard, \.array)
  }
  public func object(_ path: String, default standard: JSONObject? = nil) throws(JSONError) -> JSONObject {
    try read(path, "an object", standard, \.object)
  }
  public func ints(_ path: String, default standard: [Int]? = nil) throws(JSONError) -> [Int] {
    try read(path, "an array of whole numbers", standard, \.ints)
  }
  public func doubles(_ path: String, default standard: [Double]? = nil) throws(JSONError) -> [Double] {
    try read(path, "an array of numbers", standard, \.doubles)
  }
  public func strings(_ path: String, default standard: [String]? = nil) throws(JSONError) -> [String] {
    try read(path, "an array of strings", standard, \.strings)
  }

  private func read<Value>(
    _ path: String, _ expected: String, _ standard: Value?, _ read: (JSON) -> Value?
  ) throws(JSONError) -> Value {
    guard let found = value(at: path) else {
      if let standard { return standard }
      throw JSONError(place: .path(path), reason: "missing; expected \(expected)")
    }
    guard let value = read(found) else {
      throw JSONError(place: .path(path), reason: "found \(found.summary), expected \(expected)")
    }
    return value
  }

  /// The value in a few words, for messages.
  package var summary: String {
    switch self {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .integer(let value): "the number \(value)"
    case .number(let value): "the number \(value)"
    case .string(let value): "the string \"\(shortened(value))\""
    case .array(let values): "an array of \(values.count)"
    case .object(let members): "an object of \(members.count)"
    }
  }
}

extension JSON {
  /// A plain value as it stands in the file, a short list of them too; else `summary`. For messages.
  package var brief: String {
    switch self {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .number(let value):
      value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : "\(value)"
    case .string(let value): "'\(shortened(value))'"
    case .array(let values) where values.count <= 4 && values.allSatisfy { $0.array == nil && $0.object == nil }:
      "[\(values.map(\.brief).joined(separator: ", "))]"
    default: summary
    }
  }
}

/// Names in one line, the first few of many: "a, b, … (12 in all)".
package func listed(_ names: [String], limit: Int = 8) -> String {
  let head = names.prefix(limit).map(shortened).joined(separator: ", ")
  return names.count <= limit ? head : "\(head), … (\(names.count) in all)"
}

/// At most 60 characters of a text out of a file, fit for one line of a message: no line breaks, no terminal codes.
package func shortened(_ text: String) -> String {
  let line = String(String.UnicodeScalarView(text.unicodeScalars.prefix(61).map { $0.isPrintable ? $0 : " " }))
  return line.unicodeScalars.count > 60
    ? String(String.UnicodeScalarView(line.unicodeScalars.prefix(60))) + "..." : line
}

extension Unicode.Scalar {
  /// Whether it shows as something on the same line, or joins what does.
  fileprivate var isPrintable: Bool {
    switch properties.generalCategory {
    case .control, .lineSeparator, .paragraphSeparator: false
    default: true
    }
  }
}

// No nil literal: `nil` where an optional JSON is expected would silently mean null.
extension JSON: ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(floatLiteral value: Double) { self = .number(value) }
  public init(stringLiteral value: String) { self = .string(value) }
  public init(arrayLiteral values: JSON...) { self = .array(values) }
  public init(dictionaryLiteral members: (String, JSON)...) { self = .object(JSONObject(members)) }

  public init(_ value: Int) { self = .integer(Int64(value)) }
  public init(_ value: Double) { self = .number(value) }
  /// The shortest decimal that reads back as this float: 0.1 stays 0.1.
  public init(_ value: Float) { self = .number(Double(value.description) ?? Double(value)) }
  public init(_ value: Bool) { self = .bool(value) }
  public init(_ value: String) { self = .string(value) }
  public init(_ values: [Int]) { self = .array(values.map { JSON($0) }) }
  public init(_ values: [Double]) { self = .array(values.map { JSON($0) }) }
  public init(_ values: [Float]) { self = .array(values.map { JSON($0) }) }
  public init(_ values: [String]) { self = .array(values.map { JSON($0) }) }
}
