import Testing
import VTok

@Suite struct OCRBenchTests {
  @Test func answersContainWhatIsRight() {
    let metric = AnswerMetric.ocrBench
    #expect(metric.score("The sign says STOP here.", ["stop"]) == 1)
    #expect(metric.score("St op", ["stop"]) == 0 && metric.score("sto", ["stop"]) == 0)
    #expect(metric.score("two\nlines", ["x", " two lines "]) == 1)
    #expect(AnswerMetric(name: "contains") == metric)
  }

  /// HME100k: spaces do not count, case does.
  @Test func formulasAreReadWithoutSpaces() {
    let metric = AnswerMetric.ocrBenchFormulas
    #expect(metric.score(#"$ x ^ { 2 } + Y $"#, [#"x^{2}+Y"#]) == 1)
    #expect(metric.score("x+y", ["x+Y"]) == 0)
  }

  /// An accent of its own is part of no other letter in Python, and here neither.
  @Test func textsAreComparedByTheirScalars() {
    #expect(AnswerMetric.ocrBench.score("cafe\u{301}", ["cafe"]) == 1)
  }
}
