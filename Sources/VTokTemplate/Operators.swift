import VTokLibC

// Arithmetic and comparisons as Python has them. Whole numbers end at 64 bits, with an error.

extension Interpreter {
  func unary(_ sign: String, _ value: Value) throws -> TemplateError {
    if case .undefined(let reason) = value { return TemplateError(.undefined, reason) }
    return TemplateError(.value, "bad operand type for unary \(sign): '\(value.typeName)'")
  }

  func negative(_ value: Value) throws -> Value {
    if case .float(let number) = value { return .float(-number) }
    guard let integer = value.integer else { throw try unary("-", value) }
    return .integer(try whole(Int(0).subtractingReportingOverflow(integer)))
  }

  private func whole(_ result: (partialValue: Int, overflow: Bool)) throws -> Int {
    if result.overflow { throw TemplateError.bigNumber }
    return result.partialValue
  }

  func binary(_ operation: Expression.Binary, _ left: Value, _ right: Value) throws -> Value {
    if let a = left.integer, let b = right.integer { return try binary(operation, a, b) }
    if let a = left.number, let b = right.number { return .float(try binary(operation, a, b)) }
    let made: Value?
    switch operation {
    case .add: made = try joined(left, right)
    case .multiply: made = try repeated(left, right) ?? repeated(right, left)
    case .modulo: made = try left.text.map { .string(try printf($0, right)) }
    default: made = nil
    }
    if let made { return made }
    for case .undefined(let reason) in [left, right] { throw TemplateError(.undefined, reason) }
    throw TemplateError(
      .value, "unsupported operand types for \(operation.rawValue): '\(left.typeName)' and '\(right.typeName)'")
  }

  private func binary(_ operation: Expression.Binary, _ a: Int, _ b: Int) throws -> Value {
    switch operation {
    case .add: return .integer(try whole(a.addingReportingOverflow(b)))
    case .subtract: return .integer(try whole(a.subtractingReportingOverflow(b)))
    case .multiply: return .integer(try whole(a.multipliedReportingOverflow(by: b)))
    case .divide: return .float(try binary(.divide, Double(a), Double(b)))
    case .floor, .modulo:
      guard b != 0 else { throw Self.zeroDivision }
      if b == -1 { return operation == .modulo ? .integer(0) : try negative(.integer(a)) }
      let (quotient, rest) = a.quotientAndRemainder(dividingBy: b)
      let isBelow = rest != 0 && (rest < 0) != (b < 0)
      return .integer(operation == .floor ? quotient - (isBelow ? 1 : 0) : rest + (isBelow ? b : 0))
    case .power:
      guard b >= 0 else { return .float(try binary(.power, Double(a), Double(b))) }
      var (result, base, exponent) = (1, a, b)
      while exponent > 0 {
        if exponent & 1 == 1 { result = try whole(result.multipliedReportingOverflow(by: base)) }
        exponent >>= 1
        if exponent > 0 {
          if base == 0 || base == 1 { break }
          if base == -1 {
            base = 1
          } else {
            base = try whole(base.multipliedReportingOverflow(by: base))
          }
        }
      }
      return .integer(a == 0 && b > 0 ? 0 : result)
    }
  }

  private static let zeroDivision = TemplateError(.value, "division by zero")

  private func binary(_ operation: Expression.Binary, _ a: Double, _ b: Double) throws -> Double {
    switch operation {
    case .add: return a + b
    case .subtract: return a - b
    case .multiply: return a * b
    case .divide:
      guard b != 0 else { throw Self.zeroDivision }
      return a / b
    case .floor, .modulo:
      guard b != 0 else { throw Self.zeroDivision }
      var rest = fmod(a, b)
      var quotient = (a - rest) / b
      if rest != 0, (rest < 0) != (b < 0) { (rest, quotient) = (rest + b, quotient - 1) }
      if operation == .modulo { return rest == 0 ? (b < 0 ? -0.0 : 0.0) : rest }
      let whole = quotient.rounded(.down)
      return quotient - whole > 0.5 ? whole + 1 : whole
    case .power:
      if a == 0, b < 0 { throw Self.zeroDivision }
      if a < 0, a.isFinite, b.isFinite, b != b.rounded() {
        throw TemplateError(.unsupported, "a power that is a complex number")
      }
      let result = pow(a, b)
      if result.isInfinite, a.isFinite, b.isFinite { throw TemplateError(.value, "numerical result out of range") }
      return result
    }
  }

  private func joined(_ left: Value, _ right: Value) throws -> Value? {
    switch (left, right) {
    case (.list(let a), .list(let b)): return .list(try joined(a, b))
    case (.tuple(let a), .tuple(let b)): return .tuple(try joined(a, b))
    default:
      guard let a = left.text, let b = right.text else { return nil }
      try charge(a.utf8.count + b.utf8.count)
      switch (left, right) {
      case (.safe, .safe): return .safe(a + b)
      case (.safe, _): return .safe(a + (try escaped(b)))
      case (_, .safe): return .safe(try escaped(a) + b)
      default: return .string(a + b)
      }
    }
  }

  private func joined(_ a: Items, _ b: Items) throws -> Items {
    try charge(elements: a.values.count + b.values.count)
    return try Items(a.values + b.values)
  }

  private func repeated(_ value: Value, _ count: Value) throws -> Value? {
    guard let count = count.integer.map({ max($0, 0) }) else { return nil }
    func product(_ length: Int) throws -> Int { try whole(length.multipliedReportingOverflow(by: count)) }
    func many(_ items: Items) throws -> Items {
      let total = try product(items.values.count)
      try charge(elements: total)
      if total == 0 { return .none }
      return try Items((0..<count).flatMap { _ in items.values })
    }
    switch value {
    case .string(let text), .safe(let text):
      let total = try product(text.utf8.count)
      try charge(total)
      let many = total == 0 ? "" : String(repeating: text, count: count)
      if case .safe = value { return .safe(many) }
      return .string(many)
    case .list(let items): return .list(try many(items))
    case .tuple(let items): return .tuple(try many(items))
    default: return nil
    }
  }

  // MARK: Comparisons

  func compare(_ comparison: Expression.Comparison, _ left: Value, _ right: Value) throws -> Bool {
    switch comparison {
    case .equal: return try equal(left, right)
    case .unequal: return try !equal(left, right)
    case .within: return try contains(right, left)
    case .notWithin: return try !contains(right, left)
    case .less: return try order(left, right, "<") { $0 < 0 }
    case .lessEqual: return try order(left, right, "<=") { $0 <= 0 }
    case .greater: return try order(left, right, ">") { $0 > 0 }
    case .greaterEqual: return try order(left, right, ">=") { $0 >= 0 }
    }
  }

  func equal(_ left: Value, _ right: Value) throws -> Bool {
    try step()
    switch (left, right) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)): return try equal(a.values, b.values)
    case (.dict(let a), .dict(let b)):
      guard a.count == b.count else { return false }
      return try a.pairs.allSatisfy { key, value in try b[Key(key)].map { try equal(value, $0) } ?? false }
    case (.range(let a), .range(let b)):
      return a.count == b.count && (a.count == 0 || a[0] == b[0] && (a.count == 1 || a.step == b.step))
    case (.object(let a), .object(let b)): return a === b
    default:
      if let a = left.text, let b = right.text {
        try charge(min(a.utf8.count, b.utf8.count) / 8)
        return sameText(a, b)
      }
      if let a = left.integer, let b = right.integer { return a == b }
      if let a = left.number, let b = right.number { return a == b }
      return false
    }
  }

  private func equal(_ a: [Value], _ b: [Value]) throws -> Bool {
    try a.count == b.count && zip(a, b).allSatisfy { try equal($0, $1) }
  }

  /// `holds` gets a number below, at or above zero. Not a number is in no order.
  private func order(_ left: Value, _ right: Value, _ symbol: String, _ holds: (Int) -> Bool) throws -> Bool {
    try step()
    if let a = left.text, let b = right.text {
      try charge(min(a.utf8.count, b.utf8.count) / 8)
      // UTF-8 keeps the order of the code points.
      return holds(sameText(a, b) ? 0 : a.utf8.lexicographicallyPrecedes(b.utf8) ? -1 : 1)
    }
    if let a = left.integer, let b = right.integer { return holds(a < b ? -1 : a == b ? 0 : 1) }
    if let a = left.number, let b = right.number { return !a.isNaN && !b.isNaN && holds(a < b ? -1 : a == b ? 0 : 1) }
    switch (left, right) {
    case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
      for (x, y) in zip(a.values, b.values) where try !equal(x, y) { return try order(x, y, symbol, holds) }
      return holds(a.values.count - b.values.count)
    default: break
    }
    for case .undefined(let reason) in [left, right] { throw TemplateError(.undefined, reason) }
    throw TemplateError(
      .value, "'\(symbol)' not supported between instances of '\(left.typeName)' and '\(right.typeName)'")
  }

  /// For sorting.
  func precedes(_ left: Value, _ right: Value) throws -> Bool { try order(left, right, "<") { $0 < 0 } }

  func contains(_ container: Value, _ value: Value) throws -> Bool {
    switch container {
    case .undefined: return false
    case .string(let text), .safe(let text):
      guard let part = value.text else {
        throw TemplateError(.value, "'in <string>' requires string as left operand, not \(value.typeName)")
      }
      try charge(text.utf8.count / 8)
      return text.firstPlace(of: part) != nil
    case .dict(let dict): return dict[try Key(value)] != nil
    case .list(let items), .tuple(let items), .view(_, let items):
      return try items.values.contains { try equal($0, value) }
    case .range(let span):
      guard let number = value.number, let whole = Int(exactly: number) else { return false }
      return (0..<span.count).contains { span[$0] == whole }
    case .object(let object):
      guard let generator = object as? Generator else { break }
      while let element = try generator.next() {
        if try equal(element, value) { return true }
      }
      return false
    default: break
    }
    throw TemplateError(.value, "argument of type '\(container.typeName)' is not iterable")
  }

  // MARK: Collections

  func length(of value: Value) throws -> Int {
    switch value {
    case .undefined: 0
    case .string(let text), .safe(let text): text.unicodeScalars.count
    case .list(let items), .tuple(let items), .view(_, let items): items.values.count
    case .range(let span): span.count
    case .dict(let dict): dict.count
    case .object(let loop as LoopContext): try loop.attribute("length", self)!.integer!
    default: throw TemplateError(.value, "object of type '\(value.typeName)' has no len()")
    }
  }

  /// Gives one element after the other.
  func iterator(over value: Value) throws -> () throws -> Value? {
    var at = 0
    switch value {
    case .undefined: return { nil }
    case .list(let items), .tuple(let items), .view(_, let items): return Self.iterator(over: items.values)
    case .dict(let dict): return Self.iterator(over: dict.keys)
    case .range(let span):
      return {
        at += 1
        return at <= span.count ? .integer(span[at - 1]) : nil
      }
    case .string(let text), .safe(let text):
      var scalars = text.unicodeScalars.makeIterator()
      return { scalars.next().map { .string(String($0)) } }
    case .object(let generator as Generator): return { try generator.next() }
    default: throw TemplateError(.value, "'\(value.typeName)' object is not iterable")
    }
  }

  private static func iterator(over values: [Value]) -> () throws -> Value? {
    var at = 0
    return {
      at += 1
      return at <= values.count ? values[at - 1] : nil
    }
  }

  func elements(of value: Value) throws -> [Value] {
    if case .list(let items) = value {
      try step(items.values.count)
      return items.values
    }
    let next = try iterator(over: value)
    var all: [Value] = []
    while let element = try next() {
      try charge(elements: 1)
      all.append(element)
    }
    return all
  }
}
