import Testing
import VTok

@Suite struct MMEPairsTests {
  @Test func answersAreReadByTheirFirstLetters() {
    let says: [(String, Bool?)] = [
      ("Yes", true), ("yes, there is no dog", true), ("No", false), ("NO.", false), ("Not at all", false),
      ("A dog: yes", nil), ("", nil), (" no", false), ("know", false), ("y", nil),
    ]
    for (answer, yes) in says { #expect(AnswerMetric.mme.saysYes?(answer) == yes, "\(answer)") }
  }

  @Test func whatSaysNeitherIsWrong() {
    #expect(AnswerMetric.mme.score("Yes.", ["Yes"]) == 1 && AnswerMetric.mme.score("No", ["yes"]) == 0)
    #expect(AnswerMetric.mme.score("maybe", ["yes"]) == 0 && AnswerMetric.mme.score("maybe", ["no"]) == 0)
    #expect(AnswerMetric.mme.isPaired && !AnswerMetric.yesNo.isPaired)
  }
}
