import Foundation

/// How an answer is scored against those that are right, as the benchmarks of vision-language models do.
public enum AnswerMetric: String, Sendable, CaseIterable {
  /// One of the answers, but for case, space around it and a full stop at its end.
  case exact
  /// VQA accuracy of ten people's answers (Antol et al., ICCV 2015, arXiv 1505.00468; GT-Vision-Lab/VQA).
  case vqa
  /// Average normalised Levenshtein similarity (Biten et al., ICCV 2019, arXiv 1907.00490), threshold 0.5.
  case anls
  /// Yes or no, as POPE reads answers (Li et al., EMNLP 2023, arXiv 2305.10355): in the first sentence a word "no", "No" or
  /// "not" makes it no, everything else is yes. F1 is that of yes.
  case yesNo = "yes-no"

  private static let names: [String: AnswerMetric] = [
    "exact": .exact, "exact-match": .exact, "vqa": .vqa, "vqa-accuracy": .vqa, "anls": .anls, "yes-no": .yesNo,
    "pope": .yesNo,
  ]

  /// By name; `exact_match`, `vqa_accuracy` and `pope` are known too.
  public init?(name: String) {
    guard let found = Self.names[name.lowercased().replacing("_", with: "-")] else { return nil }
    self = found
  }

  /// Whether an answer is right or wrong and nothing between.
  public var isBinary: Bool { self == .exact || self == .yesNo }

  /// Answers of which a question must have so many: nobody can be fully right on fewer people than four.
  public var fewestAnswers: Int { self == .vqa ? 4 : 1 }

  /// 0 to 1.
  public func score(_ answer: String, _ references: [String]) -> Double {
    switch self {
    case .exact: return references.contains { Self.plain($0) == Self.plain(answer) } ? 1 : 0
    case .vqa: return VQAAnswer.accuracy(answer, references)
    case .anls:
      let best = references.reduce(0) { max($0, Self.similarity(answer, $1)) }
      return best < 0.5 ? 0 : best
    case .yesNo: return Self.saysYes(answer) == Self.saysYes(references[0]) ? 1 : 0
    }
  }

  /// How POPE's evaluation reads an answer.
  public static func saysYes(_ answer: String) -> Bool {
    let sentence = answer.prefix { $0 != "." }.filter { $0 != "," }
    return !sentence.split(separator: " ").contains { ["No", "not", "no"].contains($0) }
  }

  private static func plain(_ text: String) -> String {
    let text = text.trimmingCharacters(in: .whitespacesAndNewlines).lowercased()
    return text.hasSuffix(".") ? String(text.dropLast()) : text
  }

  /// 1 less the edit distance as a share of the longer text; case and runs of space do not count.
  private static func similarity(_ a: String, _ b: String) -> Double {
    let (a, b) = (scalars(a), scalars(b))
    if a.isEmpty && b.isEmpty { return 1 }
    var row = Array(0...b.count)
    for (i, x) in a.enumerated() {
      var diagonal = row[0]
      row[0] = i + 1
      for (j, y) in b.enumerated() {
        let next = min(row[j + 1] + 1, row[j] + 1, diagonal + (x == y ? 0 : 1))
        (diagonal, row[j + 1]) = (row[j + 1], next)
      }
    }
    return 1 - Double(row[b.count]) / Double(max(a.count, b.count))
  }

  private static func scalars(_ text: String) -> [Unicode.Scalar] {
    Array(text.lowercased().split(whereSeparator: \.isWhitespace).joined(separator: " ").unicodeScalars)
  }
}
