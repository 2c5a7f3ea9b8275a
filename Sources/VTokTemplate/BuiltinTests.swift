// Tests: what may follow `is`.

extension Builtin {
  private static func test(_ holds: @escaping @Sendable (Value) -> Bool) -> Builtin {
    Builtin([]) { _, value, _ in .bool(holds(value)) }
  }

  private static func comparison(_ comparison: Expression.Comparison) -> Builtin {
    Builtin([""], required: 1) { run, value, given in .bool(try run.compare(comparison, value, given[0]!)) }
  }

  private static func divides(_ by: Int, rest: Int) -> Builtin {
    Builtin([]) { run, value, _ in
      .bool(try run.equal(run.binary(.modulo, value, .integer(by)), .integer(rest)))
    }
  }

  static let tests: [String: Builtin] = {
    var tests = kinds
    for (names, kind) in [
      (["eq", "equalto", "=="], Expression.Comparison.equal), (["ne", "!="], .unequal),
      (["lt", "lessthan", "<"], .less), (["le", "<="], .lessEqual), (["gt", "greaterthan", ">"], .greater),
      (["ge", ">="], .greaterEqual), (["in"], .within),
    ] {
      for name in names { tests[name] = comparison(kind) }
    }
    return tests
  }()

  private static let kinds: [String: Builtin] = [
    "defined": test { !$0.isUndefined }, "undefined": test(\.isUndefined), "none": test(\.isNone),
    "boolean": test { if case .bool = $0 { true } else { false } },
    "true": test { if case .bool(true) = $0 { true } else { false } },
    "false": test { if case .bool(false) = $0 { true } else { false } },
    "integer": test { if case .integer = $0 { true } else { false } },
    "float": test { if case .float = $0 { true } else { false } },
    "number": test { $0.number != nil }, "string": test { $0.text != nil },
    "mapping": test { $0.dict != nil },
    "sequence": test { value in
      switch value {
      case .undefined, .string, .safe, .list, .tuple, .range, .dict: true
      default: false
      }
    },
    "iterable": test { value in
      switch value {
      case .undefined, .string, .safe, .list, .tuple, .range, .dict, .view: true
      case .object(let object): object is Generator || object is LoopContext
      default: false
      }
    },
    "callable": test { value in
      switch value {
      // As jinja2 has it: an undefined value has a way of being called, which is to fail.
      case .undefined: true
      case .object(let object): object is Callable || object is LoopContext || object.typeName == "Joiner"
      default: false
      }
    },
    "escaped": test { if case .safe = $0 { true } else { false } },
    "odd": divides(2, rest: 1), "even": divides(2, rest: 0),
    "divisibleby": Builtin(["num"], required: 1) { run, value, given in
      .bool(try run.equal(run.binary(.modulo, value, given[0]!), .integer(0)))
    },
    "lower": Builtin([]) { run, value, _ in .bool(try run.string(value).isLower) },
    "upper": Builtin([]) { run, value, _ in .bool(try run.string(value).isUpper) },
    // Whether two values are one: told for values of which there is only one, and for objects.
    "sameas": Builtin([""], required: 1) { run, value, given in
      switch (value, given[0]!) {
      case (.none, .none): return .bool(true)
      case (.bool(let a), .bool(let b)): return .bool(a == b)
      case (.object(let a), .object(let b)): return .bool(a === b)
      case (.none, _), (_, .none), (.bool, _), (_, .bool), (.object, _), (_, .object): return .bool(false)
      default: throw TemplateError(.unsupported, "the test `sameas` of two values of type \(value.typeName)")
      }
    },
    "filter": Builtin([]) { run, value, _ in .bool(filters[value.text ?? ""] != nil) },
    "test": Builtin([]) { run, value, _ in .bool(value.text.map { hasTest($0) } ?? false) },
  ]

  private static func hasTest(_ name: String) -> Bool { tests[name] != nil }
}
