/// A value while a template runs, with the meaning that Python gives it. None of them changes, but for objects.
enum Value {
  /// Why it is not there: `'name' is undefined`.
  case undefined(String)
  case none
  case bool(Bool)
  case integer(Int)
  case float(Double)
  case string(String)
  /// Text that `safe` or `escape` has marked: what is joined to it with `+` is escaped.
  case safe(String)
  case list(Items)
  case tuple(Items)
  case range(Span)
  /// `dict_items`, `dict_keys`, `dict_values`.
  case view(String, Items)
  case dict(Dict)
  case object(Object)

  /// Deepest nesting of values. Bounds the recursion of what walks over them, their release among it.
  static let depthLimit = 100
  static let tooDeep = TemplateError(.limit, "values nested deeper than \(depthLimit) levels")

  var depth: Int {
    switch self {
    case .list(let items), .tuple(let items), .view(_, let items): items.depth
    case .dict(let dict): dict.depth
    case .object(let object): object.depth
    default: 0
    }
  }

  var text: String? {
    switch self {
    case .string(let text), .safe(let text): text
    default: nil
    }
  }

  /// Bool counts as a number, as in Python.
  var integer: Int? {
    switch self {
    case .integer(let value): value
    case .bool(let value): value ? 1 : 0
    default: nil
    }
  }

  var number: Double? {
    if case .float(let value) = self { return value }
    return integer.map(Double.init)
  }

  var isUndefined: Bool { if case .undefined = self { true } else { false } }
  var isNone: Bool { if case .none = self { true } else { false } }

  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .bool(let value): value
    case .integer(let value): value != 0
    case .float(let value): value != 0
    case .string(let text), .safe(let text): !text.isEmpty
    case .list(let items), .tuple(let items), .view(_, let items): !items.values.isEmpty
    case .range(let span): span.count > 0
    case .dict(let dict): dict.count > 0
    case .object: true
    }
  }

  /// Name of the type as Python has it, for messages.
  var typeName: String {
    switch self {
    case .undefined: "Undefined"
    case .none: "NoneType"
    case .bool: "bool"
    case .integer: "int"
    case .float: "float"
    case .string: "str"
    case .safe: "Markup"
    case .list: "list"
    case .tuple: "tuple"
    case .range: "range"
    case .view(let name, _): name
    case .dict: "dict"
    case .object(let object): object.typeName
    }
  }
}

/// The elements of a list or tuple.
struct Items {
  let values: [Value]
  let depth: Int

  init(_ values: [Value]) throws {
    self.values = values
    depth = values.reduce(0) { max($0, $1.depth) } + 1
    if depth > Value.depthLimit { throw Value.tooDeep }
  }

  private init() { (values, depth) = ([], 1) }
  static let none = Items()
}

/// The numbers of a `range`.
struct Span: Equatable {
  let start: Int, stop: Int, step: Int

  /// - Precondition: the step is not 0, and no more than `countLimit` numbers are in it.
  var count: Int { step > 0 ? max(0, (stop - start + step - 1) / step) : max(0, (start - stop - step - 1) / -step) }
  subscript(index: Int) -> Int { start + index * step }
  /// As jinja2's sandbox has it.
  static let countLimit = 100_000
  static let valueLimit = 1 << 60
}

/// A dictionary that keeps the order of its keys.
struct Dict {
  private(set) var keys: [Value] = []
  private(set) var values: [Value] = []
  private(set) var depth = 1
  private var places: [Key: Int] = [:]

  var count: Int { keys.count }
  var pairs: Zip2Sequence<[Value], [Value]> { zip(keys, values) }

  subscript(key: Key) -> Value? { places[key].map { values[$0] } }
  subscript(name: String) -> Value? { self[.text(ExactText(name))] }

  mutating func set(_ key: Value, _ value: Value) throws {
    let place = places.count
    depth = max(depth, value.depth + 1)
    if depth > Value.depthLimit { throw Value.tooDeep }
    if let old = places.updateValue(place, forKey: try Key(key)) {
      places[try Key(key)] = old
      values[old] = value
    } else {
      keys.append(key)
      values.append(value)
    }
  }

  init() {}
  init(_ members: [(String, Value)]) throws {
    for (key, value) in members { try set(.string(key), value) }
  }
}

/// A value that a dictionary can be asked for. Numbers that are equal are one key, as in Python.
indirect enum Key: Hashable {
  case undefined, none
  case integer(Int)
  case float(Double)
  case text(ExactText)
  case tuple([Key])
  case object(ObjectIdentifier)

  init(_ value: Value, isInTuple: Bool = false) throws {
    switch value {
    case .undefined: self = .undefined
    case .none: self = .none
    case .bool, .integer: self = .integer(value.integer!)
    case .float(let number): self = Int(exactly: number).map(Key.integer) ?? .float(number)
    case .string(let text), .safe(let text): self = .text(ExactText(text))
    case .tuple(let items):
      if isInTuple { throw TemplateError(.unsupported, "a tuple of tuples as a key") }
      self = .tuple(try items.values.map { try Key($0, isInTuple: true) })
    case .object(let object): self = .object(ObjectIdentifier(object))
    case .list, .dict, .range, .view: throw TemplateError(.value, "unhashable type: '\(value.typeName)'")
    }
  }
}

/// A string compared by its code points, not by canonical equivalence.
struct ExactText: Hashable {
  let text: String
  init(_ text: String) { self.text = text }

  static func == (a: Self, b: Self) -> Bool { sameText(a.text, b.text) }

  func hash(into hasher: inout Hasher) {
    var text = text
    text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}

func sameText(_ a: String, _ b: String) -> Bool {
  a.utf8.count == b.utf8.count && a.utf8.elementsEqual(b.utf8)
}
