import Foundation

extension AnswerMetric {
  /// Multiple choice as VLMEvalKit (MMBench's rule without a judge) reads answers: by the letter of a choice, else by its
  /// text. What names none, or several, is wrong.
  public static let multipleChoice = AnswerMetric(
    "multiple-choice", aliases: ["mcq", "choice"], isBinary: true, answers: "a letter or a text of the choices"
  ) { answer, references, choices in
    guard let chosen = MultipleChoice.chosen(in: answer, of: choices) else { return 0 }
    return references.contains { MultipleChoice.place(of: $0, among: choices) == chosen } ? 1 : 0
  }
}

/// Choices with the letters A, B, C and so on.
public enum MultipleChoice {
  public static let letters = (UInt8(ascii: "A")...UInt8(ascii: "Z")).map { String(UnicodeScalar($0)) }

  /// Which choice a right answer means: its letter, else its text, but for case. nil: none.
  public static func place(of reference: String, among choices: [String]) -> Int? {
    letters.prefix(choices.count).firstIndex(of: reference)
      ?? choices.firstIndex { $0.lowercased() == reference.lowercased() }
  }

  /// `A. red` and so on, a line each.
  public static func listed(_ choices: [String]) -> String {
    zip(letters, choices).map { "\($0). \($1)" }.joined(separator: "\n")
  }

  /// What refuses to answer chooses nothing, whatever letters it has.
  private static let refusals = [
    "Sorry, I can't help with images of people yet.", "I can't process this file.",
    "I'm sorry, but without the image provided", "Cannot determine the answer",
  ]

  /// Which choice a model's answer names.
  static func chosen(in answer: String, of choices: [String]) -> Int? {
    if refusals.contains(where: answer.contains) { return nil }
    let marks: Set<Character> = [".", "(", ")", "[", "]", ",", ":", ";", "!", "*", "#", "{", "}"]
    let words = answer.split { $0.isWhitespace || marks.contains($0) }.map(String.init)
    let named = choices.indices.filter { words.contains(letters[$0]) }
    // A letter counts among the last four words only: an "A" before them may be an article.
    if named.count == 1, words.firstIndex(of: letters[named[0]])! > words.count - 5 { return named[0] }
    // Z is what judges say for none of them.
    if named.isEmpty, words.contains("Z") { return nil }
    return text(of: answer.lowercased(), choices.map { $0.lowercased() })
  }

  private static func text(of answer: String, _ choices: [String]) -> Int? {
    guard answer.unicodeScalars.count <= 2 * choices.reduce(0, { $0 + $1.unicodeScalars.count }) else { return nil }
    let found = choices.indices.filter { answer.hasPart(choices[$0]) }
    return found.count == 1 ? found[0] : nil
  }
}

extension String {
  /// Whether another text is part of this one, scalar by scalar, as Python's `in` compares.
  func hasPart(_ part: String) -> Bool {
    let (all, part) = (Array(unicodeScalars), Array(part.unicodeScalars))
    guard part.count <= all.count else { return false }
    return (0...(all.count - part.count)).contains { all[$0..<$0 + part.count].elementsEqual(part) }
  }
}
