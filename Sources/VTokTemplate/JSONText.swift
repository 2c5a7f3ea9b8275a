/// `tojson` as transformers defines it: Python's `json.dumps`, nothing escaped for HTML.
struct JSONText {
  let run: Interpreter
  let indent: String?
  let itemSeparator: String, keySeparator: String
  let sortsKeys: Bool, isASCII: Bool
  private var out = ""

  init(
    run: Interpreter, indent: String?, separators: (item: String, key: String)?, sortsKeys: Bool, isASCII: Bool
  ) {
    self.run = run
    self.indent = indent
    self.sortsKeys = sortsKeys
    self.isASCII = isASCII
    itemSeparator = separators?.item ?? (indent == nil ? ", " : ",")
    keySeparator = separators?.key ?? ": "
  }

  mutating func text(of value: Value) throws -> String {
    try write(value, 1)
    return out
  }

  private mutating func write(_ value: Value, _ level: Int) throws {
    try run.step()
    switch value {
    case .none: try add("null")
    case .bool(let value): try add(value ? "true" : "false")
    case .integer(let value): try add("\(value)")
    case .float(let value): try add(Self.number(value))
    case .string(let text), .safe(let text): try add(quoted(text))
    case .list(let items), .tuple(let items):
      try write(items.values, "[", "]", level) { json, value throws in try json.write(value, level + 1) }
    case .dict(let dict):
      var members = try dict.pairs.map { (try $0.text ?? key($0), $0, $1) }
      if sortsKeys { try members.sort { try run.precedes($0.1, $1.1) } }
      try write(members, "{", "}", level) { json, member throws in
        try json.add(json.quoted(member.0) + json.keySeparator)
        try json.write(member.2, level + 1)
      }
    default: throw TemplateError(.value, "Object of type \(value.typeName) is not JSON serializable")
    }
  }

  private mutating func write<Element>(
    _ elements: [Element], _ start: String, _ end: String, _ level: Int,
    _ element: (inout JSONText, Element) throws -> Void
  ) throws {
    if elements.isEmpty { return try add(start + end) }
    try add(start)
    for (index, value) in elements.enumerated() {
      if index > 0 { try add(itemSeparator) }
      try newLine(level)
      try element(&self, value)
    }
    try newLine(level - 1)
    try add(end)
  }

  private mutating func newLine(_ level: Int) throws {
    guard let indent else { return }
    try run.charge(indent.utf8.count * level)
    try add("\n" + String(repeating: indent, count: level))
  }

  private mutating func add(_ text: String) throws { try run.append(text, to: &out) }

  private func key(_ key: Value) throws -> String {
    switch key {
    case .none: "null"
    case .bool(let value): value ? "true" : "false"
    case .integer(let value): "\(value)"
    case .float(let value): Self.number(value)
    default: throw TemplateError(.value, "keys must be str, int, float, bool or None, not \(key.typeName)")
    }
  }

  private static func number(_ value: Double) -> String {
    value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : value.pythonText
  }

  private func quoted(_ text: String) -> String {
    var out = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      case "\u{8}": out += "\\b"
      case "\u{C}": out += "\\f"
      default:
        if scalar.value >= 32, scalar.value < 127 || !isASCII {
          out.unicodeScalars.append(scalar)
        } else {
          for unit in String(scalar).utf16 {
            let digits = String(unit, radix: 16)
            out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
          }
        }
      }
    }
    return out + "\""
  }
}
