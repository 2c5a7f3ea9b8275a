import Foundation

/// VQA accuracy as the official evaluation computes it: people's answers and the model's go through the same plain forms,
/// and a model is as right as three people who agree with it, averaged over leaving each one out.
enum VQAAnswer {
  @Sendable static func accuracy(_ answer: String, _ people: [String]) -> Double {
    var answer = trimmed(answer)
    var people = people.map(trimmed)
    // Where all people say the same the official code leaves their answer, and the model's, as they are.
    if Set(people).count > 1 {
      answer = words(withoutPunctuation(answer))
      people = people.map { words(withoutPunctuation($0)) }
    }
    let agrees = people.map { $0.lowercased() == answer.lowercased() }
    let matches = agrees.count { $0 }
    return agrees.reduce(0) { $0 + min(1, Double(matches - ($1 ? 1 : 0)) / 3) } / Double(people.count)
  }

  private static func trimmed(_ text: String) -> String {
    text.replacing("\n", with: " ").replacing("\t", with: " ").trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// Marks vanish where one of them stands beside a space, or where any comma parts two digits; elsewhere they become
  /// spaces. A full stop goes unless a digit follows: the first 32 of them, since the official code passes a flag in the
  /// place of a count.
  private static func withoutPunctuation(_ text: String) -> String {
    let hasNumber = text.firstMatch(of: #/[0-9],[0-9]/#) != nil
    var out = text
    for mark in ";/[]\"{}()=+\\_-><@`,?!".map(String.init) {
      let vanishes = hasNumber || text.contains(mark + " ") || text.contains(" " + mark)
      out = out.replacing(mark, with: vanishes ? "" : " ")
    }
    return out.replacing(#/\.(?![0-9])/#, with: "", maxReplacements: 32)
  }

  private static let numbers = [
    "none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
    "seven": "7", "eight": "8", "nine": "9", "ten": "10",
  ]

  /// Lower case, numbers as digits, no articles, apostrophes where they belong.
  private static func words(_ text: String) -> String {
    text.lowercased().split(whereSeparator: \.isWhitespace).map { numbers[String($0)] ?? String($0) }
      .filter { !["a", "an", "the"].contains($0) }.map { contractions[$0] ?? $0 }.joined(separator: " ")
  }

  /// Every form with one of its apostrophes missing, to the whole one. One entry of the official table is the wrong way
  /// round.
  private static let contractions: [String: String] = {
    let whole = """
      ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
      he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
      o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
      someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
      there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
      what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
      wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
      """
    var table = ["somebody'd": "somebodyd"]
    for word in whole.split(whereSeparator: \.isWhitespace).map(String.init) {
      for place in word.indices where word[place] == "'" {
        table[String(word[..<place] + word[word.index(after: place)...])] = word
      }
    }
    return table
  }()
}
