/// A text in the part of Jinja that published chat templates use, read once and rendered any number of times.
///
/// Statements: `for`, `if`, `set`, `macro`, `call`, `filter`, `with`, `raw`, `generation`, `break`, `continue`. Values,
/// operators, filters, tests and methods are those of jinja2's sandbox as transformers sets it up for chat templates.
/// What is not built is an error of kind `unsupported` when it is come to.
/// ```swift
/// let template = try Template("{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}{% endfor %}")
/// let text = try template.render(["messages": [["role": "user", "content": " Hi"]]])
/// ```
public struct Template: Sendable {
  /// What one rendering may take. No text of a template leads beyond it.
  public struct Limits: Sendable {
    /// Expressions and statements run, elements gone over.
    public var steps = 2_000_000
    /// Bytes of all texts and lists made on the way, 64 for each element.
    public var bytes = 256 << 20
    /// Bytes of the result, and of any text on the way.
    public var output = 16 << 20
    public init() {}
    public init(steps: Int, bytes: Int, output: Int) {
      self.steps = steps
      self.bytes = bytes
      self.output = output
    }
  }

  private let statements: [Statement]

  /// - Throws: `TemplateError` with the line of what is wrong.
  public init(_ text: String) throws(TemplateError) {
    statements = try typed {
      if text.utf8.count > Self.lengthLimit { throw TemplateError(.limit, "a template of more than 4 MB") }
      return try Parser.statements(of: text)
    }
  }

  static let lengthLimit = 4 << 20

  /// - Parameters:
  ///   - values: variables by name.
  ///   - now: what `strftime_now` tells; nil: the clock of the machine.
  /// - Throws: `TemplateError` with the line of what failed.
  public func render(
    _ values: TemplateValue, now: LocalTime? = nil, limits: Limits = Limits()
  ) throws(TemplateError) -> String {
    try typed {
      guard case .object(let members) = values else { throw TemplateError(.value, "variables without names") }
      let run = Interpreter(limits: limits, now: now)
      defer { run.finish() }
      var out = ""
      let root = try run.root(members)
      _ = try run.execute(statements, in: root, to: &out)
      return out
    }
  }
}

/// All errors within are `TemplateError`s; closures lose that.
private func typed<Result>(_ body: () throws -> Result) throws(TemplateError) -> Result {
  do {
    return try body()
  } catch let error as TemplateError {
    throw error
  } catch {
    preconditionFailure("\(error)")
  }
}
