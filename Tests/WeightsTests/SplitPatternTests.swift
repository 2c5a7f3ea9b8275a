import Foundation
import Testing
import VTokWeights

/// Patterns of published pre-tokenizers, matched by hand or by the standard library, against Hugging Face tokenizers.
@Suite struct SplitPatternTests {
  private static let table = try! JSON(
    contentsOf: (#filePath as NSString).deletingLastPathComponent + "/split-patterns.json")
  private static let texts = table["texts"]!.strings!
  static let rows = table["rows"]!.array!

  @Test(arguments: rows.indices) func cutsAsTheOfficialLibrary(_ index: Int) throws {
    let row = Self.rows[index]
    let pattern =
      try row["pattern"]!["Regex"].map { try SplitPattern($0.string!) }
      ?? .literal(Array(row["pattern"]!["String"]!.string!.unicodeScalars))
    let behaviour = SplitBehaviour(rawValue: row["behavior"]!.string!)!
    for (text, expected) in zip(Self.texts, row["pieces"]!.array!) {
      let scalars = Array(text.unicodeScalars)
      let ranges = behaviour.pieces(
        pattern.matches(in: scalars), of: scalars.count, inverts: row["invert"]!.bool!)
      let found = ranges.map { String(String.UnicodeScalarView(scalars[$0])) }
      #expect(found == expected.strings!, "\(row["name"]!) on \(text.debugDescription)")
    }
  }

  /// What is matched by hand is what the standard library matches.
  @Test(arguments: ["gpt2", "qwen2", "llama3"]) func byHandIsByExpression(_ name: String) throws {
    let pattern = Self.rows.first { $0["name"]!.string == name }!["pattern"]!["Regex"]!.string!
    let (fast, slow) = (try SplitPattern(pattern), SplitPattern.expression(try SplitExpression(pattern)))
    #expect(fast != slow)
    let alphabet = Array("a Zé'sſtTLl09٣½\t\n\r\u{A0}\u{3000}।日い\u{301}👍🏽_-.,ªǅ".unicodeScalars)
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<300 {
      let text = (0..<Int.random(in: 1...24, using: &generator)).map { _ in alphabet.randomElement(using: &generator)! }
      let shown = String(String.UnicodeScalarView(text)).debugDescription
      #expect(fast.matches(in: text) == slow.matches(in: text), "\(shown)")
    }
  }

  /// Expressions that the standard library may read otherwise, or not at all, are refused when the file is read.
  @Test(arguments: [
    "(", #"\bx"#, #"\w+"#, #"\"#, #"\X"#, #"\K"#, "(?<name>a)", "(?m)a", "[[:alpha:]", #"\p{Nonsense}"#, "*",
  ])
  func refuses(_ pattern: String) {
    #expect(throws: SplitExpression.Refusal.self) { try SplitExpression(pattern) }
  }

  @Test func refusesALongOne() {
    #expect(throws: SplitExpression.Refusal.self) { try SplitExpression(String(repeating: "a", count: 5000)) }
  }
}
