import Foundation
import VTokTensor

extension AnswerMetric {
  /// All metrics, in the order of tables.
  public static let all: [AnswerMetric] = [
    exact, vqa, anls, yesNo, multipleChoice, relaxed, mme, ocrBench, ocrBenchFormulas, agreement,
  ]

  /// One of the answers, but for case, space around it and a full stop at its end.
  public static let exact = AnswerMetric("exact", aliases: ["exact-match"], isBinary: true) { answer, references in
    references.contains { plain($0) == plain(answer) } ? 1 : 0
  }

  /// VQA accuracy of ten people's answers (Antol et al., ICCV 2015, arXiv 1505.00468; GT-Vision-Lab/VQA).
  public static let vqa = AnswerMetric(
    "vqa", aliases: ["vqa-accuracy"], fewestAnswers: 4,
    answers: "those of ten people (at least 4); for one use exact", score: VQAAnswer.accuracy)

  /// Average normalised Levenshtein similarity (Biten et al., ICCV 2019, arXiv 1907.00490), threshold 0.5.
  public static let anls = AnswerMetric("anls") { answer, references in
    let best = references.reduce(0) { max($0, similarity(answer, $1)) }
    return best < 0.5 ? 0 : best
  }

  /// Yes or no, as POPE's evaluation reads answers (Li et al., EMNLP 2023, arXiv 2305.10355): in the first sentence a word
  /// "no", "No" or "not" makes it no, everything else is yes.
  public static let yesNo = AnswerMetric("yes-no", aliases: ["pope"], isBinary: true, saysYes: isYes) {
    isYes($0) == isYes($1[0]) ? 1 : 0
  }

  /// The dense model's answer, letter by letter: for questions without answers that are right. Benches put what the dense
  /// model said in their place.
  public static let agreement = AnswerMetric(
    "agreement", aliases: ["label-free"], isBinary: true, fewestAnswers: 0, answers: "none: the dense model's is taken"
  ) { answer, references in
    references.contains(answer) ? 1 : 0
  }

  @Sendable private static func isYes(_ answer: String) -> Bool {
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
    return a.isEmpty && b.isEmpty ? 1 : 1 - Double(editDistance(a, b)) / Double(max(a.count, b.count))
  }

  private static func scalars(_ text: String) -> [UInt32] {
    text.lowercased().split(whereSeparator: \.isWhitespace).joined(separator: " ").unicodeScalars.map(\.value)
  }
}
