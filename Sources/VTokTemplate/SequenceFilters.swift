// Filters over elements. Those that jinja2 makes lazily are lazy here.

extension Builtin {
  static let sequenceFilters: [String: Builtin] = {
    var filters = plainFilters
    for (name, other) in [("count", "length"), ("d", "default")] { filters[name] = filters[other] }
    return filters
  }()

  private static let plainFilters: [String: Builtin] = [
    "length": Builtin([]) { run, value, _ in .integer(try run.length(of: value)) },
    "default": Builtin(["default_value", "boolean"]) { _, value, given in
      value.isUndefined || given.isTrue(1) && !value.isTrue ? given[0] ?? .string("") : value
    },
    "list": Builtin([]) { run, value, _ in .list(try Items(run.elements(of: value))) },
    "first": Builtin([]) { run, value, _ in
      try run.iterator(over: value)() ?? .undefined("No first item, sequence was empty.")
    },
    "last": Builtin([]) { run, value, given in
      if case .object = value { throw given.needed(value, "a sequence") }
      return try run.elements(of: value).last ?? .undefined("No last item, sequence was empty.")
    },
    "join": Builtin(["d", "attribute"]) { run, value, given in
      var parts = try run.elements(of: value)
      if given.has(1) { parts = try parts.map { try run.path(given[1]!, of: $0) } }
      return .string(try run.joined(parts, with: given[0].map(run.string) ?? "") { try run.string($0) })
    },
    "items": Builtin([]) { run, value, given in
      if value.isUndefined { return try run.generator(over: .list(.none), sourcing: value) }
      guard let dict = value.dict else { throw given.needed(value, "a mapping") }
      return try run.generator(over: dictMethods["items"]!.body(run, .dict(dict), given), sourcing: value)
    },
    "reverse": Builtin([]) { run, value, given in
      if let text = value.text { return .string(String(String.UnicodeScalarView(text.unicodeScalars.reversed()))) }
      return try run.generator(over: .list(Items(run.elements(of: value).reversed())), sourcing: value)
    },
    "dictsort": Builtin(["case_sensitive", "by", "reverse"]) { run, value, given in
      if case .undefined(let reason) = value { throw TemplateError(.undefined, reason) }
      guard let dict = value.dict else { throw given.needed(value, "a mapping") }
      let by = try given.text(1) ?? "key"
      guard by == "key" || by == "value" else { throw TemplateError(.value, "\(given.what): by must be key or value") }
      let pairs = try dict.pairs.map { (by == "key" ? $0 : $1, Value.tuple(try Items([$0, $1]))) }
      return .list(try Items(run.sorted(pairs, isSensitive: given.isTrue(0), isReversed: given.isTrue(2))))
    },
    "sort": Builtin(["reverse", "case_sensitive", "attribute"]) { run, value, given in
      let elements = try run.elements(of: value)
      let keyed = try elements.map { element in
        guard given.has(2) else { return (element, element) }
        // Several attributes with commas between them sort one after the other.
        let names = given[2]!.text?.split(separator: ",").map { Value.string(String($0)) } ?? [given[2]!]
        let keys = try names.map { name in
          let key = try run.path(name, of: element)
          return given.isTrue(1) ? key : run.folded(key)
        }
        return (names.count == 1 ? keys[0] : .list(try Items(keys)), element)
      }
      return .list(try Items(run.sorted(keyed, isSensitive: given.isTrue(1), isReversed: given.isTrue(0))))
    },
    "unique": Builtin(["case_sensitive", "attribute"]) { run, value, given in
      var seen: Set<Key> = []
      let elements = try run.elements(of: value).filter { element in
        let key = given.has(1) ? try run.path(given[1]!, of: element) : element
        return seen.insert(try Key(given.isTrue(0) ? key : run.folded(key))).inserted
      }
      return try run.generator(over: .list(Items(elements)), sourcing: value)
    },
    "min": extreme { try $0.precedes($1, $2) }, "max": extreme { try $0.precedes($2, $1) },
    "sum": Builtin(["attribute", "start"]) { run, value, given in
      try run.elements(of: value).reduce(given[1] ?? .integer(0)) { sum, element in
        try run.binary(.add, sum, given.has(0) ? run.path(given[0]!, of: element) : element)
      }
    },
    "batch": Builtin(["linecount", "fill_with"], required: 1) { run, value, given in
      guard let count = try given.integer(0), count > 0 else { throw given.needed(given[0]!, "a whole number above 0") }
      let all = try run.elements(of: value)
      var rows = stride(from: 0, to: all.count, by: min(count, all.count + 1)).map {
        Array(all[$0..<min($0 + min(count, all.count), all.count)])
      }
      if given.has(1), let last = rows.indices.last, rows[last].count < count {
        try run.charge(elements: count)
        rows[last] += Array(repeating: given[1]!, count: count - rows[last].count)
      }
      return try run.generator(over: .list(Items(rows.map { .list(try Items($0)) })), sourcing: value)
    },
    "attr": Builtin(["name"], required: 1) { run, value, given in
      guard let name = given[0]?.text else { throw given.needed(given[0]!, "a string") }
      if value.dict != nil, method(name, of: value) == nil {
        return .undefined("'dict object' has no attribute '\(name)'")
      }
      return try run.attribute(name, of: value)
    },
    "map": Builtin(nil) { run, value, given in try run.map(value, given.all) },
    "select": Builtin(nil) { run, value, given in try run.select(value, given.all, keeps: true, byAttribute: false) },
    "reject": Builtin(nil) { run, value, given in try run.select(value, given.all, keeps: false, byAttribute: false) },
    "selectattr": Builtin(nil) { run, value, given in try run.select(value, given.all, keeps: true, byAttribute: true)
    },
    "rejectattr": Builtin(nil) { run, value, given in
      try run.select(value, given.all, keeps: false, byAttribute: true)
    },
  ]

  private static func extreme(_ isBetter: @escaping @Sendable (Interpreter, Value, Value) throws -> Bool) -> Builtin {
    Builtin(["case_sensitive", "attribute"]) { run, value, given in
      var best: (key: Value, element: Value)?
      for element in try run.elements(of: value) {
        var key = given.has(1) ? try run.path(given[1]!, of: element) : element
        if !given.isTrue(0) { key = run.folded(key) }
        if try best.map({ try isBetter(run, key, $0.key) }) ?? true { best = (key, element) }
      }
      return best?.element ?? .undefined("No aggregated item, sequence was empty.")
    }
  }
}

extension Interpreter {
  /// Text without the difference of case; other values as they are.
  func folded(_ value: Value) -> Value { value.text.map { .string($0.lowercased()) } ?? value }

  func sorted(_ keyed: [(Value, Value)], isSensitive: Bool, isReversed: Bool) throws -> [Value] {
    var pairs = isSensitive ? keyed : keyed.map { (folded($0.0), $0.1) }
    try charge(elements: 2 * pairs.count)
    // Equal ones keep their order in either direction.
    if isReversed { pairs.reverse() }
    try pairs.sort { try precedes($0.0, $1.0) }
    if isReversed { pairs.reverse() }
    return pairs.map(\.1)
  }

  /// `attribute="function.name"`: elements within elements.
  func path(_ path: Value, of value: Value) throws -> Value {
    if path.integer != nil { return try item(path, of: value) }
    guard let text = path.text else { throw TemplateError(.value, "an attribute that is a \(path.typeName)") }
    var value = value
    for part in text.split(separator: ".", omittingEmptySubsequences: false) {
      value = try item(
        part.allSatisfy(\.isNumber) ? Int(part).map { .integer($0) } ?? .string(String(part)) : .string(String(part)),
        of: value)
    }
    return value
  }

  func generator(over elements: Value, sourcing value: Value) throws -> Value {
    .object(try Generator(over: value, iterator(over: elements)))
  }

  func map(_ value: Value, _ given: CallArguments) throws -> Value {
    var given = given
    if !value.isTrue { return try generator(over: .list(.none), sourcing: value) }
    let next = try iterator(over: value)
    if given.positional.isEmpty, let index = given.named.firstIndex(where: { $0.0 == "attribute" }) {
      let attribute = given.named.remove(at: index).1
      let standard = given.named.first { $0.0 == "default" }?.1
      if let other = given.named.first(where: { $0.0 != "default" }) {
        throw TemplateError(.value, "filter `map`: unexpected argument `\(excerpt(other.0))`")
      }
      return .object(
        try Generator(over: value) { [unowned self] in
          guard let element = try next() else { return nil }
          try step()
          let found = try path(attribute, of: element)
          return found.isUndefined ? standard ?? found : found
        })
    }
    guard let name = given.positional.first?.text else { throw TemplateError(.value, "map requires a filter argument") }
    given.positional.removeFirst()
    let arguments = given
    return .object(
      try Generator(over: value) { [unowned self] in
        try next().map { element in try nested { try filter(element, name, arguments) } }
      })
  }

  func select(_ value: Value, _ given: CallArguments, keeps: Bool, byAttribute: Bool) throws -> Value {
    var given = given
    var attribute: Value?
    if byAttribute {
      guard let first = given.positional.first else {
        throw TemplateError(.value, "missing parameter for attribute name")
      }
      attribute = first
      given.positional.removeFirst()
    }
    var name: String?
    if let first = given.positional.first {
      guard let text = first.text else { throw TemplateError(.value, "the name of a test that is a \(first.typeName)") }
      name = text
      given.positional.removeFirst()
    }
    if !value.isTrue { return try generator(over: .list(.none), sourcing: value) }
    let next = try iterator(over: value)
    let (arguments, path, test) = (given, attribute, name)
    return .object(
      try Generator(over: value) { [unowned self] in
        while let element = try next() {
          try step()
          let subject = try path.map { try self.path($0, of: element) } ?? element
          let holds = try nested { try test.map { try self.test(subject, $0, arguments) } ?? subject.isTrue }
          if holds == keeps { return element }
        }
        return nil
      })
  }
}
