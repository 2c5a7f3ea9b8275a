/// The parts of a template: its plain text, and the words within its tags.
enum Token: Equatable {
  case text(String)
  case outputBegin, outputEnd, blockBegin, blockEnd
  case name(String)
  case string(String)
  case integer(Int)
  case float(Double)
  case symbol(String)
  case end

  /// For messages.
  var description: String {
    switch self {
    case .text: "text"
    case .outputBegin: "`{{`"
    case .outputEnd: "`}}`"
    case .blockBegin: "`{%`"
    case .blockEnd: "`%}`"
    case .name(let name): "`\(excerpt(name))`"
    case .string(let text): "'\(excerpt(text))'"
    case .integer(let value): "\(value)"
    case .float(let value): "\(value)"
    case .symbol(let symbol): "`\(symbol)`"
    case .end: "the end of the template"
    }
  }
}

struct Lexeme {
  let token: Token
  let line: Int
}

/// Cuts a template as jinja2 does with `trim_blocks` (a line end behind a block goes), `lstrip_blocks` (white space
/// before a block on its line goes) and without `keep_trailing_newline`. `-` and `+` in a tag say otherwise.
struct Lexer {
  private let source: [Unicode.Scalar]
  private var at = 0
  private var line = 1
  private var lexemes: [Lexeme] = []

  static func lexemes(of text: String) throws -> [Lexeme] {
    var lexer = Lexer(source: normalized(text))
    try lexer.template()
    lexer.add(.end)
    return lexer.lexemes
  }

  private init(source: [Unicode.Scalar]) { self.source = source }

  /// One kind of line end, and none behind the last line.
  private static func normalized(_ text: String) -> [Unicode.Scalar] {
    var scalars: [Unicode.Scalar] = []
    var previous: Unicode.Scalar = " "
    for scalar in text.unicodeScalars {
      if scalar == "\r" { scalars.append("\n") } else if scalar != "\n" || previous != "\r" { scalars.append(scalar) }
      previous = scalar
    }
    if scalars.last == "\n" { scalars.removeLast() }
    return scalars
  }

  // MARK: Text and tags

  private mutating func add(_ token: Token) { lexemes.append(Lexeme(token: token, line: line)) }

  /// Goes on to `position` and counts the lines.
  private mutating func move(to position: Int) {
    line += source[at..<position].count { $0 == "\n" }
    at = position
  }

  private func has(_ text: String, at position: Int) -> Bool {
    var position = position
    for scalar in text.unicodeScalars {
      guard position < source.count, source[position] == scalar else { return false }
      position += 1
    }
    return true
  }

  private func afterSpace(_ position: Int) -> Int {
    source[position...].firstIndex { !$0.isPythonSpace } ?? source.count
  }

  private mutating func template() throws {
    while at < source.count {
      var next = at
      while next < source.count, !(source[next] == "{" && ["{{", "{%", "{#"].contains { has($0, at: next) }) {
        next += 1
      }
      guard next < source.count else {
        addText(until: next, strips: false, toLineStart: false)
        return
      }
      let sign = next + 2 < source.count && "+-".unicodeScalars.contains(source[next + 2]) ? source[next + 2] : nil
      let isOutput = source[next + 1] == "{"
      addText(until: next, strips: sign == "-", toLineStart: sign == nil && !isOutput)
      move(to: next + (sign == nil ? 2 : 3))
      switch source[next + 1] {
      case "#": try comment()
      case "%":
        if let inner = rawStart() { try raw(from: inner) } else { try tag(.blockBegin, .blockEnd) }
      default:
        // A plus sign belongs to the expression.
        if sign == "+" { at -= 1 }
        try tag(.outputBegin, .outputEnd)
      }
    }
  }

  /// The text up to a tag.
  private mutating func addText(until end: Int, strips: Bool, toLineStart: Bool) {
    var last = end
    if strips {
      while last > at, source[last - 1].isPythonSpace { last -= 1 }
    } else if toLineStart {
      var start = end
      while start > at, source[start - 1].isPythonSpace, source[start - 1] != "\n" { start -= 1 }
      if start == 0 || source[start - 1] == "\n" { last = start }
    }
    if last > at { add(.text(String(String.UnicodeScalarView(source[at..<last])))) }
    move(to: end)
  }

  private mutating func comment() throws {
    var end = at
    while !has("#}", at: end) {
      guard end < source.count else { throw TemplateError(.syntax, "a comment without its end", line: line) }
      end += 1
    }
    let sign = end > at ? source[end - 1] : " "
    move(to: end + 2)
    skip(after: sign)
  }

  /// Behind the end of a block or comment.
  private mutating func skip(after sign: Unicode.Scalar) {
    if sign == "-" {
      move(to: afterSpace(at))
    } else if sign != "+", at < source.count, source[at] == "\n" {
      move(to: at + 1)
    }
  }

  /// Where the text of a `raw` block begins, if this is one.
  private func rawStart() -> Int? {
    let word = afterSpace(at)
    guard has("raw", at: word) else { return nil }
    let end = afterSpace(word + 3)
    if has("-%}", at: end) { return afterSpace(end + 3) }
    return has("%}", at: end) ? end + 2 : nil
  }

  private mutating func raw(from start: Int) throws {
    let first = line
    move(to: start)
    var tag = at
    while tag < source.count {
      if has("{%", at: tag) {
        let sign = tag + 2 < source.count && "+-".unicodeScalars.contains(source[tag + 2]) ? source[tag + 2] : nil
        let word = afterSpace(tag + (sign == nil ? 2 : 3))
        var end = has("endraw", at: word) ? afterSpace(word + 6) : source.count
        let last: Unicode.Scalar = end < source.count ? source[end] : " "
        if last == "-" || last == "+" { end += 1 }
        if has("%}", at: end) {
          addText(until: tag, strips: sign == "-", toLineStart: sign == nil)
          move(to: end + 2)
          skip(after: last)
          return
        }
      }
      tag += 1
    }
    throw TemplateError(.syntax, "a raw block without its end", line: first)
  }

  // MARK: Words

  private static let closing: [Unicode.Scalar: Unicode.Scalar] = ["(": ")", "[": "]", "{": "}"]
  private static let symbols = [
    "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".",
    ":", "|", ",", ";",
  ]

  private mutating func tag(_ begin: Token, _ end: Token) throws {
    add(begin)
    let mark = end == .blockEnd ? "%}" : "}}"
    var open: [Unicode.Scalar] = []
    while true {
      guard at < source.count else {
        throw TemplateError(.syntax, "the template ends within a tag; \(end.description) is missing", line: line)
      }
      if open.isEmpty {
        let sign = source[at]
        let isSigned = sign == "-" || sign == "+" && end == .blockEnd
        let position = isSigned ? at + 1 : at
        if has(mark, at: position) {
          add(end)
          move(to: position + 2)
          if end == .blockEnd { skip(after: sign) } else if isSigned { move(to: afterSpace(at)) }
          return
        }
      }
      if source[at].isPythonSpace { move(to: afterSpace(at)) } else { try word(&open) }
    }
  }

  private mutating func word(_ open: inout [Unicode.Scalar]) throws {
    let first = source[at]
    if first.isDigit {
      try number()
    } else if first == "_" || first.properties.isXIDStart {
      let end = source[at...].firstIndex { !($0.properties.isXIDContinue) } ?? source.count
      add(.name(String(String.UnicodeScalarView(source[at..<end]))))
      at = end
    } else if first == "'" || first == "\"" {
      try string(quote: first)
    } else if let symbol = Self.symbols.first(where: { has($0, at: at) }) {
      if let close = Self.closing[first] { open.append(close) }
      if ")]}".unicodeScalars.contains(first) {
        guard let wanted = open.popLast() else {
          throw TemplateError(.syntax, "unexpected '\(first)'", line: line)
        }
        guard wanted == first else {
          throw TemplateError(.syntax, "unexpected '\(first)', expected '\(wanted)'", line: line)
        }
      }
      add(.symbol(symbol))
      at += symbol.unicodeScalars.count
    } else {
      throw TemplateError(.syntax, "unexpected character '\(excerpt(String(Character(first))))'", line: line)
    }
  }

  private mutating func number() throws {
    let start = at
    func digits(_ position: Int, _ isDigit: (Unicode.Scalar) -> Bool) -> Int {
      var end = position
      while end < source.count,
        isDigit(source[end]) || source[end] == "_" && end + 1 < source.count && isDigit(source[end + 1])
      { end += 1 }
      return end
    }
    func text(_ range: Range<Int>) -> String {
      String(String.UnicodeScalarView(source[range].filter { $0 != "_" }))
    }
    func whole(_ digits: String, radix: Int) throws -> Token {
      guard let value = Int(digits, radix: radix) else { throw TemplateError.bigNumber.at(line) }
      return .integer(value)
    }
    for (prefix, radix) in [("0x", 16), ("0b", 2), ("0o", 8)]
    where has(prefix, at: at) || has(prefix.uppercased(), at: at) {
      let end = digits(at + 2) { $0.isASCII && Character($0).hexDigitValue.map { $0 < radix } ?? false }
      if end > at + 2 {
        let token = try whole(text(at + 2..<end), radix: radix)
        add(token)
        at = end
        return
      }
    }
    var end = digits(at, \.isDigit)
    let isAfterDot = at > 0 && source[at - 1] == "."
    var isFloat = false
    if !isAfterDot, end + 1 < source.count, source[end] == ".", source[end + 1].isDigit {
      (end, isFloat) = (digits(end + 1, \.isDigit), true)
    }
    if !isAfterDot, end < source.count, source[end] == "e" || source[end] == "E" {
      let signed = end + 1 < source.count && "+-".unicodeScalars.contains(source[end + 1]) ? end + 2 : end + 1
      let last = digits(signed, \.isDigit)
      if last > signed { (end, isFloat) = (last, true) }
    }
    let written = text(start..<end)
    if isFloat {
      add(.float(Double(written) ?? .infinity))
    } else {
      if written.utf8.count > 1, written.utf8.first == UInt8(ascii: "0"), written.contains(where: { $0 != "0" }) {
        throw TemplateError(.syntax, "a number with a leading zero", line: line)
      }
      add(try whole(written, radix: 10))
    }
    at = end
  }

  private mutating func string(quote: Unicode.Scalar) throws {
    var end = at + 1
    while end < source.count, source[end] != quote { end += source[end] == "\\" ? 2 : 1 }
    guard end < source.count else { throw TemplateError(.syntax, "a string without its closing quote", line: line) }
    let text = try Self.unescaped(source[at + 1..<end], line: line)
    add(.string(text))
    move(to: end + 1)
  }

  private static let escapes: [Unicode.Scalar: Unicode.Scalar] = [
    "\\": "\\", "'": "'", "\"": "\"", "a": "\u{7}", "b": "\u{8}", "f": "\u{C}", "n": "\n", "r": "\r",
    "t": "\t", "v": "\u{B}",
  ]

  /// With Python's escapes replaced; those that it does not know stay as they are.
  private static func unescaped(_ source: ArraySlice<Unicode.Scalar>, line: Int) throws -> String {
    var out = String.UnicodeScalarView()
    var at = source.startIndex
    func coded(_ digits: ArraySlice<Unicode.Scalar>, radix: Int, count: Int) throws -> Unicode.Scalar {
      guard digits.count == count || radix == 8, digits.allSatisfy({ $0.isASCII && Character($0).isHexDigit }),
        let value = UInt32(String(String.UnicodeScalarView(digits)), radix: radix), let scalar = Unicode.Scalar(value)
      else { throw TemplateError(.syntax, "an escape in a string that is no character", line: line) }
      return scalar
    }
    while at < source.endIndex {
      guard source[at] == "\\", at + 1 < source.endIndex else {
        out.append(source[at])
        at += 1
        continue
      }
      let kind = source[at + 1]
      at += 2
      if kind == "\n" {
        continue
      } else if let known = escapes[kind] {
        out.append(known)
      } else if let count = ["x": 2, "u": 4, "U": 8][kind] {
        out.append(try coded(source[at...].prefix(count), radix: 16, count: count))
        at += count
      } else if kind.isOctal {
        let digits = source[(at - 1)...].prefix(3).prefix(while: \.isOctal)
        out.append(try coded(digits, radix: 8, count: digits.count))
        at += digits.count - 1
      } else if kind == "N" {
        throw TemplateError(.unsupported, "a character by its name (`\\N{...}`)", line: line)
      } else {
        out.append(contentsOf: ["\\", kind])
      }
    }
    return String(out)
  }
}

extension Unicode.Scalar {
  /// What Python's `str.isspace` and `strip` take for white space.
  var isPythonSpace: Bool { properties.isWhitespace || (0x1C...0x1F).contains(value) }
  var isDigit: Bool { (48...57).contains(value) }
  fileprivate var isOctal: Bool { (48...55).contains(value) }
}
