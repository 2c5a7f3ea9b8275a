/// A value with an identity.
class Object {
  let depth: Int
  var typeName: String { "object" }

  /// - Parameter held: what it refers to.
  init(holding held: [Value] = []) throws {
    depth = held.reduce(0) { max($0, $1.depth) } + 1
    if depth > Value.depthLimit { throw Value.tooDeep }
  }

  /// The attribute `name`; nil: there is none.
  func attribute(_ name: String, _ run: Interpreter) throws -> Value? { nil }
}

/// `namespace(a=1)`: the one thing that `set` can change from within a loop. The interpreter holds all of them to its
/// end and then empties them, so that chains and rings of them are released one by one.
final class Namespace: Object {
  var values: [String: Value] = [:]
  override var typeName: String { "Namespace" }
  override func attribute(_ name: String, _ run: Interpreter) throws -> Value? { values[name] }
}

/// Values that come one by one, once.
final class Generator: Object {
  private let pull: () throws -> Value?
  private var isDone = false
  override var typeName: String { "generator" }

  init(over source: Value, _ pull: @escaping () throws -> Value?) throws {
    self.pull = pull
    try super.init(holding: [source])
  }

  func next() throws -> Value? {
    if isDone { return nil }
    let value = try pull()
    if value == nil { isDone = true }
    return value
  }
}

/// A macro, a function or a method that is bound to its value.
final class Callable: Object {
  let name: String
  let isMethod: Bool
  private let body: (Interpreter, CallArguments) throws -> Value
  override var typeName: String { isMethod ? "builtin_function_or_method" : "function" }

  init(
    _ name: String, of receiver: Value? = nil, _ body: @escaping (Interpreter, CallArguments) throws -> Value
  ) throws {
    self.name = name
    isMethod = receiver != nil
    self.body = body
    try super.init(holding: receiver.map { [$0] } ?? [])
  }

  func callAsFunction(_ run: Interpreter, _ arguments: CallArguments) throws -> Value { try body(run, arguments) }

  override func attribute(_ name: String, _ run: Interpreter) throws -> Value? {
    name == "name" && !isMethod ? .string(self.name) : nil
  }
}

/// `loop` within a `for`. Elements are asked for when they are needed, as jinja2 does: a filter behind `if` sees what
/// the body has changed before.
final class LoopContext: Object {
  private let length: Int?
  private var source: () throws -> Value?
  private var ahead: Value?
  private var isPeeked = false
  private(set) var index0 = -1
  private var current: Value?, previous: Value?
  private var lastChanged: [Value]?
  override var typeName: String { "LoopContext" }

  /// - Parameter length: of the sequence, where it is known.
  init(over source: Value, length: Int?, _ next: @escaping () throws -> Value?) throws {
    self.length = length
    self.source = next
    try super.init(holding: [source])
  }

  func advance() throws -> Value? {
    let next = try peek()
    (ahead, isPeeked) = (nil, false)
    guard let next else { return nil }
    index0 += 1
    (previous, current) = (current, next)
    return next
  }

  private func peek() throws -> Value? {
    if !isPeeked { (ahead, isPeeked) = (try source(), true) }
    return ahead
  }

  /// Of a sequence that does not know its length: the rest is asked for and kept.
  private func count() throws -> Int {
    if let length { return length }
    var rest: [Value] = []
    while let value = try peek() {
      rest.append(value)
      isPeeked = false
    }
    var at = 0
    source = {
      at += 1
      return at <= rest.count ? rest[at - 1] : nil
    }
    (ahead, isPeeked) = (nil, false)
    return index0 + 1 + rest.count
  }

  override func attribute(_ name: String, _ run: Interpreter) throws -> Value? {
    switch name {
    case "index": .integer(index0 + 1)
    case "index0": .integer(index0)
    case "first": .bool(index0 == 0)
    case "last": .bool(try peek() == nil)
    case "length": .integer(try count())
    case "revindex": .integer(try count() - index0)
    case "revindex0": .integer(try count() - index0 - 1)
    // Of loops that call themselves, which there are none of.
    case "depth": .integer(1)
    case "depth0": .integer(0)
    case "previtem": previous ?? .undefined("there is no previous item")
    case "nextitem": try peek() ?? .undefined("there is no next item")
    case "cycle": .object(try Callable("cycle", of: .object(self)) { try self.cycle($0, $1) })
    case "changed": .object(try Callable("changed", of: .object(self)) { try self.changed($0, $1) })
    default: nil
    }
  }

  private func cycle(_ run: Interpreter, _ arguments: CallArguments) throws -> Value {
    guard !arguments.positional.isEmpty else { throw TemplateError(.value, "no items for cycling given") }
    return arguments.positional[index0 % arguments.positional.count]
  }

  private func changed(_ run: Interpreter, _ arguments: CallArguments) throws -> Value {
    let values = arguments.positional
    let isSame =
      try lastChanged.map { last in
        try last.count == values.count && zip(last, values).allSatisfy { try run.equal($0, $1) }
      } ?? false
    // Kept only if it cannot make a ring or a chain of loops.
    guard values.allSatisfy({ $0.depth == 0 }) else { throw TemplateError(.unsupported, "`loop.changed` of a list") }
    lastChanged = values
    return .bool(!isSame)
  }
}

/// `cycler(...)` and `joiner(...)`.
final class Counter: Object {
  private let values: [Value]
  private let isJoiner: Bool
  private var at = 0
  override var typeName: String { isJoiner ? "Joiner" : "Cycler" }

  init(_ values: [Value], isJoiner: Bool) throws {
    self.values = values
    self.isJoiner = isJoiner
    try super.init(holding: values)
  }

  func next() -> Value {
    defer { at = isJoiner ? 1 : (at + 1) % values.count }
    return isJoiner && at == 0 ? .string("") : values[isJoiner ? 0 : at]
  }

  override func attribute(_ name: String, _ run: Interpreter) throws -> Value? {
    if isJoiner { return nil }
    switch name {
    case "current": return values[at]
    case "next": return .object(try Callable("next", of: .object(self)) { _, _ in self.next() })
    case "reset":
      return .object(
        try Callable("reset", of: .object(self)) { _, _ in
          self.at = 0
          return .none
        })
    default: return nil
    }
  }
}
