import Testing
import VTok

@Suite struct RelaxedAccuracyTests {
  /// Values of pix2struct's `relaxed_correctness`, run in Python.
  static let official: [(target: String, answer: String, right: Bool)] = [
    ("10", "10.5", true), ("10", "10.51", false), ("10", "9.5", true), ("0", "0", true), ("0", "0.0", false),
    ("50%", "0.5", true), ("50%", "51%", true), ("50", "50%", false), ("Red", "red", true), ("red", "reds", false),
    ("1e3", "1000", true), ("1_000", "1000", true), ("1,000", "1000", false), (".5", "0.5", true), ("5.", "5", true),
    ("0x10", "16", false), ("-3", "3", false), ("nan", "nan", false), ("inf", "inf", false), ("12 %", "12%", true),
    ("+4", "4", true), ("4%%", "0.04", true), ("4", "four", false), ("-2", "-2.1", false), ("infinity", "inf", false),
  ]

  @Test(arguments: official) func numbersMayBeALittleOff(_ target: String, _ answer: String, _ right: Bool) {
    #expect(AnswerMetric.relaxed.score(answer, [target]) == (right ? 1 : 0), "\(target) and \(answer)")
  }

  @Test func anyOfSeveralAnswersWillDo() {
    #expect(AnswerMetric.relaxed.score(" 7 ", ["8", "7.1"]) == 1)
    #expect(AnswerMetric.relaxed.score("7", ["8", "9"]) == 0)
  }
}
