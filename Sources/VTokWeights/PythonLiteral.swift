import VTokFiles

/// What is wrong with a text that should be a Python literal.
public struct PythonLiteralError: OneLineError, Equatable {
  /// Bytes from the start of the text.
  public let offset: Int
  public let reason: String

  public var message: String { "no Python literal at byte \(offset): \(reason)" }
}

extension JSON {
  /// Reads what Python's `repr` writes of dicts with string keys, lists, tuples, strings, numbers, `True`, `False` and
  /// `None`: how some trainers store their configuration in the header of a safetensors file. Tuples become arrays. Nothing
  /// is evaluated: names, calls, sets, bytes, complex numbers and string prefixes are errors, as are keys that occur twice
  /// and nesting deeper than `depthLimit`, and more values than a configuration may have (`ReadBudget.settings`). O(n).
  public init(pythonLiteral text: String) throws(PythonLiteralError) {
    var meter = MemoryMeter(.settings)
    try self.init(pythonLiteral: text, meter: &meter)
  }

  /// - Parameter meter: of all texts that are read together.
  init(pythonLiteral text: String, meter: inout MemoryMeter) throws(PythonLiteralError) {
    guard text.utf8.count <= ReadBudget.settings.text else {
      throw PythonLiteralError(
        offset: 0, reason: "longer than the \(ReadBudget.settings.text) bytes of a configuration")
    }
    var reader = LiteralReader(bytes: Array(text.utf8), meter: meter)
    self = try reader.document()
    meter = reader.meter
  }
}

private struct LiteralReader {
  let bytes: [UInt8]
  var meter: MemoryMeter
  var at = 0
  var depth = 0

  /// Books the memory of what is made next.
  mutating func book(_ memory: Int) throws(PythonLiteralError) {
    if !meter.takes(memory) { throw error("more values than a configuration may have") }
  }

  mutating func document() throws(PythonLiteralError) -> JSON {
    let value = try value()
    if peek() != nil { throw unexpected("the end of the text") }
    return value
  }

  func error(_ reason: String, at offset: Int? = nil) -> PythonLiteralError {
    PythonLiteralError(offset: offset ?? at, reason: reason)
  }

  func unexpected(_ expected: String) -> PythonLiteralError {
    guard at < bytes.count else { return error("the text ends; expected \(expected)") }
    let byte = bytes[at]
    let found = (33..<127).contains(byte) ? "`\(Character(Unicode.Scalar(byte)))`" : "byte \(byte)"
    return error("found \(found), expected \(expected)")
  }

  /// The next byte after white space; nil at the end.
  mutating func peek() -> UInt8? {
    while at < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[at]) { at += 1 }
    return at < bytes.count ? bytes[at] : nil
  }

  mutating func value() throws(PythonLiteralError) -> JSON {
    switch peek() {
    case UInt8(ascii: "{"): return .object(try dict())
    case UInt8(ascii: "["): return .array(try sequence(closing: UInt8(ascii: "]")).values)
    case UInt8(ascii: "("):
      let (values, comma) = try sequence(closing: UInt8(ascii: ")"))
      // `(x)` is x; `(x,)` is a tuple of one.
      return values.count == 1 && !comma ? values[0] : .array(values)
    case UInt8(ascii: "'"), UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."): return try number()
    case .some(UInt8(ascii: "0")...UInt8(ascii: "9")): return try number()
    default:
      for (word, value) in [("True", JSON.bool(true)), ("False", .bool(false)), ("None", .null)]
      where bytes[at...].starts(with: word.utf8) {
        at += word.utf8.count
        return value
      }
      throw unexpected("a dict, list, tuple, string, number, True, False or None")
    }
  }

  mutating func enter() throws(PythonLiteralError) {
    depth += 1
    if depth > JSON.depthLimit { throw error("nested deeper than \(JSON.depthLimit) levels") }
    at += 1
    try book(MemoryMeter.container)
  }

  /// The values up to `closing`, and whether a comma follows the last.
  mutating func sequence(closing: UInt8) throws(PythonLiteralError) -> (values: [JSON], comma: Bool) {
    try enter()
    defer { depth -= 1 }
    var values: [JSON] = []
    var comma = false
    while peek() != closing {
      if !values.isEmpty && !comma { throw unexpected("`,` or `\(Character(Unicode.Scalar(closing)))`") }
      try book(MemoryMeter.value)
      values.append(try value())
      comma = peek() == UInt8(ascii: ",")
      if comma { at += 1 }
    }
    at += 1
    return (values, comma)
  }

  mutating func dict() throws(PythonLiteralError) -> JSONObject {
    try enter()
    defer { depth -= 1 }
    var members = JSONObject()
    var comma = true
    while peek() != UInt8(ascii: "}") {
      if !comma { throw unexpected("`,` or `}`") }
      try book(MemoryMeter.member)
      let start = at
      guard [UInt8(ascii: "'"), UInt8(ascii: "\"")].contains(peek()) else { throw unexpected("a string as key") }
      let key = try string()
      guard peek() == UInt8(ascii: ":") else { throw unexpected("`:`") }
      at += 1
      if !members.append(key, try value()) { throw error("key `\(shortened(key))` occurs twice", at: start) }
      comma = peek() == UInt8(ascii: ",")
      if comma { at += 1 }
    }
    at += 1
    return members
  }

  mutating func number() throws(PythonLiteralError) -> JSON {
    let start = at
    var isWhole = true
    if bytes[at] == UInt8(ascii: "-") || bytes[at] == UInt8(ascii: "+") { at += 1 }
    let first = at
    var count = digits()
    if count > 1, bytes[first] == UInt8(ascii: "0") { throw error("a number with a leading zero", at: start) }
    if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
      isWhole = false
      at += 1
      count += digits()
    }
    if count == 0 { throw unexpected("a digit") }
    if at < bytes.count, bytes[at] | 0x20 == UInt8(ascii: "e") {
      isWhole = false
      at += 1
      if at < bytes.count, bytes[at] == UInt8(ascii: "-") || bytes[at] == UInt8(ascii: "+") { at += 1 }
      if digits() == 0 { throw unexpected("a digit") }
    }
    let text = String(decoding: bytes[start..<at], as: UTF8.self)
    if isWhole, let value = Int64(text) { return .integer(value) }
    guard let value = Double(text), value.isFinite else {
      throw error("a number beyond the range of doubles", at: start)
    }
    return .number(value)
  }

  mutating func digits() -> Int {
    let start = at
    while at < bytes.count, bytes[at] &- 48 < 10 { at += 1 }
    return at - start
  }

  mutating func string() throws(PythonLiteralError) -> String {
    let (start, quote) = (at, bytes[at])
    at += 1
    var out: [UInt8] = []
    while at < bytes.count {
      let byte = bytes[at]
      at += 1
      switch byte {
      case quote: return String(decoding: out, as: UTF8.self)  // pieces of a Swift string and whole scalars: valid
      case UInt8(ascii: "\\"): try escape(&out)
      case 0x0A, 0x0D: throw error("a line break in a string", at: at - 1)
      default: out.append(byte)
      }
    }
    throw error("a string without its closing quote", at: start)
  }

  mutating func escape(_ out: inout [UInt8]) throws(PythonLiteralError) {
    guard at < bytes.count else { throw unexpected("an escape") }
    let byte = bytes[at]
    switch byte {
    case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): out.append(byte)
    case UInt8(ascii: "a"): out.append(0x07)
    case UInt8(ascii: "b"): out.append(0x08)
    case UInt8(ascii: "t"): out.append(0x09)
    case UInt8(ascii: "n"): out.append(0x0A)
    case UInt8(ascii: "v"): out.append(0x0B)
    case UInt8(ascii: "f"): out.append(0x0C)
    case UInt8(ascii: "r"): out.append(0x0D)
    case UInt8(ascii: "x"): return try scalar(2, &out)
    case UInt8(ascii: "u"): return try scalar(4, &out)
    case UInt8(ascii: "U"): return try scalar(8, &out)
    default: throw unexpected("one of \\'\"abtnvfrxuU after a backslash")
    }
    at += 1
  }

  /// At the letter before `count` hexadecimal digits.
  mutating func scalar(_ count: Int, _ out: inout [UInt8]) throws(PythonLiteralError) {
    let start = at - 1
    at += 1
    var code: UInt32 = 0
    for _ in 0..<count {
      guard at < bytes.count, bytes[at] < 0x80, let digit = Character(Unicode.Scalar(bytes[at])).hexDigitValue else {
        throw unexpected("\(count) hexadecimal digits")
      }
      code = code << 4 | UInt32(digit)
      at += 1
    }
    guard let scalar = Unicode.Scalar(code) else { throw error("an escape that is no character", at: start) }
    out.append(contentsOf: UTF8.encode(scalar)!)
  }
}

extension Checkpoint {
  /// The metadata of the weight files with every Python literal among them read; other texts stay strings.
  /// - Throws: `WeightError` for a text that begins like a dict, list, tuple or string and is none.
  public func literalMetadata() throws(WeightError) -> JSON {
    var members = JSONObject()
    var meter = MemoryMeter(.settings)
    for (key, text) in metadata.sorted(by: { $0.key < $1.key }) {
      do {
        members[key] = try JSON(pythonLiteral: text, meter: &meter)
      } catch {
        if let first = text.first, "{[('\"".contains(first) {
          throw WeightError(
            .headerEntry, files.first?.path ?? name, tensor: "__metadata__", found: "`\(shortened(key))` with \(error)",
            expected: "a Python literal", fix: "The file is damaged or its download stopped early: fetch it again.")
        }
        members[key] = .string(text)
      }
    }
    return .object(members)
  }
}
