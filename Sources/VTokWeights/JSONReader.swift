extension JSON {
  public enum Dialect: Sendable {
    /// RFC 8259 and nothing else.
    case strict
    /// Also `NaN`, `Infinity` and `-Infinity`, which Python's json module writes into configurations.
    case python
  }

  /// Deepest nesting of arrays and objects that is read.
  public static let depthLimit = 64

  /// Reads one JSON text of UTF-8 bytes. Refused with the byte offset: anything outside the grammar, invalid UTF-8,
  /// lone surrogates, nesting deeper than `depthLimit`, a key that occurs twice in its object, numbers beyond double
  /// range, more values than the budget has memory for. O(n).
  public init(
    parsing bytes: UnsafeRawBufferPointer, dialect: Dialect = .strict, budget: ReadBudget = .data
  ) throws(JSONError) {
    var reader = JSONReader(bytes: bytes.bindMemory(to: UInt8.self), dialect: dialect, budget: budget)
    self = try reader.document()
  }

  public init(
    parsing bytes: [UInt8], dialect: Dialect = .strict, budget: ReadBudget = .data
  ) throws(JSONError) {
    let result = bytes.withUnsafeBytes { bytes in
      Result { () throws(JSONError) in try JSON(parsing: bytes, dialect: dialect, budget: budget) }
    }
    self = try result.get()
  }

  public init(parsing text: String, dialect: Dialect = .strict, budget: ReadBudget = .data) throws(JSONError) {
    self = try JSON(parsing: Array(text.utf8), dialect: dialect, budget: budget)
  }
}

private struct JSONReader {
  let bytes: UnsafeBufferPointer<UInt8>
  let dialect: JSON.Dialect
  let budget: ReadBudget
  var meter: MemoryMeter
  var at = 0
  var depth = 0

  init(bytes: UnsafeBufferPointer<UInt8>, dialect: JSON.Dialect, budget: ReadBudget) {
    self.bytes = bytes
    self.dialect = dialect
    self.budget = budget
    meter = MemoryMeter(budget)
  }

  mutating func document() throws(JSONError) -> JSON {
    if bytes.count > budget.text {
      throw JSONError(
        place: .limit, reason: "\(bytes.count) bytes, more than the \(budget.text) that \(budget.kind) may have")
    }
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { throw error("a byte order mark, which JSON does not allow") }
    let value = try value()
    skipSpace()
    if at < bytes.count { throw error("text after the end of the value") }
    return value
  }

  func error(_ reason: String, at offset: Int? = nil) -> JSONError {
    JSONError(place: .offset(offset ?? at), reason: reason)
  }

  func unexpected(_ expected: String) -> JSONError {
    guard at < bytes.count else { return error("the text ends; expected \(expected)") }
    let byte = bytes[at]
    let found = (33..<127).contains(byte) ? "`\(Character(Unicode.Scalar(byte)))`" : "byte \(byte)"
    return error("found \(found), expected \(expected)")
  }

  /// Books the memory of what is made next.
  @inline(__always) mutating func book(_ memory: Int) throws(JSONError) {
    if !meter.takes(memory) {
      throw JSONError(
        place: .limit,
        reason: "more values, up to byte \(at), than the \(budget.memory >> 20) MB that \(budget.kind) may take")
    }
  }

  @inline(__always) mutating func skipSpace() {
    while at < bytes.count, bytes[at] == 0x20 || bytes[at] == 0x0A || bytes[at] == 0x0D || bytes[at] == 0x09 { at += 1 }
  }

  /// The next byte after white space; 0, which starts nothing, at the end.
  @inline(__always) mutating func peek() -> UInt8 {
    skipSpace()
    return at < bytes.count ? bytes[at] : 0
  }

  mutating func value() throws(JSONError) -> JSON {
    switch peek() {
    case UInt8(ascii: "{"): return .object(try object())
    case UInt8(ascii: "["): return .array(try array())
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "N") where dialect == .python: return try word("NaN", .number(.nan))
    case UInt8(ascii: "I") where dialect == .python: return try word("Infinity", .number(.infinity))
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    default: throw unexpected("a value")
    }
  }

  mutating func word(_ word: StaticString, _ value: JSON) throws(JSONError) -> JSON {
    for index in 0..<word.utf8CodeUnitCount {
      guard at < bytes.count, bytes[at] == word.utf8Start[index] else { throw unexpected("`\(word)`") }
      at += 1
    }
    return value
  }

  mutating func enter() throws(JSONError) {
    depth += 1
    if depth > JSON.depthLimit { throw error("nested deeper than \(JSON.depthLimit) levels") }
    at += 1
    try book(MemoryMeter.container)
  }

  mutating func array() throws(JSONError) -> [JSON] {
    try enter()
    defer { depth -= 1 }
    var values: [JSON] = []
    if peek() == UInt8(ascii: "]") {
      at += 1
      return values
    }
    while true {
      try book(MemoryMeter.value)
      values.append(try value())
      switch peek() {
      case UInt8(ascii: ","): at += 1
      case UInt8(ascii: "]"):
        at += 1
        return values
      default: throw unexpected("`,` or `]`")
      }
    }
  }

  mutating func object() throws(JSONError) -> JSONObject {
    try enter()
    defer { depth -= 1 }
    var members = JSONObject()
    if peek() == UInt8(ascii: "}") {
      at += 1
      return members
    }
    while true {
      guard peek() == UInt8(ascii: "\"") else { throw unexpected("a key") }
      try book(MemoryMeter.member)
      let start = at
      let key = try string()
      guard peek() == UInt8(ascii: ":") else { throw unexpected("`:`") }
      at += 1
      if !members.append(key, try value()) {
        throw error("key `\(shortened(key))` occurs twice in one object", at: start)
      }
      switch peek() {
      case UInt8(ascii: ","): at += 1
      case UInt8(ascii: "}"):
        at += 1
        return members
      default: throw unexpected("`,` or `}`")
      }
    }
  }

  mutating func number() throws(JSONError) -> JSON {
    let start = at
    let negative = bytes[at] == UInt8(ascii: "-")
    if negative { at += 1 }
    if negative, dialect == .python, at < bytes.count, bytes[at] == UInt8(ascii: "I") {
      return try word("Infinity", .number(-.infinity))
    }
    let firstDigit = at
    var magnitude: Int64? = 0
    while at < bytes.count, case let digit = bytes[at] &- 48, digit < 10 {
      if let sum = magnitude {  // negative all along, because -2^63 has no positive counterpart
        let (product, overflow) = sum.multipliedReportingOverflow(by: 10)
        let (next, borrow) = product.subtractingReportingOverflow(Int64(digit))
        magnitude = overflow || borrow ? nil : next
      }
      at += 1
    }
    if at == firstDigit { throw unexpected("a digit") }
    if bytes[firstDigit] == 48, at > firstDigit + 1 { throw error("a number with a leading zero", at: start) }
    var whole = true
    if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
      whole = false
      at += 1
      try digits()
    }
    if at < bytes.count, bytes[at] | 0x20 == UInt8(ascii: "e") {
      whole = false
      at += 1
      if at < bytes.count, bytes[at] == UInt8(ascii: "+") || bytes[at] == UInt8(ascii: "-") { at += 1 }
      try digits()
    }
    if whole, let magnitude, !(negative && magnitude == 0) {  // -0 is a double
      if negative { return .integer(magnitude) }
      if magnitude != .min { return .integer(-magnitude) }
    }
    guard let value = Double(String(decoding: bytes[start..<at], as: UTF8.self)), value.isFinite else {
      throw error("a number beyond the range of doubles", at: start)
    }
    return .number(value)
  }

  mutating func digits() throws(JSONError) {
    let start = at
    while at < bytes.count, bytes[at] &- 48 < 10 { at += 1 }
    if at == start { throw unexpected("a digit") }
  }

  /// At the opening quote.
  mutating func string() throws(JSONError) -> String {
    at += 1
    let start = at
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: "\""):
        at += 1
        return try text(UnsafeBufferPointer(rebasing: bytes[start..<at - 1]), from: start)
      case UInt8(ascii: "\\"): return try escapedString(from: start)
      case 0..<0x20: throw error("a control character in a string")
      default: at += 1
      }
    }
    throw error("a string without its closing quote", at: start - 1)
  }

  mutating func text(_ utf8: UnsafeBufferPointer<UInt8>, from start: Int) throws(JSONError) -> String {
    try book(MemoryMeter.text(utf8.count))
    guard let text = String(validating: utf8, as: UTF8.self) else {
      throw error("a string that is not valid UTF-8", at: start)
    }
    return text
  }

  /// A string with at least one escape, read from `start` on; `at` is at the first backslash.
  mutating func escapedString(from start: Int) throws(JSONError) -> String {
    var out = Array(bytes[start..<at])
    while at < bytes.count {
      let byte = bytes[at]
      at += 1
      switch byte {
      case UInt8(ascii: "\""):
        try book(MemoryMeter.text(out.count))
        guard let text = String(validating: out, as: UTF8.self) else {
          throw error("a string that is not valid UTF-8", at: start)
        }
        return text
      case UInt8(ascii: "\\"): try escape(&out)
      case 0..<0x20: throw error("a control character in a string", at: at - 1)
      default: out.append(byte)
      }
    }
    throw error("a string without its closing quote", at: start - 1)
  }

  mutating func escape(_ out: inout [UInt8]) throws(JSONError) {
    guard at < bytes.count else { throw unexpected("an escape") }
    let byte = bytes[at]
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(byte)
    case UInt8(ascii: "b"): out.append(0x08)
    case UInt8(ascii: "f"): out.append(0x0C)
    case UInt8(ascii: "n"): out.append(0x0A)
    case UInt8(ascii: "r"): out.append(0x0D)
    case UInt8(ascii: "t"): out.append(0x09)
    case UInt8(ascii: "u"):
      at += 1
      try unicodeEscape(&out)
      return
    default: throw unexpected("one of \"\\/bfnrtu after a backslash")
    }
    at += 1
  }

  mutating func unicodeEscape(_ out: inout [UInt8]) throws(JSONError) {
    let start = at - 2
    var code = try fourHexDigits()
    if (0xD800..<0xDC00).contains(code), at + 1 < bytes.count, bytes[at] == UInt8(ascii: "\\"),
      bytes[at + 1] == UInt8(ascii: "u")
    {
      at += 2
      let low = try fourHexDigits()
      guard (0xDC00..<0xE000).contains(low) else { throw error("a surrogate without its partner", at: start) }
      code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
    }
    // \udc80 to \udcff alone are bytes of a file name that are no text, see `FileName`.
    if (0xDC80..<0xDD00).contains(code) { code += 0x10FF00 - 0xDC00 }
    guard let scalar = Unicode.Scalar(code) else { throw error("a surrogate without its partner", at: start) }
    out.append(contentsOf: UTF8.encode(scalar)!)
  }

  mutating func fourHexDigits() throws(JSONError) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard at < bytes.count, let digit = Character(Unicode.Scalar(bytes[at])).hexDigitValue, bytes[at] < 0x80 else {
        throw unexpected("four hexadecimal digits")
      }
      code = code << 4 | UInt32(digit)
      at += 1
    }
    return code
  }
}
