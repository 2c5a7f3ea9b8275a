extension AnswerMetric {
  /// MME (Fu et al., arXiv 2306.13394): two questions about a picture, one to be answered with yes and one with no. An answer
  /// is read by its first four letters, as the official `calculation.py` does; what has neither word is wrong. Beside the
  /// accuracy stands the share of pictures whose questions are all right (acc+); both in points make the score of a task.
  public static let mme = AnswerMetric(
    "mme", isBinary: true, answers: "yes or no", isPaired: true, saysYes: MMEPairs.saysYes
  ) { answer, references in
    let said = MMEPairs.saysYes(answer)
    return said != nil && said == MMEPairs.saysYes(references[0]) ? 1 : 0
  }
}

enum MMEPairs {
  @Sendable static func saysYes(_ answer: String) -> Bool? {
    let start = String(answer.lowercased().prefix(4))
    return start.contains("yes") ? true : start.contains("no") ? false : nil
  }
}
