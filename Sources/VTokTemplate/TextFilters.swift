import VTokLibC

// Filters that make texts and numbers.

extension Builtin {
  static let filters: [String: Builtin] = textFilters.merging(numberFilters) { $1 }.merging(sequenceFilters) { $1 }

  /// Of a value as text, marked text staying marked.
  private static func changed(_ change: @escaping @Sendable (String) -> String) -> Builtin {
    Builtin([]) { run, value, _ in
      let text = change(try run.string(value))
      try run.charge(text.utf8.count)
      if case .safe = value { return .safe(text) }
      return .string(text)
    }
  }

  private static let escape = Builtin([]) { run, value, _ in
    if case .safe = value { return value }
    return .safe(try run.escaped(run.string(value)))
  }

  private static let textFilters: [String: Builtin] = [
    "upper": changed { $0.uppercased() }, "lower": changed { $0.lowercased() },
    "capitalize": changed(\.capitalizedFirst), "title": changed(\.titledWords),
    "string": Builtin([]) { run, value, _ in value.text == nil ? .string(try run.string(value)) : value },
    "safe": Builtin([]) { run, value, _ in .safe(try run.string(value)) },
    "escape": escape, "e": escape,
    "forceescape": Builtin([]) { run, value, _ in .safe(try run.escaped(run.string(value))) },
    "trim": Builtin(["chars"]) { run, value, given in
      let text = try run.string(value)
      try run.charge(text.utf8.count)
      let rest = text.stripped(try given.text(0))
      if case .safe = value { return .safe(rest) }
      return .string(rest)
    },
    "replace": Builtin(["old", "new", "count"], required: 2) { run, value, given in
      let (old, new) = (try run.string(given[0]!), try run.string(given[1]!))
      return .string(try run.replacing(run.string(value), old, new, count: given.integer(2)))
    },
    "format": Builtin(nil) { run, value, given in
      guard given.all.positional.isEmpty || given.all.named.isEmpty else {
        throw TemplateError(.value, "can't handle positional and keyword arguments at the same time")
      }
      let named = given.all.named.isEmpty ? nil : Value.dict(try Dict(given.all.named))
      return .string(try run.printf(run.string(value), named ?? .tuple(Items(given.all.positional))))
    },
    "indent": Builtin(["width", "first", "blank"]) { run, value, given in
      var indent = given[0]?.text ?? ""
      if given[0]?.text == nil {
        let width = max(0, try given.integer(0) ?? 4)
        try run.charge(width)
        indent = String(repeating: " ", count: width)
      }
      let text = try run.string(value)
      var out = ""
      for (index, line) in (text + "\n").pythonLines.enumerated() {
        if index > 0 { try run.append("\n", to: &out) }
        let isIndented = index == 0 ? given.isTrue(1) : given.isTrue(2) || !line.text.isEmpty
        try run.append((isIndented ? indent : "") + line.text, to: &out)
      }
      return .string(out)
    },
    "center": Builtin(["width"]) { run, value, given in
      try textMethods["center"]!.call(
        run, given.what, .string(run.string(value)), CallArguments(positional: [given[0] ?? .integer(80)]))
    },
    "wordcount": Builtin([]) { run, value, _ in
      let words = try run.string(value).unicodeScalars.split {
        !($0.isLetter || $0.properties.numericType != nil || $0 == "_")
      }
      return .integer(words.count)
    },
    "truncate": Builtin(["length", "killwords", "end", "leeway"]) { run, value, given in
      let (text, end) = (try run.string(value), try given.text(2) ?? "...")
      let (length, leeway) = (try given.integer(0) ?? 255, try given.integer(3) ?? 5)
      let (count, endCount) = (text.unicodeScalars.count, end.unicodeScalars.count)
      guard length >= endCount, leeway >= 0 else {
        throw TemplateError(.value, "\(given.what): expected a length of \(endCount) or more and a leeway")
      }
      if count - leeway <= length { return .string(text) }
      let cut = String(text.unicodeScalars.prefix(length - endCount))
      if given.isTrue(1) { return .string(cut + end) }
      return .string((cut.lastPlaces(of: " ", limit: 1).first.map { String(cut[..<$0]) } ?? cut) + end)
    },
    "tojson": Builtin(["ensure_ascii", "indent", "separators", "sort_keys"]) { run, value, given in
      try toJSON(run, value, given)
    },
  ]

  private static func toJSON(_ run: Interpreter, _ value: Value, _ given: Given) throws -> Value {
    var indent: String?
    if let text = given[1]?.text {
      indent = text
    } else if let width = try given.integer(1) {
      try run.charge(max(0, width))
      indent = String(repeating: " ", count: max(0, width))
    }
    var separators: (String, String)?
    if given.has(2) {
      let parts = try run.elements(of: given[2]!).map(\.text)
      guard parts.count == 2, let item = parts[0], let key = parts[1] else {
        throw given.needed(given[2]!, "a pair of strings")
      }
      separators = (item, key)
    }
    var json = JSONText(
      run: run, indent: indent, separators: separators, sortsKeys: given.isTrue(3), isASCII: given.isTrue(0))
    return .string(try json.text(of: value))
  }

  // MARK: Numbers

  private static let numberFilters: [String: Builtin] = [
    "abs": Builtin([]) { run, value, given in
      if case .float(let number) = value { return .float(number.magnitude) }
      guard let integer = value.integer else { throw given.needed(value, "a number") }
      return integer < 0 ? try run.negative(.integer(integer)) : .integer(integer)
    },
    "int": Builtin(["default", "base"]) { run, value, given in
      let standard = given[0] ?? .integer(0)
      if case .undefined(let reason) = value { throw TemplateError(.undefined, reason) }
      if let integer = value.integer { return .integer(integer) }
      if let text = value.text {
        let base = try given.integer(1) ?? 10
        guard base == 0 || (2...36).contains(base) else { return standard }
        if let integer = try text.pythonInteger(base: base) { return .integer(integer) }
      }
      guard let number = value.number ?? value.text?.pythonFloat, number.isFinite else { return standard }
      guard let integer = Int(exactly: number.rounded(.towardZero)) else { throw TemplateError.bigNumber }
      return .integer(integer)
    },
    "float": Builtin(["default"]) { run, value, given in
      if case .undefined(let reason) = value { throw TemplateError(.undefined, reason) }
      return (value.number ?? value.text?.pythonFloat).map { .float($0) } ?? given[0] ?? .float(0)
    },
    "round": Builtin(["precision", "method"]) { run, value, given in
      guard let number = value.number else { throw given.needed(value, "a number") }
      let precision = try given.integer(0) ?? 0
      switch try given.text(1) ?? "common" {
      case "common":
        if let integer = value.integer, precision >= 0 { return .integer(integer) }
        guard precision >= 0 else { throw TemplateError(.unsupported, "\(given.what) with a negative precision") }
        if precision > 300 || !number.isFinite { return value }
        return .float(Double(number.fixed(precision)) ?? number)
      case "ceil", "floor":
        let scale = pow(10.0, Double(precision))
        let scaled = number * scale
        guard scaled.isFinite, scale != 0 else { throw TemplateError(.value, "\(given.what): out of range") }
        return .float((try given.text(1) == "ceil" ? scaled.rounded(.up) : scaled.rounded(.down)) / scale)
      default: throw TemplateError(.value, "\(given.what): method must be common, ceil or floor")
      }
    },
  ]
}

extension String {
  /// As `int(text, base)`; nil: it is none.
  fileprivate func pythonInteger(base: Int) throws -> Int? {
    var text = stripped(nil).lowercased()
    var sign = ""
    if text.hasPrefix("-") || text.hasPrefix("+") { sign = String(text.removeFirst()) }
    var radix = base == 0 ? 10 : base
    for (mark, size) in [("0x", 16), ("0o", 8), ("0b", 2)] where (base == size || base == 0) && text.hasPrefix(mark) {
      (text, radix) = (String(text.dropFirst(2)), size)
    }
    text = text.withoutUnderscores.withPlainDigits
    guard !text.isEmpty, text.allSatisfy({ $0.isASCII && $0.hexDigitOrLetter.map { $0 < radix } ?? false }) else {
      return nil
    }
    guard let value = Int(sign + text, radix: radix) else { throw TemplateError.bigNumber }
    return value
  }

  /// As `float(text)`; nil: it is none.
  fileprivate var pythonFloat: Double? {
    let text = stripped(nil).lowercased().withoutUnderscores.withPlainDigits
    let bare = text.hasPrefix("-") || text.hasPrefix("+") ? String(text.dropFirst()) : text
    if ["inf", "infinity"].contains(bare) { return text.hasPrefix("-") ? -.infinity : .infinity }
    if bare == "nan" { return .nan }
    guard !bare.isEmpty, bare.allSatisfy({ $0.isASCII && ($0.isNumber || ".e+-".contains($0)) }) else { return nil }
    // Python takes a point at either end.
    let parts = text.split(separator: "e", maxSplits: 1, omittingEmptySubsequences: false)
    var mantissa = String(parts[0])
    if mantissa.hasSuffix("."), mantissa.dropLast().last?.isNumber ?? false { mantissa += "0" }
    return Double(mantissa + (parts.count > 1 ? "e" + parts[1] : ""))
  }

  /// Digits of other scripts are digits to Python.
  private var withPlainDigits: String {
    if utf8.allSatisfy({ $0 < 128 }) { return self }
    return unicodeScalars.map { scalar in
      guard scalar.properties.numericType == .decimal, let value = scalar.properties.numericValue else {
        return String(scalar)
      }
      return "\(Int(value))"
    }.joined()
  }

  /// Single ones between digits go.
  private var withoutUnderscores: String {
    if !contains("_") { return self }
    let parts = split(separator: "_", omittingEmptySubsequences: false)
    return parts.contains { $0.isEmpty } ? self : parts.joined()
  }

  /// As the filter `title`: a word begins behind a space, a dash or an opening bracket.
  fileprivate var titledWords: String {
    var out = ""
    var isInWord = false
    for scalar in unicodeScalars {
      out += isInWord ? scalar.properties.lowercaseMapping : scalar.properties.uppercaseMapping
      isInWord = !(scalar.isPythonSpace || "-({[<".unicodeScalars.contains(scalar))
    }
    return out
  }
}

extension Character {
  fileprivate var hexDigitOrLetter: Int? {
    guard let value = asciiValue else { return nil }
    switch value {
    case 48...57: return Int(value) - 48
    case 97...122: return Int(value) - 87
    default: return nil
    }
  }
}
