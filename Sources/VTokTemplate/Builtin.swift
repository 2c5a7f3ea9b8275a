/// A filter, a test, a method or a function that is built in: what it takes by name and what it does.
struct Builtin: Sendable {
  /// What a call has for each parameter.
  struct Given {
    let what: String
    let values: [Value?]
    let all: CallArguments

    subscript(index: Int) -> Value? { values[index] }

    private func wrong(_ value: Value, _ expected: String) -> TemplateError {
      if case .undefined(let reason) = value { return TemplateError(.undefined, reason) }
      return TemplateError(.value, "\(what): found a \(value.typeName), expected \(expected)")
    }

    func has(_ index: Int) -> Bool { values[index].map { !$0.isNone } ?? false }

    func text(_ index: Int) throws -> String? {
      guard let value = values[index], !value.isNone else { return nil }
      guard let text = value.text else { throw wrong(value, "a string") }
      return text
    }
    func integer(_ index: Int) throws -> Int? {
      guard let value = values[index], !value.isNone else { return nil }
      guard let integer = value.integer else { throw wrong(value, "a whole number") }
      return integer
    }
    func isTrue(_ index: Int) -> Bool { values[index]?.isTrue ?? false }
    func needed(_ value: Value, _ expected: String) -> TemplateError { wrong(value, expected) }
  }

  /// Names of the parameters; empty ones cannot be named. Nil: it looks at all arguments itself.
  let parameters: [String]?
  let required: Int
  let body: @Sendable (Interpreter, Value, Given) throws -> Value

  init(
    _ parameters: [String]?, required: Int = 0,
    _ body: @escaping @Sendable (Interpreter, Value, Given) throws -> Value
  ) {
    self.parameters = parameters
    self.required = required
    self.body = body
  }

  func call(_ run: Interpreter, _ what: String, _ value: Value, _ arguments: CallArguments) throws -> Value {
    guard let parameters else {
      return try body(run, value, Given(what: what, values: [], all: arguments))
    }
    guard arguments.positional.count <= parameters.count else {
      throw TemplateError(
        .value, "\(what): \(arguments.positional.count) arguments, expected \(parameters.count) at most")
    }
    var values: [Value?] = Array(repeating: nil, count: parameters.count)
    for (index, value) in arguments.positional.enumerated() { values[index] = value }
    for (name, value) in arguments.named {
      guard let index = parameters.firstIndex(of: name), !name.isEmpty, values[index] == nil else {
        throw TemplateError(.value, "\(what): unexpected argument `\(excerpt(name))`")
      }
      values[index] = value
    }
    guard values.prefix(required).allSatisfy({ $0 != nil }) else {
      throw TemplateError(.value, "\(what): an argument is missing, expected \(required)")
    }
    return try body(run, value, Given(what: what, values: values, all: arguments))
  }

  /// Whether Python has an attribute that is not built here, which must not look as if it were not there.
  static func isMissing(_ name: String, of value: Value) -> Bool {
    switch value {
    case .string, .safe:
      ["encode", "expandtabs", "format_map", "isidentifier", "isprintable", "maketrans", "translate"].contains(name)
    case .bool, .integer, .float:
      [
        "as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator", "fromhex", "from_bytes", "hex",
        "imag",
        "is_integer", "numerator", "real", "to_bytes",
      ].contains(name)
    case .dict: name == "fromkeys"
    case .range: ["start", "stop", "step"].contains(name)
    case .view: ["isdisjoint", "mapping"].contains(name)
    default: false
    }
  }

  static func method(_ name: String, of value: Value) -> Builtin? {
    switch value {
    case .string, .safe: textMethods[name]
    case .dict: dictMethods[name]
    case .list, .tuple, .range: listMethods[name]
    default: nil
    }
  }
}

extension Interpreter {
  typealias Global = @Sendable (Interpreter, CallArguments) throws -> Value

  static let globals: [(String, Global)] = [
    ("range", { run, arguments in try range(run, arguments) }),
    ("dict", { run, arguments in .dict(try dict(run, arguments)) }),
    (
      "namespace",
      { run, arguments in
        let namespace = try Namespace()
        try run.keep(namespace)
        for (key, value) in try dict(run, arguments).pairs { namespace.values[try run.string(key)] = value }
        return .object(namespace)
      }
    ),
    (
      "cycler",
      { run, arguments in
        guard !arguments.positional.isEmpty else { throw TemplateError(.value, "at least one item has to be provided") }
        return .object(try Counter(arguments.positional, isJoiner: false))
      }
    ),
    (
      "joiner",
      { run, arguments in
        let given = arguments.positional.first ?? arguments.named.first { $0.0 == "sep" }?.1
        return .object(try Counter([given ?? .string(", ")], isJoiner: true))
      }
    ),
    (
      "raise_exception",
      { run, arguments in
        let message = arguments.positional.first ?? arguments.named.first?.1 ?? .string("")
        throw TemplateError(.raised, try run.string(message))
      }
    ),
    (
      "strftime_now",
      { run, arguments in
        guard let format = (arguments.positional.first ?? arguments.named.first?.1)?.text else {
          throw TemplateError(.value, "`strftime_now`: expected a format")
        }
        let text = try (run.now ?? LocalTime.now()).formatted(format)
        try run.charge(text.utf8.count)
        return .string(text)
      }
    ),
  ]

  private static func range(_ run: Interpreter, _ arguments: CallArguments) throws -> Value {
    let bounds = try arguments.positional.map { value -> Int in
      if case .undefined(let reason) = value { throw TemplateError(.undefined, reason) }
      guard let integer = value.integer else {
        throw TemplateError(.value, "'\(value.typeName)' object cannot be interpreted as an integer")
      }
      guard integer.magnitude <= Span.valueLimit else { throw TemplateError.bigNumber }
      return integer
    }
    guard (1...3).contains(bounds.count), arguments.named.isEmpty else {
      throw TemplateError(.value, "`range`: expected 1 to 3 arguments")
    }
    guard bounds.count < 3 || bounds[2] != 0 else { throw TemplateError(.value, "`range`: step must not be zero") }
    let span = Span(
      start: bounds.count > 1 ? bounds[0] : 0, stop: bounds.count > 1 ? bounds[1] : bounds[0],
      step: bounds.count > 2 ? bounds[2] : 1)
    guard span.count <= Span.countLimit else {
      throw TemplateError(.limit, "a range of more than \(Span.countLimit) numbers")
    }
    return .range(span)
  }

  private static func dict(_ run: Interpreter, _ arguments: CallArguments) throws -> Dict {
    var dict = Dict()
    if let source = arguments.positional.first {
      if case .dict(let given) = source {
        try run.charge(elements: given.count)
        dict = given
      } else {
        for pair in try run.elements(of: source) {
          let parts = try run.elements(of: pair)
          guard parts.count == 2 else { throw TemplateError(.value, "`dict`: expected pairs") }
          try dict.set(parts[0], parts[1])
        }
      }
    }
    guard arguments.positional.count < 2 else { throw TemplateError(.value, "`dict`: expected 1 argument at most") }
    for (name, value) in arguments.named { try dict.set(.string(name), value) }
    return dict
  }
}
