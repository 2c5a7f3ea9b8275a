// Methods of strings.

extension Builtin {
  static let textMethods: [String: Builtin] = [
    "strip": strip(left: true, right: true), "lstrip": strip(left: true, right: false),
    "rstrip": strip(left: false, right: true),
    "upper": changed { $0.uppercased() }, "lower": changed { $0.lowercased() },
    "casefold": changed { $0.lowercased() }, "capitalize": changed(\.capitalizedFirst),
    "title": changed(\.titled), "swapcase": changed(\.swappedCase),
    "split": Builtin(["sep", "maxsplit"]) { run, value, given in
      try split(run, value.text!, given.text(0), given.integer(1), fromRight: false)
    },
    "rsplit": Builtin(["sep", "maxsplit"]) { run, value, given in
      try split(run, value.text!, given.text(0), given.integer(1), fromRight: true)
    },
    "splitlines": Builtin(["keepends"]) { run, value, given in
      let lines = value.text!.pythonLines
      try run.charge(elements: lines.count)
      return .list(try Items(lines.map { .string(given.isTrue(0) ? $0.text + $0.end : $0.text) }))
    },
    "partition": partition(fromRight: false), "rpartition": partition(fromRight: true),
    "startswith": affix { text, affix in text.utf8.starts(with: affix.utf8) },
    "endswith": affix { text, affix in text.utf8.reversed().starts(with: affix.utf8.reversed()) },
    "removeprefix": Builtin([""], required: 1) { run, value, given in
      let (text, affix) = (value.text!, try needed(given, 0))
      return .string(text.utf8.starts(with: affix.utf8) ? String(text.utf8.dropFirst(affix.utf8.count))! : text)
    },
    "removesuffix": Builtin([""], required: 1) { run, value, given in
      let (text, affix) = (value.text!, try needed(given, 0))
      let ends = text.utf8.reversed().starts(with: affix.utf8.reversed())
      return .string(ends ? String(text.utf8.dropLast(affix.utf8.count))! : text)
    },
    "replace": Builtin(["", "", "count"], required: 2) { run, value, given in
      .string(try run.replacing(value.text!, needed(given, 0), needed(given, 1), count: given.integer(2)))
    },
    "join": Builtin([""], required: 1) { run, value, given in
      let parts = try run.elements(of: given[0]!)
      return .string(
        try run.joined(parts, with: value.text!) { part in
          guard let text = part.text else {
            throw TemplateError(.value, "`join`: found a \(part.typeName), expected strings")
          }
          return text
        })
    },
    "find": place { run, text, part in text.firstPlace(of: part).map(text.scalarOffset) ?? -1 },
    "rfind": place { run, text, part in text.lastPlaces(of: part, limit: 1).first.map(text.scalarOffset) ?? -1 },
    "index": place { run, text, part in try found(text.firstPlace(of: part), text) },
    "rindex": place { run, text, part in try found(text.lastPlaces(of: part, limit: 1).first, text) },
    "count": place { run, text, part in
      part.isEmpty ? text.unicodeScalars.count + 1 : text.places(of: part).count
    },
    "isalpha": all { $0.isLetter }, "isdigit": all { $0.isDecimalOrDigit }, "isdecimal": all { $0.isDecimal },
    "isnumeric": all { $0.properties.numericType != nil }, "isspace": all(\.isPythonSpace),
    "isalnum": all { $0.isLetter || $0.properties.numericType != nil },
    "isupper": Builtin([]) { _, value, _ in .bool(value.text!.isUpper) },
    "islower": Builtin([]) { _, value, _ in .bool(value.text!.isLower) },
    "isascii": Builtin([]) { _, value, _ in .bool(value.text!.utf8.allSatisfy { $0 < 128 }) },
    "istitle": Builtin([]) { _, value, _ in .bool(value.text!.titled == value.text! && value.text!.hasCased) },
    "center": padded { ($0 + 1 * ($0 % 2 & $1 % 2)) / 2 }, "ljust": padded { _, _ in 0 },
    "rjust": padded { missing, _ in missing },
    "zfill": Builtin([""], required: 1) { run, value, given in
      let text = value.text!
      let missing = max(0, min(try given.integer(0) ?? 0, Int.max / 2) - text.unicodeScalars.count)
      try run.charge(missing)
      let sign = text.hasPrefix("-") || text.hasPrefix("+") ? String(text.prefix(1)) : ""
      return .string(sign + String(repeating: "0", count: missing) + text.dropFirst(sign.count))
    },
    "format": Builtin(nil) { run, value, given in .string(try run.format(value.text!, given.all)) },
  ]

  static func needed(_ given: Given, _ index: Int) throws -> String {
    guard let text = try given.text(index) else { throw given.needed(given[index] ?? .none, "a string") }
    return text
  }

  private static func strip(left: Bool, right: Bool) -> Builtin {
    Builtin([""]) { run, value, given in
      try run.charge(value.text!.utf8.count)
      return .string(value.text!.stripped(try given.text(0), left: left, right: right))
    }
  }

  private static func changed(_ change: @escaping @Sendable (String) -> String) -> Builtin {
    Builtin([]) { run, value, given in
      let text = change(value.text!)
      try run.charge(text.utf8.count)
      return .string(text)
    }
  }

  private static func all(_ fits: @escaping @Sendable (Unicode.Scalar) -> Bool) -> Builtin {
    Builtin([]) { run, value, given in
      .bool(!value.text!.isEmpty && value.text!.unicodeScalars.allSatisfy(fits))
    }
  }

  /// One text or a tuple of them.
  private static func affix(_ fits: @escaping @Sendable (String, String) -> Bool) -> Builtin {
    Builtin(["", "", ""], required: 1) { run, value, given in
      let text = try part(of: value.text!, given)
      if case .tuple(let items)? = given[0] {
        return .bool(
          try items.values.contains { item in
            guard let affix = item.text else { throw given.needed(item, "a string") }
            return fits(text, affix)
          })
      }
      return .bool(fits(text, try needed(given, 0)))
    }
  }

  /// The part of a text that two further arguments ask for.
  private static func part(of text: String, _ given: Given) throws -> String {
    guard given.has(1) || given.has(2) else { return text }
    let scalars = Array(text.unicodeScalars)
    func bound(_ index: Int, _ standard: Int) throws -> Int {
      let bound = try given.integer(index) ?? standard
      return min(max(bound < 0 ? bound + scalars.count : bound, 0), scalars.count)
    }
    let (start, end) = (try bound(1, 0), try bound(2, scalars.count))
    return String(String.UnicodeScalarView(scalars[start..<max(start, end)]))
  }

  private static func place(_ find: @escaping @Sendable (Interpreter, String, String) throws -> Int) -> Builtin {
    Builtin(["", "", ""], required: 1) { run, value, given in
      try run.charge(value.text!.utf8.count / 4)
      guard !given.has(1), !given.has(2) else {
        throw TemplateError(.unsupported, "\(given.what) with a start is not supported")
      }
      return .integer(try find(run, value.text!, needed(given, 0)))
    }
  }

  @Sendable private static func found(_ place: String.Index?, _ text: String) throws -> Int {
    guard let place else { throw TemplateError(.value, "substring not found") }
    return text.scalarOffset(of: place)
  }

  private static func partition(fromRight: Bool) -> Builtin {
    Builtin([""], required: 1) { run, value, given in
      let (text, mark) = (value.text!, try needed(given, 0))
      guard !mark.isEmpty else { throw TemplateError(.value, "empty separator") }
      try run.charge(text.utf8.count)
      let place = fromRight ? text.lastPlaces(of: mark, limit: 1).first : text.firstPlace(of: mark)
      guard let place else {
        return .tuple(try Items((fromRight ? ["", "", text] : [text, "", ""]).map { .string($0) }))
      }
      let end = text.utf8.index(place, offsetBy: mark.utf8.count)
      return .tuple(try Items([.string(String(text[..<place])), .string(mark), .string(String(text[end...]))]))
    }
  }

  /// - Parameter before: how much of what is missing goes before a text.
  private static func padded(_ before: @escaping @Sendable (_ missing: Int, _ width: Int) -> Int) -> Builtin {
    Builtin(["", ""], required: 1) { run, value, given in
      let (text, width) = (value.text!, min(try given.integer(0) ?? 0, Int.max / 2))
      let fill = try given.text(1) ?? " "
      guard fill.unicodeScalars.count == 1 else { throw given.needed(given[1]!, "one character") }
      let missing = max(0, width - text.unicodeScalars.count)
      try run.charge(missing)
      let left = before(missing, width)
      return .string(
        String(repeating: fill, count: left) + text + String(repeating: fill, count: missing - left))
    }
  }

  private static func split(
    _ run: Interpreter, _ text: String, _ mark: String?, _ limit: Int?, fromRight: Bool
  ) throws -> Value {
    let limit = limit.map { $0 < 0 ? Int.max : $0 } ?? .max
    try run.charge(text.utf8.count)
    var parts: [String] = []
    if let mark {
      guard !mark.isEmpty else { throw TemplateError(.value, "empty separator") }
      let places = fromRight ? text.lastPlaces(of: mark, limit: limit) : text.places(of: mark, limit: limit)
      try run.charge(elements: places.count + 1)
      var start = text.startIndex
      for place in places {
        parts.append(String(text[start..<place]))
        start = text.utf8.index(place, offsetBy: mark.utf8.count)
      }
      parts.append(String(text[start...]))
    } else {
      parts = words(of: text, limit: limit, fromRight: fromRight)
      try run.charge(elements: parts.count)
    }
    return .list(try Items(parts.map { .string($0) }))
  }

  /// Between white space; behind `limit` of them comes the rest.
  private static func words(of text: String, limit: Int, fromRight: Bool) -> [String] {
    let all = Array(text.unicodeScalars)
    let scalars = fromRight ? all.reversed() : all
    var words: [[Unicode.Scalar]] = []
    var at = 0
    while true {
      while at < scalars.count, scalars[at].isPythonSpace { at += 1 }
      guard at < scalars.count else { break }
      if words.count == limit {
        words.append(Array(scalars[at...]))
        break
      }
      var end = at
      while end < scalars.count, !scalars[end].isPythonSpace { end += 1 }
      words.append(Array(scalars[at..<end]))
      at = end
    }
    if fromRight { words = words.reversed().map { $0.reversed() } }
    return words.map { String(String.UnicodeScalarView($0)) }
  }
}

extension Interpreter {
  func replacing(_ text: String, _ old: String, _ new: String, count: Int?) throws -> String {
    let limit = count.map { $0 < 0 ? Int.max : $0 } ?? .max
    let places =
      old.isEmpty
      ? Array((Array(text.unicodeScalars.indices) + [text.endIndex]).prefix(limit)) : text.places(of: old, limit: limit)
    try charge(elements: places.count / 8)
    let (grown, overflow) = places.count.multipliedReportingOverflow(by: new.utf8.count)
    if overflow { throw TemplateError.bigNumber }
    try charge(text.utf8.count + grown)
    var out = ""
    var start = text.startIndex
    for place in places {
      out += text[start..<place]
      out += new
      start = text.utf8.index(place, offsetBy: old.utf8.count)
    }
    return out + text[start...]
  }

  func joined(_ parts: [Value], with mark: String, _ text: (Value) throws -> String) throws -> String {
    var out = ""
    for (index, part) in parts.enumerated() {
      if index > 0 { try append(mark, to: &out) }
      try append(text(part), to: &out)
    }
    return out
  }
}

extension Unicode.Scalar {
  var isLetter: Bool {
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
    default: false
    }
  }
  fileprivate var isDecimal: Bool { properties.numericType == .decimal }
  fileprivate var isDecimalOrDigit: Bool { isDecimal || properties.numericType == .digit }
}

extension String {
  var isUpper: Bool { hasCased && unicodeScalars.allSatisfy { !$0.properties.isLowercase } }
  var isLower: Bool { hasCased && unicodeScalars.allSatisfy { !$0.properties.isUppercase } }
  fileprivate var hasCased: Bool { unicodeScalars.contains { $0.properties.isUppercase || $0.properties.isLowercase } }

  var capitalizedFirst: String {
    guard let first = unicodeScalars.first else { return "" }
    return first.properties.titlecaseMapping + String(unicodeScalars.dropFirst()).lowercased()
  }

  /// As `str.title`: a word begins behind whatever has no case.
  fileprivate var titled: String {
    var out = ""
    var isInWord = false
    for scalar in unicodeScalars {
      out += isInWord ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
      isInWord = scalar.properties.isCased
    }
    return out
  }

  fileprivate var swappedCase: String {
    unicodeScalars.map {
      $0.properties.isUppercase ? $0.properties.lowercaseMapping : $0.properties.uppercaseMapping
    }.joined()
  }
}
