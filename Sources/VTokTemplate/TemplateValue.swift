/// What a template is rendered with: the values that JSON has, objects in their order.
public indirect enum TemplateValue: Sendable {
  case none
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case string(String)
  case list([TemplateValue])
  /// A later member takes the place of an earlier one of the same name.
  case object([(String, TemplateValue)])
}

extension TemplateValue: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(integerLiteral value: Int) { self = .integer(value) }
  public init(arrayLiteral elements: TemplateValue...) { self = .list(elements) }
  public init(dictionaryLiteral elements: (String, TemplateValue)...) { self = .object(elements) }
}

extension Value {
  /// - Throws: `TemplateError` for values nested too deep.
  init(_ value: TemplateValue, depth: Int = 0) throws {
    if depth > Value.depthLimit { throw Value.tooDeep }
    switch value {
    case .none: self = .none
    case .bool(let value): self = .bool(value)
    case .integer(let value): self = .integer(value)
    case .number(let value): self = .float(value)
    case .string(let text): self = .string(text)
    case .list(let values): self = .list(try Items(values.map { try Value($0, depth: depth + 1) }))
    case .object(let members):
      var dict = Dict()
      for (key, value) in members { try dict.set(.string(key), Value(value, depth: depth + 1)) }
      self = .dict(dict)
    }
  }
}
