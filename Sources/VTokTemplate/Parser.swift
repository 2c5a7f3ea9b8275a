/// Reads statements. Expressions are in an extension.
struct Parser {
  let lexemes: [Lexeme]
  var at = 0
  private var nesting = 0
  /// Of expressions within brackets.
  var depth = 0
  /// Names that the macro being read speaks of.
  var spokenNames: Set<String> = []

  /// Highest tree of one expression, and deepest nesting of statements.
  static let heightLimit = 120, nestingLimit = 50

  static func statements(of text: String) throws -> [Statement] {
    var parser = Parser(lexemes: try Lexer.lexemes(of: text))
    let statements = try parser.block(until: [])
    return statements
  }

  private init(lexemes: [Lexeme]) { self.lexemes = lexemes }

  // MARK: Tokens

  var token: Token { lexemes[at].token }
  var following: Token { lexemes[min(at + 1, lexemes.count - 1)].token }
  var line: Int { lexemes[at].line }

  func error(_ reason: String, _ kind: TemplateError.Kind = .syntax) -> TemplateError {
    TemplateError(kind, reason, line: line)
  }
  func unexpected(_ expected: String) -> TemplateError { error("found \(token.description), expected \(expected)") }

  /// The end token is never passed.
  mutating func advance() { at = min(at + 1, lexemes.count - 1) }

  mutating func skip(_ wanted: Token) -> Bool {
    guard token == wanted else { return false }
    advance()
    return true
  }
  mutating func skip(symbol: String) -> Bool { skip(.symbol(symbol)) }
  mutating func skip(word: String) -> Bool { skip(.name(word)) }

  mutating func expect(_ wanted: Token) throws {
    if !skip(wanted) { throw unexpected(wanted.description) }
  }
  mutating func expect(symbol: String) throws { try expect(.symbol(symbol)) }

  mutating func name() throws -> String {
    guard case .name(let name) = token else { throw unexpected("a name") }
    advance()
    return name
  }

  // MARK: Blocks

  /// Statements up to the tag of one of these names, which is left to be read. At the root there is none.
  private mutating func block(until ends: [String]) throws -> [Statement] {
    nesting += 1
    defer { nesting -= 1 }
    if nesting > Self.nestingLimit { throw error("more than \(Self.nestingLimit) nested statements", .limit) }
    var statements: [Statement] = []
    while true {
      let line = line
      switch token {
      case .end:
        guard ends.isEmpty else { throw unexpected(ends.map { "`{% \($0) %}`" }.joined(separator: " or ")) }
        return statements
      case .text(let text):
        statements.append(Statement(kind: .text(text), line: line))
        advance()
      case .outputBegin:
        advance()
        statements.append(Statement(kind: .output([try tuple()]), line: line))
        try expect(.outputEnd)
      case .blockBegin:
        if case .name(let name) = following, ends.contains(name) {
          advance()
          return statements
        }
        advance()
        statements.append(Statement(kind: try statement(), line: line))
        try expect(.blockEnd)
      default: throw unexpected("text or a tag")
      }
    }
  }

  /// The body behind a tag, and past the name that ends it.
  private mutating func body(until end: String) throws -> [Statement] {
    _ = skip(symbol: ":")
    try expect(.blockEnd)
    let body = try block(until: [end])
    advance()
    return body
  }

  /// From the name of a tag up to the end of its last part.
  private mutating func statement() throws -> Statement.Kind {
    let line = line
    let tag = try name()
    switch tag {
    case "if": return try condition()
    case "for": return try loop()
    case "set": return try assignment()
    case "macro":
      let name = try name()
      return .macro(try macro(name, until: "endmacro"))
    case "call":
      let caller = token == .symbol("(") ? nil : [Macro.Parameter]()
      let parameters = try caller ?? parameters()
      let call = try expression()
      guard case .call = call.kind else { throw TemplateError(.syntax, "`call` without a call", line: line) }
      return .callBlock(call, try macro("caller", parameters, until: "endcall"))
    case "filter":
      let calls = try filters(isFirst: true)
      return .filterBlock(calls, try body(until: "endfilter"))
    case "with": return try with()
    case "generation": return .scope(try body(until: "endgeneration"))
    case "print": return .output(try list())
    case "break": return .breakLoop
    case "continue": return .continueLoop
    case "block", "extends", "include", "import", "from", "autoescape", "trans", "do", "debug":
      throw TemplateError(.unsupported, "the statement `\(tag)` is not supported", line: line)
    default: throw TemplateError(.syntax, "unknown statement `\(excerpt(tag))`", line: line)
    }
  }

  private mutating func condition() throws -> Statement.Kind {
    var branches: [Branch] = []
    while true {
      let test = try tuple(conditional: false)
      _ = skip(symbol: ":")
      try expect(.blockEnd)
      branches.append(Branch(test: test, body: try block(until: ["elif", "else", "endif"])))
      switch try name() {
      case "elif": continue
      case "else": return .condition(branches, otherwise: try body(until: "endif"))
      default: return .condition(branches, otherwise: [])
      }
    }
  }

  private mutating func loop() throws -> Statement.Kind {
    let target = try target(endsBefore: "in")
    try expect(.name("in"))
    let source = try tuple(conditional: false, endsBefore: "recursive")
    let filter = skip(word: "if") ? try expression() : nil
    if token == .name("recursive") { throw error("a `recursive` loop is not supported", .unsupported) }
    _ = skip(symbol: ":")
    try expect(.blockEnd)
    let body = try block(until: ["else", "endfor"])
    let otherwise = try name() == "else" ? try self.body(until: "endfor") : []
    return .loop(Loop(target: target, source: source, filter: filter, body: body, otherwise: otherwise))
  }

  private mutating func assignment() throws -> Statement.Kind {
    let target = try target()
    if skip(symbol: "=") { return .set(target, try tuple()) }
    let calls = try filters(isFirst: false)
    return .setBlock(target, calls, try body(until: "endset"))
  }

  private mutating func with() throws -> Statement.Kind {
    var assignments: [Assignment] = []
    while token != .blockEnd, token != .symbol(":") {
      if !assignments.isEmpty { try expect(symbol: ",") }
      let target = try target(single: true)
      try expect(symbol: "=")
      assignments.append(Assignment(target: target, value: try expression()))
    }
    return .with(assignments, try body(until: "endwith"))
  }

  private mutating func macro(
    _ name: String, _ given: [Macro.Parameter]? = nil, until end: String
  ) throws -> Macro {
    let outer = spokenNames
    spokenNames = []
    let parameters = try given ?? parameters()
    let body = try body(until: end)
    defer { spokenNames.formUnion(outer) }
    return Macro(
      name: name, parameters: parameters, body: body, takesMore: spokenNames.contains("varargs"),
      takesNamed: spokenNames.contains("kwargs"), takesCaller: spokenNames.contains("caller"))
  }

  private mutating func parameters() throws -> [Macro.Parameter] {
    try expect(symbol: "(")
    var parameters: [Macro.Parameter] = []
    while token != .symbol(")") {
      if !parameters.isEmpty { try expect(symbol: ",") }
      let name = try assignable()
      if skip(symbol: "=") {
        parameters.append(Macro.Parameter(name: name, standard: try expression()))
      } else {
        if parameters.last?.standard != nil { throw error("a parameter without default behind one that has it") }
        parameters.append(Macro.Parameter(name: name, standard: nil))
      }
    }
    advance()
    return parameters
  }

  private mutating func list() throws -> [Expression] {
    var parts = [try expression()]
    while skip(symbol: ",") { parts.append(try expression()) }
    return parts
  }

  // MARK: Targets

  private mutating func assignable() throws -> String {
    let name = try name()
    if ["true", "false", "none", "True", "False", "None"].contains(name) {
      throw error("`\(name)` cannot be assigned to")
    }
    return name
  }

  /// What `set` and `for` write to.
  private mutating func target(endsBefore word: String? = nil, single: Bool = false) throws -> Target {
    var targets = [try oneTarget()]
    var isTuple = false
    while !single, skip(symbol: ",") {
      isTuple = true
      if token == .blockEnd || token == .symbol("=") || word.map({ token == .name($0) }) ?? false { break }
      targets.append(try oneTarget())
    }
    return isTuple ? .tuple(targets) : targets[0]
  }

  private mutating func oneTarget() throws -> Target {
    if skip(symbol: "(") {
      nesting += 1
      defer { nesting -= 1 }
      if nesting > Self.nestingLimit { throw error("more than \(Self.nestingLimit) nested targets", .limit) }
      var targets: [Target] = []
      var isTuple = false
      while token != .symbol(")") {
        targets.append(try oneTarget())
        if !skip(symbol: ",") { break }
        isTuple = true
      }
      try expect(symbol: ")")
      return targets.count == 1 && !isTuple ? targets[0] : .tuple(targets)
    }
    let name = try assignable()
    return skip(symbol: ".") ? .attribute(name, try self.name()) : .name(name)
  }
}
