import VTokLibC

// `'%s: %d' % (a, b)` and `'{}: {:>4}'.format(a, b)`.

extension Double {
  /// So many digits behind the point, rightly rounded.
  /// - Precondition: at most 1000.
  package func fixed(_ precision: Int) -> String { written("%.*f", precision) }

  func written(_ format: String, _ precision: Int) -> String {
    var buffer = [CChar](repeating: 0, count: 1500)
    let count = withVaList([Int32(precision), self]) { vsnprintf(&buffer, buffer.count, format, $0) }
    return String(decoding: buffer[..<min(Int(count), buffer.count - 1)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

/// How one value is written: width, sign, precision and kind.
private struct FieldSpec {
  var fill = " ", align: Character?
  var sign: Character = "-"
  var isZeroPadded = false, isAlternate = false
  var width = 0
  var precision: Int?
  var grouping = ""
  var kind: Character?

  static let sizeLimit = 1000

  /// A number up to the first other character.
  static func number(_ text: inout Substring) throws -> Int? {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    text = text.dropFirst(digits.count)
    if digits.isEmpty { return nil }
    guard let value = Int(digits), value <= sizeLimit else {
      throw TemplateError(.limit, "a width of more than \(sizeLimit) in a format")
    }
    return value
  }

  func padded(_ text: String, isNumber: Bool) -> String {
    let missing = max(0, width - text.unicodeScalars.count)
    if isZeroPadded && align == nil && isNumber || align == "=" {
      let sign = text.hasPrefix("-") || text.hasPrefix("+") || text.hasPrefix(" ") ? String(text.prefix(1)) : ""
      let fill = isZeroPadded ? "0" : self.fill
      return sign + String(repeating: fill, count: missing) + text.dropFirst(sign.count)
    }
    let left: Int
    switch align ?? (isNumber ? ">" : "<") {
    case ">": left = missing
    case "^": left = missing / 2
    default: left = 0
    }
    return String(repeating: fill, count: left) + text + String(repeating: fill, count: missing - left)
  }

  func signed(_ digits: String, isNegative: Bool) -> String {
    (isNegative ? "-" : sign == "-" ? "" : String(sign)) + grouped(digits)
  }

  private func grouped(_ digits: String) -> String {
    if grouping.isEmpty { return digits }
    let whole = Array(digits.prefix { $0.isHexDigit })
    var out = ""
    for (index, digit) in whole.enumerated() {
      if index > 0, (whole.count - index) % 3 == 0 { out += grouping }
      out.append(digit)
    }
    return out + digits.dropFirst(whole.count)
  }

  func number(_ value: Double, _ kind: Character) -> String {
    guard value.isFinite else { return signed(value.isNaN ? "nan" : "inf", isNegative: value < 0) }
    let percent = kind == "%"
    let format = percent ? "%.*f" : "%.*\(kind)"
    let digits = (percent ? value * 100 : value).magnitude.written(format, precision ?? 6) + (percent ? "%" : "")
    return signed(digits, isNegative: value.sign == .minus)
  }

  func whole(_ value: Int, _ kind: Character) -> String {
    let radix = ["x": 16, "X": 16, "o": 8, "b": 2][kind] ?? 10
    let mark = isAlternate && radix != 10 ? "0\(kind)" : ""
    return signed(mark + String(value.magnitude, radix: radix, uppercase: kind == "X"), isNegative: value < 0)
  }
}

extension Interpreter {
  // MARK: %

  func printf(_ format: String, _ given: Value) throws -> String {
    var values = [given]
    if case .tuple(let items) = given { values = items.values }
    var used = 0
    var rest = Substring(format)
    var out = ""
    while let place = rest.firstIndex(of: "%") {
      try append(String(rest[..<place]), to: &out)
      rest = rest[rest.index(after: place)...]
      var named: Value?
      if rest.first == "(" {
        guard let end = rest.firstIndex(of: ")"), let dict = given.dict else {
          throw TemplateError(.value, "format requires a mapping")
        }
        let name = String(rest[rest.index(after: rest.startIndex)..<end])
        guard let value = dict[name] else { throw TemplateError(.value, "no value for '\(excerpt(name))' in a format") }
        named = value
        rest = rest[rest.index(after: end)...]
      }
      var spec = FieldSpec()
      while let flag = rest.first, "-+ #0".contains(flag) {
        switch flag {
        case "-": spec.align = "<"
        case "0": spec.isZeroPadded = true
        case "#": spec.isAlternate = true
        default: if spec.sign != "+" { spec.sign = flag }
        }
        rest.removeFirst()
      }
      spec.width = try FieldSpec.number(&rest) ?? 0
      if spec.align == nil { spec.align = spec.isZeroPadded ? nil : ">" }
      if rest.first == "." {
        rest.removeFirst()
        spec.precision = try FieldSpec.number(&rest) ?? 0
      }
      guard let kind = rest.popFirst() else { throw TemplateError(.value, "incomplete format") }
      if kind == "%" {
        try append("%", to: &out)
        continue
      }
      guard let value = named ?? values[wrapping: used] else {
        throw TemplateError(.value, "not enough arguments for format string")
      }
      if named == nil { used += 1 }
      try append(printed(value, spec, kind), to: &out)
    }
    guard used >= values.count || given.dict != nil else {
      throw TemplateError(.value, "not all arguments converted during string formatting")
    }
    try append(String(rest), to: &out)
    return out
  }

  private func printed(_ value: Value, _ spec: FieldSpec, _ kind: Character) throws -> String {
    switch kind {
    case "s", "r":
      let text = try kind == "s" ? string(value) : repr(value)
      let cut = spec.precision.map { String(text.unicodeScalars.prefix($0)) } ?? text
      return spec.padded(cut, isNumber: false)
    case "d", "i", "u", "x", "X", "o":
      if case .float(let number) = value, let whole = Int(exactly: number.rounded(.towardZero)), "diu".contains(kind) {
        return spec.padded(spec.whole(whole, kind), isNumber: true)
      }
      guard let integer = value.integer else { break }
      var digits = spec.whole(integer, kind)
      if let precision = spec.precision, digits.count < precision {
        digits = String(repeating: "0", count: precision - digits.count) + digits
      }
      return spec.padded(digits, isNumber: true)
    case "f", "F", "e", "E", "g", "G":
      guard let number = value.number else { break }
      return spec.padded(spec.number(number, kind), isNumber: true)
    default: throw TemplateError(.unsupported, "the format `%\(kind)` is not supported")
    }
    if case .undefined(let reason) = value { throw TemplateError(.undefined, reason) }
    throw TemplateError(.value, "%\(kind) format: a number is required, not \(value.typeName)")
  }

  // MARK: format()

  func format(_ format: String, _ given: CallArguments) throws -> String {
    var out = ""
    var rest = Substring(format)
    var next = 0
    while let place = rest.firstIndex(where: { $0 == "{" || $0 == "}" }) {
      try append(String(rest[..<place]), to: &out)
      let brace = rest[place]
      rest = rest[rest.index(after: place)...]
      if rest.first == brace {
        rest.removeFirst()
        try append(String(brace), to: &out)
        continue
      }
      guard brace == "{", let end = rest.firstIndex(of: "}") else {
        throw TemplateError(.value, "single '\(brace)' encountered in format string")
      }
      let field = rest[..<end]
      rest = rest[rest.index(after: end)...]
      if field.contains("{") { throw TemplateError(.unsupported, "a field within a field of a format") }
      let parts = field.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      let names = parts[0].split(separator: "!", maxSplits: 1, omittingEmptySubsequences: false)
      let value = try self.field(names[0], given, &next)
      let spec = parts.count > 1 ? parts[1] : ""
      if names.count > 1 {
        guard names[1] == "s" || names[1] == "r" else {
          throw TemplateError(.unsupported, "the conversion `!\(names[1])`")
        }
        let text = try names[1] == "r" ? repr(value) : string(value)
        try append(formatted(.string(text), spec), to: &out)
      } else {
        try append(formatted(value, spec), to: &out)
      }
    }
    try append(String(rest), to: &out)
    return out
  }

  private func field(_ name: Substring, _ given: CallArguments, _ next: inout Int) throws -> Value {
    if name.isEmpty {
      next += 1
      guard let value = given.positional[wrapping: next - 1] else {
        throw TemplateError(.value, "replacement index \(next - 1) out of range for positional arguments")
      }
      return value
    }
    if name.contains(".") || name.contains("[") { throw TemplateError(.unsupported, "an attribute in a format") }
    let found =
      Int(name).map { given.positional.indices.contains($0) ? given.positional[$0] : nil }
      ?? given.named.first { $0.0 == name }?.1
    guard let found else { throw TemplateError(.value, "no value for '\(excerpt(String(name)))' in a format") }
    return found
  }

  private func formatted(_ value: Value, _ text: Substring) throws -> String {
    if text.isEmpty { return try string(value) }
    var spec = FieldSpec()
    var rest = text
    if rest.dropFirst().first.map({ "<>^=".contains($0) }) ?? false {
      (spec.fill, spec.align) = (String(rest.removeFirst()), rest.removeFirst())
    } else if rest.first.map({ "<>^=".contains($0) }) ?? false {
      spec.align = rest.removeFirst()
    }
    if let sign = rest.first, "+- ".contains(sign) { spec.sign = rest.removeFirst() }
    if rest.first == "#" { spec.isAlternate = rest.popFirst() != nil }
    if rest.first == "0" { spec.isZeroPadded = rest.popFirst() != nil }
    spec.width = try FieldSpec.number(&rest) ?? 0
    if let mark = rest.first, mark == "," || mark == "_" { spec.grouping = String(rest.removeFirst()) }
    if rest.first == "." {
      rest.removeFirst()
      spec.precision = try FieldSpec.number(&rest)
    }
    spec.kind = rest.popFirst()
    guard rest.isEmpty else { throw TemplateError(.value, "invalid format specifier '\(excerpt(String(text)))'") }
    return try formatted(value, spec)
  }

  private func formatted(_ value: Value, _ spec: FieldSpec) throws -> String {
    let kind = spec.kind
    if let text = value.text, kind == nil || kind == "s" {
      let cut = spec.precision.map { String(text.unicodeScalars.prefix($0)) } ?? text
      return spec.padded(cut, isNumber: false)
    }
    if case .integer(let integer) = value, spec.precision == nil, kind.map({ "dxXob".contains($0) }) ?? true {
      return spec.padded(spec.whole(integer, kind ?? "d"), isNumber: true)
    }
    if let number = value.number, let kind, "fFeEgG%".contains(kind) {
      return spec.padded(spec.number(number, kind), isNumber: true)
    }
    throw TemplateError(.unsupported, "a format of a \(value.typeName) like this is not supported")
  }
}
