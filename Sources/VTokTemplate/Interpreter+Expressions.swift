/// What a call hands over.
struct CallArguments {
  var positional: [Value] = []
  var named: [(String, Value)] = []
}

extension Interpreter {
  func evaluate(_ expression: Expression, in scope: Scope) throws -> Value {
    try step()
    return try nested {
      do {
        return try value(of: expression, in: scope)
      } catch let error as TemplateError {
        throw error.at(expression.line)
      }
    }
  }

  private func value(of expression: Expression, in scope: Scope) throws -> Value {
    switch expression.kind {
    case .none: .none
    case .bool(let value): .bool(value)
    case .integer(let value): .integer(value)
    case .float(let value): .float(value)
    case .string(let text): .string(text)
    case .name(let name): try variable(name, in: scope)
    case .list(let parts): .list(try items(parts, in: scope))
    case .tuple(let parts): .tuple(try items(parts, in: scope))
    case .dict(let pairs): try dict(pairs, in: scope)
    case .attribute(let value, let name): try attribute(name, of: evaluate(value, in: scope))
    case .item(let value, let index): try item(evaluate(index, in: scope), of: evaluate(value, in: scope))
    case .slice(let value, let start, let stop, let step):
      try slice(
        evaluate(value, in: scope), start.map { try evaluate($0, in: scope) }, stop.map { try evaluate($0, in: scope) },
        step.map { try evaluate($0, in: scope) })
    case .call(let function, let arguments):
      try call(evaluate(function, in: scope), self.arguments(arguments, in: scope))
    case .filter(let value, let call): try filter(evaluate(value, in: scope), call, in: scope)
    case .test(let value, let call, let negated):
      .bool(try test(evaluate(value, in: scope), call, in: scope) != negated)
    case .comparison(let left, let parts): .bool(try compare(left, parts, in: scope))
    default: try operation(expression.kind, in: scope)
    }
  }

  private func variable(_ name: String, in scope: Scope) throws -> Value {
    if let value = scope.find(name) { return value }
    if ["self", "lipsum", "gettext", "ngettext"].contains(name) {
      throw TemplateError(.unsupported, "the name `\(name)` is not supported")
    }
    return .undefined("'\(name)' is undefined")
  }

  private func operation(_ kind: Expression.Kind, in scope: Scope) throws -> Value {
    switch kind {
    case .negative(let value): return try negative(evaluate(value, in: scope))
    case .positive(let value):
      let value = try evaluate(value, in: scope)
      guard value.number != nil else { throw try unary("+", value) }
      return value.integer.map(Value.integer) ?? value
    case .not(let value): return .bool(try !evaluate(value, in: scope).isTrue)
    case .binary(let operation, let left, let right):
      return try binary(operation, evaluate(left, in: scope), evaluate(right, in: scope))
    case .concatenation(let parts):
      var out = ""
      for part in parts { try append(string(evaluate(part, in: scope)), to: &out) }
      return .string(out)
    case .and(let left, let right):
      let value = try evaluate(left, in: scope)
      return value.isTrue ? try evaluate(right, in: scope) : value
    case .or(let left, let right):
      let value = try evaluate(left, in: scope)
      return value.isTrue ? value : try evaluate(right, in: scope)
    case .condition(let test, let then, let otherwise):
      if try evaluate(test, in: scope).isTrue { return try evaluate(then, in: scope) }
      return try otherwise.map { try evaluate($0, in: scope) }
        ?? .undefined("the inline if-expression evaluated to false and no else section was defined")
    default: preconditionFailure("no operation")
    }
  }

  private func items(_ parts: [Expression], in scope: Scope) throws -> Items {
    try charge(elements: parts.count)
    return try Items(parts.map { try evaluate($0, in: scope) })
  }

  private func dict(_ pairs: [(Expression, Expression)], in scope: Scope) throws -> Value {
    try charge(elements: pairs.count)
    var dict = Dict()
    for (key, value) in pairs { try dict.set(evaluate(key, in: scope), evaluate(value, in: scope)) }
    return .dict(dict)
  }

  private func compare(
    _ left: Expression, _ parts: [(Expression.Comparison, Expression)], in scope: Scope
  ) throws -> Bool {
    var left = try evaluate(left, in: scope)
    for (comparison, part) in parts {
      let right = try evaluate(part, in: scope)
      guard try compare(comparison, left, right) else { return false }
      left = right
    }
    return true
  }

  // MARK: Calls

  func arguments(_ given: Arguments, in scope: Scope) throws -> CallArguments {
    var arguments = CallArguments()
    arguments.positional = try given.positional.map { try evaluate($0, in: scope) }
    arguments.named = try given.named.map { ($0, try evaluate($1, in: scope)) }
    if let spread = given.spread { arguments.positional += try elements(of: evaluate(spread, in: scope)) }
    if let spread = given.namedSpread {
      let value = try evaluate(spread, in: scope)
      guard case .dict(let dict) = value else {
        throw TemplateError(.value, "argument after ** must be a mapping, not \(value.typeName)")
      }
      try charge(elements: dict.count)
      for (key, value) in dict.pairs {
        guard let name = key.text else { throw TemplateError(.value, "keywords must be strings") }
        arguments.named.append((name, value))
      }
    }
    return arguments
  }

  func call(_ function: Value, _ arguments: CallArguments) throws -> Value {
    switch function {
    case .object(let object):
      if let callable = object as? Callable { return try callable(self, arguments) }
      if let counter = object as? Counter, counter.typeName == "Joiner" { return counter.next() }
      if object is LoopContext { throw TemplateError(.unsupported, "a recursive call of `loop` is not supported") }
    case .undefined(let reason): throw TemplateError(.undefined, reason)
    default: break
    }
    throw TemplateError(.value, "'\(function.typeName)' object is not callable")
  }

  /// `{% call f() %}body{% endcall %}`
  func call(_ call: Expression, with body: Macro, in scope: Scope) throws -> Value {
    guard case .call(let function, let given) = call.kind else { preconditionFailure("no call") }
    let called = try evaluate(function, in: scope)
    var arguments = try arguments(given, in: scope)
    arguments.named.append(("caller", .object(try callable(body, in: scope))))
    return try self.call(called, arguments)
  }

  func filter(_ value: Value, _ call: Call, in scope: Scope) throws -> Value {
    try filter(value, call.name, arguments(call.arguments, in: scope))
  }

  func filter(_ value: Value, _ name: String, _ arguments: CallArguments) throws -> Value {
    guard let filter = Builtin.filters[name] else {
      throw TemplateError(.unsupported, "the filter `\(excerpt(name))` is not supported")
    }
    try step()
    return try filter.call(self, "filter `\(name)`", value, arguments)
  }

  private func test(_ value: Value, _ call: Call, in scope: Scope) throws -> Bool {
    try test(value, call.name, arguments(call.arguments, in: scope))
  }

  func test(_ value: Value, _ name: String, _ arguments: CallArguments) throws -> Bool {
    guard let test = Builtin.tests[name] else {
      throw TemplateError(.unsupported, "the test `\(excerpt(name))` is not supported")
    }
    try step()
    return try test.call(self, "test `\(name)`", value, arguments).isTrue
  }

  // MARK: Attributes and elements

  /// `value.name`: what Python finds as an attribute, else as an element.
  func attribute(_ name: String, of value: Value) throws -> Value {
    if case .undefined(let reason) = value { throw TemplateError(.undefined, reason) }
    if let found = try ownAttribute(name, of: value) { return found }
    if case .dict(let dict) = value, let found = dict[name] { return found }
    return .undefined("'\(value.typeName) object' has no attribute '\(name)'")
  }

  /// `value[index]`: an element, else for a text an attribute.
  func item(_ index: Value, of value: Value) throws -> Value {
    if case .undefined(let reason) = value { throw TemplateError(.undefined, reason) }
    let found: Value?
    switch value {
    case .dict(let dict):
      if let key = try? Key(index) { found = dict[key] } else { found = nil }
    case .list(let items), .tuple(let items): found = index.integer.flatMap { items.values[wrapping: $0] }
    case .range(let span):
      found = index.integer.flatMap { place in
        let place = place < 0 ? place &+ span.count : place
        return (0..<span.count).contains(place) ? .integer(span[place]) : nil
      }
    case .string(let text), .safe(let text): found = try index.integer.flatMap { try character($0, of: text) }
    default: found = nil
    }
    if let found { return found }
    if let name = index.text, let found = try ownAttribute(name, of: value) { return found }
    let shown = try index.text.map { "'\(excerpt($0))'" } ?? string(index)
    return .undefined("'\(value.typeName) object' has no element \(shown)")
  }

  private func character(_ index: Int, of text: String) throws -> Value? {
    let scalars = text.unicodeScalars
    try charge(text.utf8.count / 8)
    let place =
      index < 0
      ? scalars.index(scalars.endIndex, offsetBy: max(index, -text.utf8.count - 1), limitedBy: scalars.startIndex)
      : scalars.index(scalars.startIndex, offsetBy: min(index, text.utf8.count), limitedBy: scalars.endIndex)
    guard let place, place < scalars.endIndex else { return nil }
    return .string(String(scalars[place]))
  }

  /// A method or an attribute of an object; nil: none of that name.
  private func ownAttribute(_ name: String, of value: Value) throws -> Value? {
    if case .object(let object) = value { return try object.attribute(name, self) }
    guard let method = Builtin.method(name, of: value) else {
      if Builtin.isMissing(name, of: value) {
        throw TemplateError(.unsupported, "`\(name)` of a value of type \(value.typeName) is not supported")
      }
      return nil
    }
    return .object(
      try Callable(name, of: value) { run, arguments in
        try run.step()
        return try method.call(run, "`\(name)`", value, arguments)
      })
  }

  func slice(_ value: Value, _ start: Value?, _ stop: Value?, _ step: Value?) throws -> Value {
    func bound(_ value: Value?) throws -> Int? {
      guard let value, !value.isNone else { return nil }
      if case .undefined(let reason) = value { throw TemplateError(.undefined, reason) }
      guard let integer = value.integer else { throw TemplateError(.value, "slice indices must be integers or None") }
      return integer
    }
    let stride = min(max(try bound(step) ?? 1, -1 << 40), 1 << 40)
    guard stride != 0 else { throw TemplateError(.value, "slice step cannot be zero") }
    let (from, to) = (try bound(start), try bound(stop))
    switch value {
    case .undefined(let reason): throw TemplateError(.undefined, reason)
    case .list(let items): return .list(try Items(sliced(items.values, from, to, stride)))
    case .tuple(let items): return .tuple(try Items(sliced(items.values, from, to, stride)))
    case .range: return .list(try Items(sliced(elements(of: value), from, to, stride)))
    case .string(let text), .safe(let text):
      try charge(text.utf8.count)
      return .string(String(String.UnicodeScalarView(try sliced(Array(text.unicodeScalars), from, to, stride))))
    default: return .undefined("'\(value.typeName) object' cannot be sliced")
    }
  }

  private func sliced<Element>(
    _ all: [Element], _ start: Int?, _ stop: Int?, _ step: Int
  ) throws -> [Element] {
    let count = all.count
    func place(_ index: Int, _ low: Int, _ high: Int) -> Int {
      let index = index < 0 ? index + count : index
      return min(max(index, low), high)
    }
    var picked: [Element] = []
    if step > 0 {
      let (from, to) = (start.map { place($0, 0, count) } ?? 0, stop.map { place($0, 0, count) } ?? count)
      if from < to { picked = stride(from: from, to: to, by: step).map { all[$0] } }
    } else {
      let from = start.map { place($0, -1, count - 1) } ?? count - 1
      let to = stop.map { place($0, -1, count - 1) } ?? -1
      if from > to { picked = stride(from: from, to: to, by: step).map { all[$0] } }
    }
    if Element.self == Value.self { try charge(elements: picked.count) }
    return picked
  }
}

extension Array {
  /// As Python counts: from the end where the index is negative; nil outside.
  subscript(wrapping index: Int) -> Element? {
    let index = index < 0 ? index &+ count : index
    return indices.contains(index) ? self[index] : nil
  }
}
