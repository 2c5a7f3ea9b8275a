import Foundation

extension AnswerMetric {
  /// OCRBench (Liu et al., arXiv 2305.07895; Yuliang-Liu/MultimodalOCR): an answer is right when it contains one that is,
  /// whatever else it says; case does not count.
  public static let ocrBench = AnswerMetric("ocrbench", aliases: ["contains"], isBinary: true) { answer, references in
    let answer = OCRBench.plain(answer)
    return references.contains { answer.hasPart(OCRBench.plain($0)) } ? 1 : 0
  }

  /// The same for handwritten formulas (HME100k), where case counts and spaces do not.
  public static let ocrBenchFormulas = AnswerMetric("ocrbench-formulas", aliases: ["hme100k"], isBinary: true) {
    answer, references in
    let answer = OCRBench.formula(answer)
    return references.contains { answer.hasPart(OCRBench.formula($0)) } ? 1 : 0
  }
}

enum OCRBench {
  static func plain(_ text: String) -> String { trimmed(text.lowercased()) }
  static func formula(_ text: String) -> String { trimmed(text).replacing(" ", with: "") }
  private static func trimmed(_ text: String) -> String {
    text.trimmingCharacters(in: .whitespacesAndNewlines).replacing("\n", with: " ")
  }
}
