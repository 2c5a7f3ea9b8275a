// Values as text, as Python's str() and repr() write them.

extension Interpreter {
  /// What is written where a value is put out.
  func string(_ value: Value) throws -> String {
    switch value {
    case .undefined: return ""
    case .string(let text), .safe(let text): return text
    default:
      var out = ""
      try write(value, to: &out)
      return out
    }
  }

  func repr(_ value: Value) throws -> String {
    var out = ""
    try write(value, to: &out)
    return out
  }

  private func write(_ value: Value, to out: inout String) throws {
    try step()
    switch value {
    case .undefined: try append("Undefined", to: &out)
    case .none: try append("None", to: &out)
    case .bool(let value): try append(value ? "True" : "False", to: &out)
    case .integer(let value): try append("\(value)", to: &out)
    case .float(let value): try append(value.pythonText, to: &out)
    case .string(let text): try append(text.pythonLiteral, to: &out)
    case .safe(let text): try append("Markup(\(text.pythonLiteral))", to: &out)
    case .list(let items): try write(items.values, "[", "]", to: &out)
    case .tuple(let items): try write(items.values, "(", items.values.count == 1 ? ",)" : ")", to: &out)
    case .view(let name, let items): try write(items.values, name + "([", "])", to: &out)
    case .range(let span):
      let step = span.step == 1 ? "" : ", \(span.step)"
      try append("range(\(span.start), \(span.stop)\(step))", to: &out)
    case .dict(let dict):
      try append("{", to: &out)
      for (index, (key, value)) in dict.pairs.enumerated() {
        if index > 0 { try append(", ", to: &out) }
        try write(key, to: &out)
        try append(": ", to: &out)
        try write(value, to: &out)
      }
      try append("}", to: &out)
    case .object(let object):
      // Python writes addresses, or for a namespace what may hold itself.
      throw TemplateError(.unsupported, "a `\(object.typeName)` as text is not supported")
    }
  }

  private func write(_ values: [Value], _ start: String, _ end: String, to out: inout String) throws {
    try append(start, to: &out)
    for (index, value) in values.enumerated() {
      if index > 0 { try append(", ", to: &out) }
      try write(value, to: &out)
    }
    try append(end, to: &out)
  }

  /// `&`, `<`, `>` and quotes as HTML has them.
  func escaped(_ text: String) throws -> String {
    var out = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": out += "&amp;"
      case "<": out += "&lt;"
      case ">": out += "&gt;"
      case "'": out += "&#39;"
      case "\"": out += "&#34;"
      default: out.unicodeScalars.append(scalar)
      }
    }
    try charge(out.utf8.count)
    return out
  }
}

extension Double {
  /// The shortest decimal that reads back, with an exponent below 1e-4 and from 1e16 on.
  var pythonText: String {
    if isNaN { return "nan" }
    if isInfinite { return self < 0 ? "-inf" : "inf" }
    if self == 0 { return sign == .minus ? "-0.0" : "0.0" }
    let parts = magnitude.description.split(separator: "e")
    let digits = parts[0].split(separator: ".", omittingEmptySubsequences: false)
    let whole = String(digits[0])
    var fraction = digits.count > 1 ? String(digits[1]) : ""
    if fraction == "0" { fraction = "" }
    // All digits, and where the point stands in them.
    var all = whole + fraction
    var point = whole.count + (parts.count > 1 ? Int(parts[1])! : 0)
    while all.hasPrefix("0") { (all, point) = (String(all.dropFirst()), point - 1) }
    while all.hasSuffix("0") { all.removeLast() }
    let sign = self < 0 ? "-" : ""
    if point > 16 || point < -3 {
      let exponent = point - 1
      let mantissa = all.count > 1 ? "\(all.prefix(1)).\(all.dropFirst())" : all
      let number = exponent.magnitude < 10 ? "0\(exponent.magnitude)" : "\(exponent.magnitude)"
      return "\(sign)\(mantissa)e\(exponent < 0 ? "-" : "+")\(number)"
    }
    if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + all }
    if all.count <= point { return sign + all + String(repeating: "0", count: point - all.count) + ".0" }
    return "\(sign)\(all.prefix(point)).\(all.dropFirst(point))"
  }
}

extension String {
  /// In quotes, with escapes for what cannot be printed.
  var pythonLiteral: String {
    let quote: Unicode.Scalar = unicodeScalars.contains("'") && !unicodeScalars.contains("\"") ? "\"" : "'"
    var out = String.UnicodeScalarView()
    out.append(quote)
    for scalar in unicodeScalars {
      switch scalar {
      case quote, "\\": out.append(contentsOf: ["\\", scalar])
      case "\n": out.append(contentsOf: ["\\", "n"])
      case "\r": out.append(contentsOf: ["\\", "r"])
      case "\t": out.append(contentsOf: ["\\", "t"])
      default:
        if scalar.isPrintable {
          out.append(scalar)
        } else {
          let (mark, width) = scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
          let digits = String(scalar.value, radix: 16)
          out.append(
            contentsOf: "\\\(mark)\(String(repeating: "0", count: width - digits.count))\(digits)".unicodeScalars)
        }
      }
    }
    out.append(quote)
    return String(out)
  }
}

extension Unicode.Scalar {
  /// As Python's `isprintable`.
  var isPrintable: Bool {
    switch properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
    case .spaceSeparator: self == " "
    default: true
    }
  }
}
