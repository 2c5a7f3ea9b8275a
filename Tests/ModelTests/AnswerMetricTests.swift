import Testing
import VTok

@Suite struct AnswerMetricTests {
  /// Values of the official evaluation's own steps (GT-Vision-Lab/VQA), run in Python.
  static let official: [(answer: String, people: [(String, Int)], accuracy: Double)] = [
    ("Yes", [("yes", 10)], 1), ("The two dogs.", [("2 dogs", 3), ("dogs", 7)], 0.9),
    ("cant", [("can't", 2), ("no", 8)], 0.6), ("red", [("red", 1), ("blue", 9)], 0.3),
    ("1,000", [("1000", 5), ("a lot", 5)], 1), ("black/white", [("black white", 4), ("black and white", 6)], 1),
    ("3.5", [("3.5", 3), ("4", 7)], 0.9), ("red.", [("red", 10)], 0),
    ("t-shirt", [("t shirt", 2), ("T-Shirt", 2), ("shirt", 6)], 1), ("none", [("0", 9), ("zero", 1)], 1),
    ("red, white", [("red white", 4), ("x", 6)], 1), ("somebody'd", [("somebodyd", 5), ("x", 5)], 1),
    ("\n a \t cat ", [("cat", 3), ("dog", 7)], 0.9),
  ]

  @Test func peopleAgreeAsTheOfficialEvaluationSays() {
    for (answer, people, accuracy) in Self.official {
      let all = people.flatMap { [String](repeating: $0.0, count: $0.1) }
      #expect(abs(AnswerMetric.vqa.score(answer, all) - accuracy) < 1e-12, "\(answer)")
    }
  }

  @Test func textsAreSimilarOrNot() {
    let anls = AnswerMetric.anls
    #expect(anls.score("Hello  World", ["hello world"]) == 1)
    #expect(anls.score("helo", ["hello", "x"]) == 0.8)
    #expect(anls.score("ab", ["abcd"]) == 0.5, "half the letters still count")
    #expect(anls.score("a", ["abc"]) == 0 && anls.score("", ["a"]) == 0 && anls.score("", [""]) == 1)
  }

  @Test func yesAndNoAreReadAsPOPEReadsThem() {
    let says: [(String, Bool)] = [
      ("Yes", true), ("No", false), ("no.", false), ("Yes, there is not. No", false), ("There is no dog", false),
      ("NO", true), ("", true), ("Yes. No", true), ("nothing", true), ("no, it is", false),
    ]
    for (answer, yes) in says { #expect(AnswerMetric.yesNo.saysYes?(answer) == yes, "\(answer)") }
    #expect(AnswerMetric.yesNo.score("no", ["No"]) == 1 && AnswerMetric.yesNo.score("no", ["yes"]) == 0)
  }

  @Test func exactButForCaseAndSpace() {
    #expect(AnswerMetric.exact.score(" Red. ", ["blue", "red"]) == 1 && AnswerMetric.exact.score("reds", ["red"]) == 0)
    #expect(AnswerMetric(name: "exact_match") == .exact && AnswerMetric(name: "VQA-Accuracy") == .vqa)
    #expect(AnswerMetric(name: "yes-no") == .yesNo && AnswerMetric(name: "pope") == .yesNo)
    #expect(AnswerMetric(name: "bleu") == nil)
  }

  /// A metric is one value: names of its own, and a score of 1 for what is right.
  @Test(arguments: AnswerMetric.all) func metricsAreToldApart(_ metric: AnswerMetric) {
    let names = AnswerMetric.all.flatMap { [$0.name] + $0.aliases }
    #expect(Set(names).count == names.count)
    for name in [metric.name] + metric.aliases { #expect(AnswerMetric(name: name) == metric) }
    let right = Array(repeating: "no", count: max(1, metric.fewestAnswers))
    let choices = metric.needsChoices ? ["yes", "no"] : []
    #expect(metric.score("no", right, choices: choices) == 1 && metric.score("yes", right, choices: choices) == 0)
  }

  /// Without answers of its own a question is scored by what the dense model said, letter by letter.
  @Test func agreementIsLetterByLetter() {
    #expect(
      AnswerMetric.agreement.score("A cat", ["A cat"]) == 1 && AnswerMetric.agreement.score("a cat", ["A cat"]) == 0)
    #expect(AnswerMetric.agreement.fewestAnswers == 0)
  }
}
