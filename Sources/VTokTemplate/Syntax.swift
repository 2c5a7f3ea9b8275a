// The tree of a template. Its height is bounded by the parser, so that walking over it and releasing it is too.

struct Statement: Sendable {
  indirect enum Kind: Sendable {
    case text(String)
    case output([Expression])
    case set(Target, Expression)
    case setBlock(Target, [Call], [Statement])
    case condition([Branch], otherwise: [Statement])
    case loop(Loop)
    case macro(Macro)
    /// A call with a body behind it, which the macro sees as `caller`.
    case callBlock(Expression, Macro)
    case filterBlock([Call], [Statement])
    case with([Assignment], [Statement])
    /// Names set in it do not leave it.
    case scope([Statement])
    case breakLoop, continueLoop
  }
  let kind: Kind
  let line: Int
}

struct Branch: Sendable {
  let test: Expression
  let body: [Statement]
}

struct Assignment: Sendable {
  let target: Target
  let value: Expression
}

struct Loop: Sendable {
  let target: Target
  let source: Expression
  /// Elements that do not pass are not counted.
  let filter: Expression?
  let body: [Statement], otherwise: [Statement]
}

struct Macro: Sendable {
  struct Parameter: Sendable {
    let name: String
    let standard: Expression?
  }
  let name: String
  let parameters: [Parameter]
  let body: [Statement]
  /// Whether its body speaks of `varargs`, `kwargs`, `caller`; without the name such arguments are refused.
  let takesMore: Bool, takesNamed: Bool, takesCaller: Bool
}

/// What a `set` or `for` writes to.
indirect enum Target: Sendable {
  case name(String)
  case attribute(String, String)
  case tuple([Target])
}

/// The name of a filter, test or function with what is handed to it.
struct Call: Sendable {
  let name: String
  let arguments: Arguments
  let line: Int
}

struct Arguments: Sendable {
  var positional: [Expression] = []
  var named: [(String, Expression)] = []
  var spread: Expression?, namedSpread: Expression?

  var height: Int {
    (positional + named.map(\.1) + [spread, namedSpread].compactMap { $0 }).reduce(0) { max($0, $1.height) }
  }
}

final class Expression: Sendable {
  indirect enum Kind: Sendable {
    case none
    case bool(Bool)
    case integer(Int)
    case float(Double)
    case string(String)
    case name(String)
    case list([Expression])
    case tuple([Expression])
    case dict([(Expression, Expression)])
    case attribute(Expression, String)
    case item(Expression, Expression)
    case slice(Expression, Expression?, Expression?, Expression?)
    case call(Expression, Arguments)
    case filter(Expression, Call)
    case test(Expression, Call, negated: Bool)
    case negative(Expression)
    case positive(Expression)
    case not(Expression)
    case binary(Binary, Expression, Expression)
    case concatenation([Expression])
    case comparison(Expression, [(Comparison, Expression)])
    case and(Expression, Expression)
    case or(Expression, Expression)
    case condition(Expression, then: Expression, otherwise: Expression?)
  }
  enum Binary: String, Sendable {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case floor = "//"
    case modulo = "%"
    case power = "**"
  }
  enum Comparison: String, Sendable {
    case equal = "=="
    case unequal = "!="
    case less = "<"
    case lessEqual = "<="
    case greater = ">"
    case greaterEqual = ">="
    case within = "in"
    case notWithin = "not in"
  }

  let kind: Kind
  let line: Int
  let height: Int

  init(_ kind: Kind, line: Int, height: Int) {
    self.kind = kind
    self.line = line
    self.height = height
  }
}
