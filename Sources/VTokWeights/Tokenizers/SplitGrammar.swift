/// What a split pattern says, as a tree.
indirect enum SplitNode {
  case set(ScalarSet)
  case lineStart, lineEnd
  case sequence([SplitNode])
  /// The first alternative that lets the rest match.
  case choice([SplitNode])
  case repetition(SplitNode, of: ClosedRange<Int>, Greed)
  /// Matches without the way back into it.
  case atomic(SplitNode)
  case look(SplitNode, ahead: Bool, isNegated: Bool)

  enum Greed { case greedy, lazy, possessive }

  /// How often a repetition without an upper bound may match.
  static let unbounded = Int.max

  /// Whether it matches nothing at all somewhere.
  var canBeEmpty: Bool {
    switch self {
    case .set: false
    case .lineStart, .lineEnd, .look: true
    case .sequence(let nodes): nodes.allSatisfy(\.canBeEmpty)
    case .choice(let nodes): nodes.contains(where: \.canBeEmpty)
    case .repetition(let node, let count, _): count.lowerBound == 0 || node.canBeEmpty
    case .atomic(let node): node.canBeEmpty
    }
  }
}

/// Reads a split pattern in the syntax that published tokenizers are run with (Oniguruma).
///
/// What libraries read differently is refused: a guess would give other ids.
struct SplitGrammar {
  private let scalars: [Unicode.Scalar]
  private var at = 0
  private var depth = 0
  private var ignoresCase = false

  private static let longest = 4096
  private static let deepest = 32
  private static let mostTimes = 256
  private static let mostRepetitions = 4

  static func tree(of pattern: String) throws(SplitExpression.Refusal) -> SplitNode {
    var grammar = SplitGrammar(scalars: Array(pattern.unicodeScalars))
    guard grammar.scalars.count <= longest else {
      throw refusal("\(grammar.scalars.count) characters, more than \(longest)")
    }
    let node = try grammar.choice()
    guard grammar.next == nil else { throw refusal("a parenthesis that closes nothing") }
    return node
  }

  private init(scalars: [Unicode.Scalar]) { self.scalars = scalars }

  private var next: Unicode.Scalar? { at < scalars.count ? scalars[at] : nil }

  private static func refusal(_ reason: String) -> SplitExpression.Refusal { SplitExpression.Refusal(reason: reason) }

  /// Goes past a text if it stands here.
  private mutating func take(_ text: String) -> Bool {
    guard scalars[at...].starts(with: text.unicodeScalars) else { return false }
    at += text.unicodeScalars.count
    return true
  }

  // MARK: Groups

  private mutating func choice() throws(SplitExpression.Refusal) -> SplitNode {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.deepest else { throw Self.refusal("more than \(Self.deepest) groups in one another") }
    var alternatives = [try sequence()]
    while take("|") { alternatives.append(try sequence()) }
    return alternatives.count == 1 ? alternatives[0] : .choice(alternatives)
  }

  private mutating func sequence() throws(SplitExpression.Refusal) -> SplitNode {
    var nodes: [SplitNode] = []
    while let next, next != "|", next != ")" { nodes.append(try repeated(try atom())) }
    return nodes.count == 1 ? nodes[0] : .sequence(nodes)
  }

  private mutating func atom() throws(SplitExpression.Refusal) -> SplitNode {
    switch scalars[at] {
    case "(": return try group()
    case "[": return try set(characterClass())
    case "\\":
      let read = try escape()
      guard case .range = read else { return .set(read) }  // a property has no case of its own, unlike a class
      return set(read)
    case "*", "+", "?", "{": throw Self.refusal("`\(scalars[at])` that repeats nothing")
    case ".": return plain(.negated(.scalar("\n")))
    case "^": return anchor(.lineStart)
    case "$": return anchor(.lineEnd)
    default:
      // Some libraries take `ss` for `ß` when case is ignored.
      guard !ignoresCase || scalars[at].properties.uppercaseMapping.unicodeScalars.count == 1 else {
        throw Self.refusal("`\(scalars[at])`, whose capital is several letters, where case is ignored")
      }
      return plain(.scalar(scalars[at]))
    }
  }

  private func set(_ set: ScalarSet) -> SplitNode { .set(ignoresCase ? .anyCase(set) : set) }

  private mutating func plain(_ read: ScalarSet) -> SplitNode {
    at += 1
    return set(read)
  }

  private mutating func anchor(_ node: SplitNode) -> SplitNode {
    at += 1
    return node
  }

  private mutating func group() throws(SplitExpression.Refusal) -> SplitNode {
    let outer = ignoresCase
    defer { ignoresCase = outer }
    let start = at
    at += 1
    var wrap: (SplitNode) -> SplitNode = { $0 }
    if take("?:") {
    } else if take("?i:") {
      ignoresCase = true
    } else if take("?=") {
      wrap = { .look($0, ahead: true, isNegated: false) }
    } else if take("?!") {
      wrap = { .look($0, ahead: true, isNegated: true) }
    } else if take("?<=") {
      wrap = { .look($0, ahead: false, isNegated: false) }
    } else if take("?<!") {
      wrap = { .look($0, ahead: false, isNegated: true) }
    } else if take("?>") {
      wrap = { .atomic($0) }
    } else if next == "?" {
      throw Self.refusal("`\(shown(from: start, most: 4))`")
    }
    let inside = try choice()
    guard take(")") else { throw Self.refusal("a parenthesis that is not closed") }
    return wrap(inside)
  }

  // MARK: Repetitions

  private mutating func repeated(_ node: SplitNode) throws(SplitExpression.Refusal) -> SplitNode {
    var node = node
    var repetitions = 0
    while let (count, isCounted) = try times() {
      repetitions += 1
      guard repetitions <= Self.mostRepetitions else {
        throw Self.refusal("more than \(Self.mostRepetitions) repetitions of one another")
      }
      var greed = SplitNode.Greed.greedy
      if take("?") { greed = .lazy }
      if greed == .greedy, !isCounted, take("+") { greed = .possessive }
      // Engines differ in when a repetition of nothing ends.
      guard count.upperBound == 1 || !node.canBeEmpty else {
        throw Self.refusal("a repetition of what may be empty, which ends at a place of each library's own")
      }
      node = .repetition(node, of: count, greed)
    }
    return node
  }

  /// How often the node before is to match; nil where no repetition stands.
  private mutating func times() throws(SplitExpression.Refusal) -> (ClosedRange<Int>, isCounted: Bool)? {
    if take("*") { return (0...SplitNode.unbounded, false) }
    if take("+") { return (1...SplitNode.unbounded, false) }
    if take("?") { return (0...1, false) }
    guard next == "{" else { return nil }
    let start = at
    at += 1
    let least = number()
    let hasComma = take(",")
    let most = hasComma ? number() : least
    guard take("}"), least != nil || most != nil else { throw Self.refusal("`\(shown(from: start, most: 8))`") }
    let range = (least ?? 0, hasComma && most == nil ? SplitNode.unbounded : most!)
    guard range.0 <= range.1, range.0 <= Self.mostTimes, range.1 <= Self.mostTimes || range.1 == SplitNode.unbounded
    else {
      throw Self.refusal("`\(shown(from: start, most: 12))`, not two numbers in order of at most \(Self.mostTimes)")
    }
    return (range.0...range.1, true)
  }

  private mutating func number() -> Int? {
    var value: Int?
    while let digit = next.flatMap({ Int(String($0)) }), (value ?? 0) <= Self.mostTimes {
      value = (value ?? 0) * 10 + digit
      at += 1
    }
    return value
  }

  private func shown(from start: Int, most: Int) -> String {
    String(String.UnicodeScalarView(scalars[start...].prefix(most)))
  }
}

// MARK: Sets

extension SplitGrammar {
  /// `[...]`: sets side by side, `&&` between what must hold at once. Case is ignored before the outermost class is negated.
  private mutating func characterClass(isInner: Bool = false) throws(SplitExpression.Refusal) -> ScalarSet {
    let start = at
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.deepest else { throw Self.refusal("more than \(Self.deepest) classes in one another") }
    at += 1
    let isNegated = take("^")
    guard next != "]" else { throw Self.refusal("a class that begins with `]`") }
    var parts: [[ScalarSet]] = [[]]
    while let next, next != "]" {
      if take("&&") {
        parts.append([])
      } else if next == "[" {
        guard !scalars[at...].starts(with: "[:".unicodeScalars) else { throw Self.refusal("`[:`") }
        parts[parts.count - 1].append(try characterClass(isInner: true))
      } else {
        parts[parts.count - 1].append(try range())
      }
    }
    guard take("]") else { throw Self.refusal("`\(shown(from: start, most: 12))`, a class that is not closed") }
    guard !parts.contains(where: \.isEmpty) else { throw Self.refusal("`&&` beside nothing") }
    let set = ScalarSet.intersection(parts.map { .union($0) })
    return isNegated ? .negated(ignoresCase && !isInner ? .anyCase(set) : set) : set
  }

  /// A member of a class: a set of its own, a scalar, or all from one scalar to another.
  private mutating func range() throws(SplitExpression.Refusal) -> ScalarSet {
    let start = at
    let first = try member()
    guard case .range(let low) = first, low.count == 1, next == "-", at + 1 < scalars.count, scalars[at + 1] != "]"
    else {
      return first
    }
    at += 1
    guard next != "[", case .range(let high) = try member(), low.lowerBound <= high.lowerBound,
      next != "-" || at + 1 < scalars.count && scalars[at + 1] == "]"
    else { throw Self.refusal("`\(shown(from: start, most: 12))`, a range that libraries read differently") }
    return .range(low.lowerBound...high.lowerBound)
  }

  private mutating func member() throws(SplitExpression.Refusal) -> ScalarSet {
    guard let next else { throw Self.refusal("a class that is not closed") }
    if next == "\\" { return try escape() }
    at += 1
    return .scalar(next)
  }

  /// What a backslash begins. Words (`\w`, `\b`) are others in every library.
  private mutating func escape() throws(SplitExpression.Refusal) -> ScalarSet {
    let start = at
    at += 1
    guard let name = next else { throw Self.refusal("a backslash at its end") }
    at += 1
    let controls: [Unicode.Scalar: Unicode.Scalar] = ["r": "\r", "n": "\n", "t": "\t", "f": "\u{C}", "v": "\u{B}"]
    if let control = controls[name] { return .scalar(control) }
    switch name {
    case "s": return .space
    case "S": return .negated(.space)
    case "d": return .digit
    case "D": return .negated(.digit)
    case "p", "P": return try property(from: start)
    case "x", "u": return .scalar(try codePoint(from: start, digits: name == "x" ? 2 : 4, takesBraces: name == "x"))
    default:
      guard !name.properties.isAlphabetic, name.properties.numericType == nil else {
        throw Self.refusal("`\\\(name)`")
      }
      return .scalar(name)
    }
  }

  private mutating func property(from start: Int) throws(SplitExpression.Refusal) -> ScalarSet {
    guard next == "{", let end = scalars[at...].prefix(64).firstIndex(of: "}") else {
      throw Self.refusal("`\(shown(from: start, most: 6))` without a name in braces")
    }
    at = end + 1
    let text = String(String.UnicodeScalarView(scalars[start..<at]))
    do {
      return .property(try ScalarProperty(text))
    } catch {
      throw Self.refusal("`\(text)`")
    }
  }

  private mutating func codePoint(
    from start: Int, digits: Int, takesBraces: Bool
  ) throws(SplitExpression.Refusal) -> Unicode.Scalar {
    let isBraced = takesBraces && take("{")
    var value: UInt32 = 0
    var count = 0
    while count < (isBraced ? 8 : digits), let digit = next.flatMap({ UInt32(String($0), radix: 16) }) {
      value = value << 4 | digit
      count += 1
      at += 1
    }
    guard count > 0, isBraced ? take("}") : count == digits, let scalar = Unicode.Scalar(value) else {
      throw Self.refusal("`\(shown(from: start, most: 8))`, which names no character")
    }
    return scalar
  }
}
