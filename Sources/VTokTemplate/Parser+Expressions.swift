// Expressions, by jinja2's own grammar: what binds how, and where a filter or test may stand.

extension Parser {
  /// A node above others.
  private func node(_ kind: Expression.Kind, _ line: Int, above height: Int = 0) throws -> Expression {
    if height >= Self.heightLimit {
      throw TemplateError(.limit, "an expression of more than \(Self.heightLimit) levels", line: line)
    }
    return Expression(kind, line: line, height: height + 1)
  }

  private func node(_ kind: Expression.Kind, _ line: Int, above parts: Expression?...) throws -> Expression {
    try node(kind, line, above: Self.height(parts.compactMap { $0 }))
  }

  private static func height(_ parts: [Expression]) -> Int { parts.reduce(0) { max($0, $1.height) } }

  /// Entered wherever an expression can stand in another.
  mutating func expression(conditional: Bool = true) throws -> Expression {
    depth += 1
    defer { depth -= 1 }
    if depth > Self.heightLimit / 3 { throw error("more than \(Self.heightLimit / 3) nested brackets", .limit) }
    var value = try or()
    while conditional, token == .name("if") {
      let line = line
      advance()
      let test = try or()
      let otherwise = skip(word: "else") ? try expression() : nil
      value = try node(.condition(test, then: value, otherwise: otherwise), line, above: test, value, otherwise)
    }
    return value
  }

  /// One expression, or several with commas between them.
  mutating func tuple(
    conditional: Bool = true, endsBefore word: String? = nil, inParentheses: Bool = false
  ) throws -> Expression {
    let line = line
    var parts: [Expression] = []
    var isTuple = false
    while true {
      let ends =
        token == .outputEnd || token == .blockEnd || token == .symbol(")") || word.map { token == .name($0) } ?? false
      if ends { break }
      parts.append(try expression(conditional: conditional))
      guard skip(symbol: ",") else { break }
      isTuple = true
    }
    if parts.count == 1, !isTuple { return parts[0] }
    if parts.isEmpty, !inParentheses { throw unexpected("an expression") }
    return try node(.tuple(parts), line, above: Self.height(parts))
  }

  // MARK: Operators, from the loosest to the tightest

  private mutating func or() throws -> Expression {
    var left = try and()
    while token == .name("or") {
      let line = line
      advance()
      let right = try and()
      left = try node(.or(left, right), line, above: left, right)
    }
    return left
  }

  private mutating func and() throws -> Expression {
    var left = try not()
    while token == .name("and") {
      let line = line
      advance()
      let right = try not()
      left = try node(.and(left, right), line, above: left, right)
    }
    return left
  }

  private mutating func not() throws -> Expression {
    var lines: [Int] = []
    while token == .name("not") {
      lines.append(line)
      advance()
    }
    var value = try comparison()
    for line in lines.reversed() { value = try node(.not(value), line, above: value) }
    return value
  }

  private mutating func comparison() throws -> Expression {
    let line = line
    let left = try sum()
    var parts: [(Expression.Comparison, Expression)] = []
    while true {
      var comparison: Expression.Comparison?
      if case .symbol(let symbol) = token { comparison = Expression.Comparison(rawValue: symbol) }
      if token == .name("in") { comparison = .within }
      if token == .name("not"), following == .name("in") {
        advance()
        comparison = .notWithin
      }
      guard let comparison else { break }
      advance()
      parts.append((comparison, try sum()))
    }
    if parts.isEmpty { return left }
    return try node(.comparison(left, parts), line, above: Self.height([left] + parts.map(\.1)))
  }

  private mutating func sum() throws -> Expression {
    try chain(of: ["+", "-"]) { parser throws in try parser.concatenation() }
  }

  private mutating func concatenation() throws -> Expression {
    let line = line
    var parts = [try product()]
    while skip(symbol: "~") { parts.append(try product()) }
    return parts.count == 1 ? parts[0] : try node(.concatenation(parts), line, above: Self.height(parts))
  }

  private mutating func product() throws -> Expression {
    try chain(of: ["*", "/", "//", "%"]) { parser throws in
      try parser.chain(of: ["**"]) { parser throws in try parser.unary() }
    }
  }

  private mutating func chain(
    of symbols: [String], _ part: (inout Parser) throws -> Expression
  ) throws -> Expression {
    var left = try part(&self)
    while case .symbol(let symbol) = token, symbols.contains(symbol) {
      let line = line
      advance()
      let right = try part(&self)
      left = try node(.binary(Expression.Binary(rawValue: symbol)!, left, right), line, above: left, right)
    }
    return left
  }

  private mutating func unary() throws -> Expression {
    var signs: [(isNegative: Bool, line: Int)] = []
    while token == .symbol("-") || token == .symbol("+") {
      signs.append((token == .symbol("-"), line))
      advance()
    }
    var value = try postfix(primary())
    for sign in signs.reversed() {
      value = try node(sign.isNegative ? .negative(value) : .positive(value), sign.line, above: value)
    }
    return try filtered(value)
  }

  private mutating func primary() throws -> Expression {
    let line = line
    let token = token
    switch token {
    case .name(let name):
      advance()
      switch name {
      case "true", "True": return try node(.bool(true), line)
      case "false", "False": return try node(.bool(false), line)
      case "none", "None": return try node(.none, line)
      default:
        spokenNames.insert(name)
        return try node(.name(name), line)
      }
    case .string(var text):
      advance()
      while case .string(let more) = self.token {
        text += more
        advance()
      }
      return try node(.string(text), line)
    case .integer(let value):
      advance()
      return try node(.integer(value), line)
    case .float(let value):
      advance()
      return try node(.float(value), line)
    case .symbol("("):
      advance()
      let value = try tuple(inParentheses: true)
      try expect(symbol: ")")
      return value
    case .symbol("["):
      advance()
      let parts = try elements(until: "]") { parser throws in try parser.expression() }
      return try node(.list(parts), line, above: Self.height(parts))
    case .symbol("{"):
      advance()
      let pairs = try elements(until: "}") { parser throws in
        let key = try parser.expression()
        try parser.expect(symbol: ":")
        return (key, try parser.expression())
      }
      return try node(.dict(pairs), line, above: Self.height(pairs.flatMap { [$0, $1] }))
    default: throw unexpected("an expression")
    }
  }

  private mutating func elements<Part>(
    until end: String, _ part: (inout Parser) throws -> Part
  ) throws -> [Part] {
    var parts: [Part] = []
    while token != .symbol(end) {
      if !parts.isEmpty {
        try expect(symbol: ",")
        if token == .symbol(end) { break }
      }
      parts.append(try part(&self))
    }
    advance()
    return parts
  }

  // MARK: Behind a value

  private mutating func postfix(_ value: Expression) throws -> Expression {
    var value = value
    while true {
      let line = line
      if skip(symbol: ".") {
        if case .integer(let index) = token {
          advance()
          value = try node(.item(value, node(.integer(index), line)), line, above: value)
        } else {
          value = try node(.attribute(value, name()), line, above: value)
        }
      } else if skip(symbol: "[") {
        value = try subscripted(value, line)
      } else if token == .symbol("(") {
        let arguments = try arguments()
        value = try node(.call(value, arguments), line, above: max(value.height, arguments.height))
      } else {
        return value
      }
    }
  }

  private mutating func subscripted(_ value: Expression, _ line: Int) throws -> Expression {
    if token == .symbol("]") { throw unexpected("an index") }
    var bounds: [Expression?] = [nil, nil, nil]
    var part = 0
    while token != .symbol("]") {
      if token == .symbol(":"), part < 2 {
        advance()
        part += 1
      } else if token == .symbol(",") {
        throw error("an index with a comma is not supported", .unsupported)
      } else {
        guard bounds[part] == nil else { throw unexpected("`]`") }
        bounds[part] = try expression()
      }
    }
    advance()
    if part == 0 { return try node(.item(value, bounds[0]!), line, above: value, bounds[0]) }
    let height = Self.height([value] + bounds.compactMap { $0 })
    return try node(.slice(value, bounds[0], bounds[1], bounds[2]), line, above: height)
  }

  mutating func arguments() throws -> Arguments {
    try expect(symbol: "(")
    var arguments = Arguments()
    var isFirst = true
    while token != .symbol(")") {
      if !isFirst {
        try expect(symbol: ",")
        if token == .symbol(")") { break }
      }
      isFirst = false
      if skip(symbol: "*") {
        guard arguments.spread == nil, arguments.namedSpread == nil else { throw unexpected("an argument") }
        arguments.spread = try expression()
      } else if skip(symbol: "**") {
        guard arguments.namedSpread == nil else { throw unexpected("an argument") }
        arguments.namedSpread = try expression()
      } else if case .name(let name) = token, following == .symbol("=") {
        advance()
        advance()
        arguments.named.append((name, try expression()))
      } else {
        guard arguments.named.isEmpty, arguments.spread == nil, arguments.namedSpread == nil else {
          throw error("an argument without a name behind one that has it")
        }
        arguments.positional.append(try expression())
      }
    }
    advance()
    return arguments
  }

  /// Filters and tests, which may be called on.
  private mutating func filtered(_ value: Expression) throws -> Expression {
    var value = value
    while true {
      let line = line
      if skip(symbol: "|") {
        let call = try named("filter")
        value = try node(.filter(value, call), line, above: max(value.height, call.arguments.height))
      } else if token == .name("is") {
        value = try test(value)
      } else if token == .symbol("(") {
        let arguments = try arguments()
        value = try node(.call(value, arguments), line, above: max(value.height, arguments.height))
      } else {
        return value
      }
    }
  }

  /// The filters of a `filter` or `set` block.
  mutating func filters(isFirst: Bool) throws -> [Call] {
    var calls = isFirst ? [try named("filter")] : []
    while skip(symbol: "|") { calls.append(try named("filter")) }
    return calls
  }

  private mutating func named(_ kind: String) throws -> Call {
    let line = line
    var name = try name()
    while skip(symbol: ".") { name += "." + (try self.name()) }
    return Call(name: name, arguments: token == .symbol("(") ? try arguments() : Arguments(), line: line)
  }

  private mutating func test(_ value: Expression) throws -> Expression {
    let line = line
    advance()
    let negated = skip(word: "not")
    var name = try name()
    while skip(symbol: ".") { name += "." + (try self.name()) }
    var arguments = Arguments()
    if token == .symbol("(") {
      arguments = try self.arguments()
    } else if takesArgument {
      if token == .name("is") { throw error("tests cannot be chained with `is`") }
      arguments.positional = [try postfix(primary())]
    }
    let call = Call(name: name, arguments: arguments, line: line)
    return try node(.test(value, call, negated: negated), line, above: max(value.height, arguments.height))
  }

  /// Whether what follows a test is its argument: `is divisibleby 3`.
  private var takesArgument: Bool {
    switch token {
    case .name(let name): !["else", "or", "and"].contains(name)
    case .string, .integer, .float, .symbol("["), .symbol("{"): true
    default: false
    }
  }
}
