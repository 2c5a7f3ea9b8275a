import Testing
import VTok

@Suite struct MultipleChoiceTests {
  static let choices = ["a red ball", "blue", "The Cube", "none of these"]
  /// What VLMEvalKit's own steps (`can_infer_option`, then `can_infer_text`) find, run in Python; nil: nothing.
  static let official: [(answer: String, choice: String?)] = [
    ("B", "B"), ("(B).", "B"), ("b", nil), ("The answer is C", "C"), ("A ball on a table that is B", nil), ("A", "A"),
    ("A ball", "A"), ("A blue one stands there", "B"), ("It is blue", "B"), ("Blue, the cube", nil), ("the cube!", "C"),
    ("Z", nil), ("Cannot determine the answer B", nil), ("B or C", nil), ("D. none of these", "D"),
    ("it is a red ball, is it not, or so I think and I could go on for a long time about it, really", nil),
    ("A long text in which the letter stands early", nil), ("", nil), ("**C**", "C"), ("\nD\n", "D"),
    ("Option:B", "B"), ("B, since blue is said", "B"),
  ]

  @Test(arguments: official) func answersAreReadAsTheOfficialCodeReadsThem(_ answer: String, _ choice: String?) {
    for letter in ["A", "B", "C", "D"] {
      let score = AnswerMetric.multipleChoice.score(answer, [letter], choices: Self.choices)
      #expect(score == (letter == choice ? 1 : 0), "\(answer) for \(letter)")
    }
  }

  @Test func rightAnswersAreLettersOrTexts() {
    #expect(MultipleChoice.place(of: "C", among: Self.choices) == 2)
    #expect(MultipleChoice.place(of: "the cube", among: Self.choices) == 2)
    #expect(MultipleChoice.place(of: "E", among: Self.choices) == nil)
    #expect(AnswerMetric.multipleChoice.score("It is blue", ["Blue"], choices: Self.choices) == 1)
    #expect(MultipleChoice.listed(["x", "y"]) == "A. x\nB. y")
  }
}
