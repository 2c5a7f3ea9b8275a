import Foundation
import Testing
import VTokWeights

/// Patterns of published pre-tokenizers, matched by hand or as expressions, against Hugging Face tokenizers.
@Suite struct SplitPatternTests {
  private static let table = file("split-patterns.json")
  private static let texts = table["texts"]!.strings!
  static let rows = table["rows"]!.array!

  private static func file(_ name: String) -> JSON {
    try! JSON(contentsOf: (#filePath as NSString).deletingLastPathComponent + "/" + name)
  }

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

  /// What is matched by hand is what the expression matches.
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

  /// Random expressions of every construct match where Hugging Face tokenizers matches, or are refused for a reason that holds.
  @Test func matchesAsTheOfficialLibrary() throws {
    var refused = 0
    let rows = Self.file("split-expressions.json")["rows"]!.array!
    for row in rows {
      let pattern = row["pattern"]!.string!
      do {
        let expression = try SplitExpression(pattern)
        for (text, expected) in zip(row["texts"]!.strings!, row["matches"]!.array!) {
          let found = expression.matches(in: Array(text.unicodeScalars)).map { [$0.lowerBound, $0.upperBound] }
          #expect(found == expected.array!.map { $0.ints! }, "\(pattern) on \(text.debugDescription)")
        }
      } catch {
        refused += 1
        let known = ["a repetition of what may be empty", "a group without a way back in a look behind"]
        #expect(known.contains(where: error.reason.hasPrefix), "\(pattern): \(error.reason)")
      }
    }
    #expect(refused < rows.count / 20)
  }

  /// Expressions that libraries read differently, or not at all, are refused when the file is read.
  @Test(arguments: [
    "(", "a)", #"\bx"#, #"\w+"#, #"\"#, #"\X"#, #"\K"#, #"\1"#, #"\h"#, "(?<name>a)", "(?m)a", "(?#a)", "[[:alpha:]]",
    "[a",
    "[]a]", "[a-c-e]", "[z-a]", #"[a-\d]"#, "[a&&]", #"\p{Nonsense}"#, #"\p"#, #"\x{110000}"#, #"\u12"#, "*", "a|+",
    "{2}",
    "a{2", "a{,}", "a{3,2}", "a{257}", "(?:a?)+", "(?:)*", "(?=a)+", "(?<=a++)b", "(?i:ß)",
  ])
  func refuses(_ pattern: String) {
    #expect(throws: SplitExpression.Refusal.self) { try SplitExpression(pattern) }
  }

  /// What would be large or deep is refused before it is made.
  @Test(arguments: [
    String(repeating: "a", count: 5000), String(repeating: "(", count: 4000), String(repeating: "[", count: 4000),
    "a{256}{256}{256}", "a" + String(repeating: "{1}", count: 1300), "a" + String(repeating: "?", count: 4000),
    "(?:(?:a{0,256}b){0,256}c){0,256}",
    String(repeating: "(?:", count: 40) + "a" + String(repeating: ")*", count: 40),
  ])
  func refusesALargeOne(_ pattern: String) {
    #expect(throws: SplitExpression.Refusal.self) { try SplitExpression(pattern) }
  }

  /// Patterns on which other engines do not end take time by the length of the text.
  @Test(
    .timeLimit(.minutes(1)),
    arguments: [
      "(a+)+b", "(a|a)+b", "(a|aa)+$b", "a*a*a*a*a*a*a*a*b", "(?:(?:a+)+)+b", "(?=(a+)+b)a", "(?<=b(?:a|aa)+)c",
      "(?>(a+)+b)|b",
      "(?i:(a|A)+)b", "(a+)++b", "(?:(?>a+)+)+b", "(?:a(?=(?:a+)+))+b", "(?:a{1,9}){1,9}b", "(a+?)+?b",
    ])
  func endsOnEveryText(_ pattern: String) throws {
    let expression = try SplitExpression(pattern)
    let letters = [Unicode.Scalar](repeating: "a", count: 5000)
    #expect(expression.matches(in: letters).isEmpty)
    let matches = expression.matches(in: letters + ["b"])
    #expect(zip(matches, matches.dropFirst()).allSatisfy { $0.upperBound <= $1.lowerBound })
  }
}
