/// Names and their values in one part of a template.
final class Scope {
  var values: [String: Value] = [:]
  let parent: Scope?
  init(in parent: Scope?) { self.parent = parent }

  func find(_ name: String) -> Value? {
    var scope: Scope? = self
    while let current = scope {
      if let value = current.values[name] { return value }
      scope = current.parent
    }
    return nil
  }
}

/// One rendering.
final class Interpreter {
  enum Flow { case next, stopLoop, nextRound }

  let limits: Template.Limits
  let now: LocalTime?
  private var steps = 0, bytes = 0
  private var depth = 0
  // What could make rings: emptied at the end.
  private var namespaces: [Namespace] = []
  private var kept: [Scope] = []

  /// Deepest nesting of what runs, macros that call themselves among it.
  static let depthLimit = 400

  init(limits: Template.Limits, now: LocalTime?) {
    self.limits = limits
    self.now = now
  }

  // MARK: Limits

  func step(_ count: Int = 1) throws {
    steps += count
    if steps > limits.steps { throw TemplateError(.limit, "more than \(limits.steps) steps") }
  }

  /// Before so many bytes are made.
  func charge(_ count: Int) throws {
    if count > limits.output { throw TemplateError(.limit, "a text or list of more than \(limits.output) bytes") }
    bytes += count
    if bytes > limits.bytes { throw TemplateError(.limit, "more than \(limits.bytes) bytes of texts and lists") }
  }

  /// Before so many elements are made.
  func charge(elements: Int) throws {
    try step(elements)
    if elements > limits.output / 64 {
      throw TemplateError(.limit, "a list of more than \(limits.output / 64) elements")
    }
    try charge(elements * 64)
  }

  func append(_ text: String, to out: inout String) throws {
    try charge(text.utf8.count)
    guard out.utf8.count + text.utf8.count <= limits.output else {
      throw TemplateError(.limit, "more than \(limits.output) bytes of text")
    }
    out += text
  }

  /// A level deeper, as long as there are not too many.
  func nested<Result>(_ body: () throws -> Result) throws -> Result {
    depth += 1
    defer { depth -= 1 }
    if depth > Self.depthLimit {
      throw TemplateError(.limit, "more than \(Self.depthLimit) nested calls and statements")
    }
    return try body()
  }

  // MARK: Scopes

  func root(_ members: [(String, TemplateValue)]) throws -> Scope {
    let globals = Scope(in: nil)
    for (name, body) in Self.globals { globals.values[name] = .object(try Callable(name, body)) }
    let given = Scope(in: globals)
    for (name, value) in members { given.values[name] = try Value(value) }
    let root = Scope(in: given)
    kept = [globals, given, root]
    return root
  }

  func keep(_ namespace: Namespace) throws {
    try charge(512)
    namespaces.append(namespace)
  }

  func finish() {
    for namespace in namespaces { namespace.values = [:] }
    for scope in kept { scope.values = [:] }
  }

  // MARK: Statements

  func execute(_ statements: [Statement], in scope: Scope, to out: inout String) throws -> Flow {
    try nested {
      for statement in statements {
        try step()
        do {
          let flow = try execute(statement.kind, in: scope, to: &out)
          if flow != .next { return flow }
        } catch let error as TemplateError {
          throw error.at(statement.line)
        }
      }
      return .next
    }
  }

  private func execute(_ kind: Statement.Kind, in scope: Scope, to out: inout String) throws -> Flow {
    switch kind {
    case .text(let text): try append(text, to: &out)
    case .output(let parts):
      for part in parts { try append(string(evaluate(part, in: scope)), to: &out) }
    case .set(let target, let expression): try assign(evaluate(expression, in: scope), to: target, in: scope)
    case .setBlock(let target, let calls, let body):
      try assign(.string(text(of: body, through: calls, in: Scope(in: scope))), to: target, in: scope)
    case .condition(let branches, let otherwise):
      for branch in branches where try evaluate(branch.test, in: scope).isTrue {
        return try execute(branch.body, in: scope, to: &out)
      }
      return try execute(otherwise, in: scope, to: &out)
    case .loop(let loop): return try execute(loop, in: scope, to: &out)
    case .macro(let macro): scope.values[macro.name] = .object(try callable(macro, in: scope))
    case .callBlock(let call, let body): try append(string(self.call(call, with: body, in: scope)), to: &out)
    case .filterBlock(let calls, let body): try append(text(of: body, through: calls, in: Scope(in: scope)), to: &out)
    case .with(let assignments, let body):
      let inner = Scope(in: scope)
      for assignment in assignments {
        try assign(evaluate(assignment.value, in: scope), to: assignment.target, in: inner)
      }
      return try execute(body, in: inner, to: &out)
    case .scope(let body): return try execute(body, in: Scope(in: scope), to: &out)
    case .breakLoop: return .stopLoop
    case .continueLoop: return .nextRound
    }
    return .next
  }

  /// What a body writes, handed through filters.
  private func text(of body: [Statement], through calls: [Call], in scope: Scope) throws -> String {
    var out = ""
    _ = try execute(body, in: scope, to: &out)
    var value = Value.string(out)
    for call in calls { value = try filter(value, call, in: scope) }
    return try string(value)
  }

  private func execute(_ loop: Loop, in scope: Scope, to out: inout String) throws -> Flow {
    let source = try evaluate(loop.source, in: scope)
    let context = try context(of: loop, over: source, in: scope)
    while let element = try context.advance() {
      try step()
      let inner = Scope(in: scope)
      inner.values["loop"] = .object(context)
      try assign(element, to: loop.target, in: inner)
      if try execute(loop.body, in: inner, to: &out) == .stopLoop { break }
    }
    return context.index0 < 0 ? try execute(loop.otherwise, in: Scope(in: scope), to: &out) : .next
  }

  private func context(of loop: Loop, over source: Value, in scope: Scope) throws -> LoopContext {
    let next = try iterator(over: source)
    guard let filter = loop.filter else {
      return try LoopContext(over: source, length: try? length(of: source), next)
    }
    return try LoopContext(over: source, length: nil) { [unowned self] in
      while let element = try next() {
        try step()
        let inner = Scope(in: scope)
        try assign(element, to: loop.target, in: inner)
        if try evaluate(filter, in: inner).isTrue { return element }
      }
      return nil
    }
  }

  func assign(_ value: Value, to target: Target, in scope: Scope) throws {
    switch target {
    case .name(let name): scope.values[name] = value
    case .attribute(let name, let attribute):
      guard case .object(let object)? = scope.find(name), let namespace = object as? Namespace else {
        throw TemplateError(.value, "`\(name).\(attribute)` cannot be set: `\(name)` is no namespace")
      }
      namespace.values[attribute] = value
    case .tuple(let targets):
      let next = try iterator(over: value)
      for target in targets {
        guard let element = try next() else {
          throw TemplateError(.value, "not enough values to unpack, expected \(targets.count)")
        }
        try assign(element, to: target, in: scope)
      }
      if try next() != nil { throw TemplateError(.value, "too many values to unpack, expected \(targets.count)") }
    }
  }

  // MARK: Macros

  func callable(_ macro: Macro, in scope: Scope) throws -> Callable {
    kept.append(scope)
    try charge(1024)
    return try Callable(macro.name) { run, arguments in
      let inner = Scope(in: scope)
      try run.bind(macro, arguments, in: inner)
      var out = ""
      _ = try run.execute(macro.body, in: inner, to: &out)
      return .string(out)
    }
  }

  private func bind(_ macro: Macro, _ arguments: CallArguments, in scope: Scope) throws {
    var named = Dict()
    for (name, value) in arguments.named {
      guard named[name] == nil else { throw TemplateError(.value, "argument `\(name)` of `\(macro.name)` given twice") }
      try named.set(.string(name), value)
    }
    var used: Set<String> = []
    for (index, parameter) in macro.parameters.enumerated() {
      used.insert(parameter.name)
      if index < arguments.positional.count {
        if named[parameter.name] != nil {
          throw TemplateError(.value, "argument `\(parameter.name)` of `\(macro.name)` given twice")
        }
        scope.values[parameter.name] = arguments.positional[index]
      } else if let value = named[parameter.name] {
        scope.values[parameter.name] = value
      } else if let standard = parameter.standard {
        scope.values[parameter.name] = try evaluate(standard, in: scope)
      } else {
        scope.values[parameter.name] = .undefined("parameter '\(parameter.name)' was not provided")
      }
    }
    let more = arguments.positional.dropFirst(macro.parameters.count)
    if macro.takesMore {
      scope.values["varargs"] = .tuple(try Items(Array(more)))
    } else if !more.isEmpty {
      throw TemplateError(.value, "`\(macro.name)` takes not more than \(macro.parameters.count) arguments")
    }
    var rest = Dict()
    for (name, value) in named.pairs where !used.contains(name.text!) {
      if macro.takesCaller, sameText(name.text!, "caller") {
        scope.values["caller"] = value
      } else if macro.takesNamed {
        try rest.set(name, value)
      } else {
        throw TemplateError(.value, "`\(macro.name)` takes no argument `\(name.text!)`")
      }
    }
    if macro.takesNamed { scope.values["kwargs"] = .dict(rest) }
    if macro.takesCaller, scope.values["caller"] == nil { scope.values["caller"] = .undefined("no caller defined") }
  }
}
