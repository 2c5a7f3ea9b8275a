/// How an answer is scored against those that are right, as the benchmarks of vision-language models do. A new metric is a
/// value of this type in a file of its own, and its place in `all` in Metrics.swift.
public struct AnswerMetric: Sendable, Hashable {
  /// As question files and tables have it.
  public let name: String
  /// Other names that question files may use.
  public let aliases: [String]
  /// Whether an answer is right or wrong and nothing between.
  public let isBinary: Bool
  /// Answers of which a question must have so many, and what they are; nobody can be fully right on fewer.
  public let fewestAnswers: Int
  public let answers: String
  /// Whether a question must list what can be chosen.
  public let needsChoices: Bool
  /// Whether the questions about a picture count together too: right only if all of them are.
  public let isPaired: Bool
  /// Whether a text says yes, where the metric reads answers so: it then has an F1, a share of yes, and one of yes on what
  /// is absent. nil of a text: neither yes nor no.
  public let saysYes: (@Sendable (String) -> Bool?)?
  private let rule: @Sendable (String, [String], [String]) -> Double

  /// - Parameter score: of an answer beside those that are right, 0 to 1.
  public init(
    _ name: String, aliases: [String] = [], isBinary: Bool = false, fewestAnswers: Int = 1,
    answers: String = "at least one", isPaired: Bool = false, saysYes: (@Sendable (String) -> Bool?)? = nil,
    score: @escaping @Sendable (_ answer: String, _ references: [String]) -> Double
  ) {
    self.init(
      name, aliases: aliases, isBinary: isBinary, fewestAnswers: fewestAnswers, answers: answers, needsChoices: false,
      isPaired: isPaired, saysYes: saysYes, rule: { answer, references, _ in score(answer, references) })
  }

  /// - Parameter choosing: score of an answer beside those that are right, and what could be chosen, 0 to 1.
  public init(
    _ name: String, aliases: [String] = [], isBinary: Bool = false, answers: String = "at least one",
    choosing: @escaping @Sendable (_ answer: String, _ references: [String], _ choices: [String]) -> Double
  ) {
    self.init(
      name, aliases: aliases, isBinary: isBinary, fewestAnswers: 1, answers: answers, needsChoices: true,
      isPaired: false, saysYes: nil, rule: choosing)
  }

  private init(
    _ name: String, aliases: [String], isBinary: Bool, fewestAnswers: Int, answers: String, needsChoices: Bool,
    isPaired: Bool, saysYes: (@Sendable (String) -> Bool?)?,
    rule: @escaping @Sendable (String, [String], [String]) -> Double
  ) {
    self.name = name
    self.aliases = aliases
    self.isBinary = isBinary
    self.fewestAnswers = fewestAnswers
    self.answers = answers
    self.needsChoices = needsChoices
    self.isPaired = isPaired
    self.saysYes = saysYes
    self.rule = rule
  }

  /// By name or alias; case, `_` and `-` do not matter.
  public init?(name: String) {
    let plain = name.lowercased().replacing("_", with: "-")
    guard let found = Self.all.first(where: { $0.name == plain || $0.aliases.contains(plain) }) else { return nil }
    self = found
  }

  /// 0 to 1.
  /// - Parameter choices: what could be chosen, in the order of their letters; for metrics that need them.
  public func score(_ answer: String, _ references: [String], choices: [String] = []) -> Double {
    rule(answer, references, choices)
  }

  public static func == (a: AnswerMetric, b: AnswerMetric) -> Bool { a.name == b.name }
  public func hash(into hasher: inout Hasher) { hasher.combine(name) }
}
