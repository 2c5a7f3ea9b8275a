import Foundation

extension AnswerMetric {
  /// ChartQA's relaxed accuracy (Masry et al., ACL Findings 2022, arXiv 2203.10244; google-research/pix2struct): numbers may
  /// be 5% off, other texts must be equal but for case. A percent sign divides by 100, on both sides.
  public static let relaxed = AnswerMetric("relaxed", aliases: ["relaxed-accuracy", "chartqa"], isBinary: true) {
    answer, references in
    references.contains { RelaxedAccuracy.isRight(answer, $0) } ? 1 : 0
  }
}

enum RelaxedAccuracy {
  static func isRight(_ answer: String, _ target: String) -> Bool {
    let (answer, target) = (trimmed(answer), trimmed(target))
    // The official code compares texts where the target is zero, whose 5% are nothing.
    guard let said = number(answer), let right = number(target), right != 0 else {
      return answer.lowercased() == target.lowercased()
    }
    return abs(said - right) / abs(right) <= 0.05
  }

  private static func trimmed(_ text: String) -> String { text.trimmingCharacters(in: .whitespacesAndNewlines) }

  /// What Python's `float` reads; Swift's also takes hexadecimal numbers.
  private static func number(_ text: String) -> Double? {
    if text.hasSuffix("%") {
      let digits = text.prefix { $0 != "%" }
      guard text.dropFirst(digits.count).allSatisfy({ $0 == "%" }) else { return nil }
      return number(trimmed(String(digits))).map { $0 / 100 }
    }
    let form =
      #/[+-]?(([0-9](_?[0-9])*\.?([0-9](_?[0-9])*)?|\.[0-9](_?[0-9])*)(e[+-]?[0-9](_?[0-9])*)?|inf|infinity|nan)/#
    guard text.lowercased().wholeMatch(of: form) != nil else { return nil }
    return Double(text.replacing("_", with: ""))
  }
}
