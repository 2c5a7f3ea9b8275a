/// How an answer is scored against those that are right, as the benchmarks of vision-language models do. A new metric is a
/// value of this type in Metrics.swift, and its place in `all` there.
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
  /// Whether a text says yes, where the metric reads answers so: it then has an F1 and a share of yes.
  public let saysYes: (@Sendable (String) -> Bool)?
  private let rule: @Sendable (String, [String]) -> Double

  /// - Parameter score: of an answer beside those that are right, 0 to 1.
  public init(
    _ name: String, aliases: [String] = [], isBinary: Bool = false, fewestAnswers: Int = 1,
    answers: String = "at least one", saysYes: (@Sendable (String) -> Bool)? = nil,
    score: @escaping @Sendable (_ answer: String, _ references: [String]) -> Double
  ) {
    self.name = name
    self.aliases = aliases
    self.isBinary = isBinary
    self.fewestAnswers = fewestAnswers
    self.answers = answers
    self.saysYes = saysYes
    rule = score
  }

  /// By name or alias; case, `_` and `-` do not matter.
  public init?(name: String) {
    let plain = name.lowercased().replacing("_", with: "-")
    guard let found = Self.all.first(where: { $0.name == plain || $0.aliases.contains(plain) }) else { return nil }
    self = found
  }

  /// 0 to 1.
  public func score(_ answer: String, _ references: [String]) -> Double { rule(answer, references) }

  public static func == (a: AnswerMetric, b: AnswerMetric) -> Bool { a.name == b.name }
  public func hash(into hasher: inout Hasher) { hasher.combine(name) }
}
