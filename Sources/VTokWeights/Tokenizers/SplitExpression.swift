import Synchronization

/// A regular expression of a pre-tokenizer, compiled once by the standard library and matched scalar by scalar.
///
/// The libraries that published tokenizers are run with (Oniguruma, fancy-regex) have the same classes (`\p{L}`, `\s`), looks
/// ahead and behind, and groups that ignore case. What they read otherwise is refused: a guess would give other ids.
package final class SplitExpression: Sendable, Equatable {
  /// Why an expression is not taken.
  package struct Refusal: Error {
    package let reason: String
  }

  private let pattern: String
  /// The standard library does not promise that an expression may be matched by two threads at once.
  private let regex: Mutex<Compiled>

  private struct Compiled: @unchecked Sendable {  // only ever touched by the thread that holds the lock
    let regex: Regex<AnyRegexOutput>
  }

  package init(_ pattern: String) throws(Refusal) {
    self.pattern = pattern
    let translated = try Self.translated(pattern)
    do {
      let compiled = Compiled(regex: try Regex(translated).matchingSemantics(.unicodeScalar))
      _ = try compiled.regex.firstMatch(in: " a1\n")  // refuses what only shows when it is compiled
      regex = Mutex(compiled)
    } catch {
      throw Refusal(reason: "\(error)")
    }
  }

  package static func == (a: SplitExpression, b: SplitExpression) -> Bool { a.pattern == b.pattern }

  /// Where it matches, from left to right, in scalars; no match is empty.
  package func matches(in text: [Unicode.Scalar]) -> [Range<Int>] {
    let string = String(String.UnicodeScalarView(text))
    let found = regex.withLock { compiled in string.matches(of: compiled.regex).map(\.range) }
    let scalars = string.unicodeScalars
    var (index, count) = (scalars.startIndex, 0)
    func place(of wanted: String.Index) -> Int {
      while index < wanted {
        index = scalars.index(after: index)
        count += 1
      }
      return count
    }
    return found.compactMap { range in
      let start = place(of: range.lowerBound)
      let end = place(of: range.upperBound)
      return start < end ? start..<end : nil
    }
  }

  // MARK: Reading

  private static let longest = 4096
  /// What may stand behind a backslash, beside marks. Words (`\w`, `\b`) are others in every library.
  private static let escapes = Set("pPsSdDrntfvxu0".unicodeScalars)
  private static let groups = ["?:", "?i:", "?=", "?!", "?<=", "?<!", "?>"]

  /// The same expression where letters whose case is ignored also match what Unicode folds to them: the standard library
  /// compares single lower-case letters.
  private static func translated(_ pattern: String) throws(Refusal) -> String {
    let scalars = Array(pattern.unicodeScalars)
    guard scalars.count <= longest else { throw Refusal(reason: "\(scalars.count) characters, more than \(longest)") }
    var out = String.UnicodeScalarView()
    var ignoresCase: [Bool] = [false]  // of the open groups
    var depth = 0  // of character classes
    var at = 0
    while at < scalars.count {
      let scalar = scalars[at]
      switch scalar {
      case "\\":
        guard at + 1 < scalars.count else { throw Refusal(reason: "a backslash at its end") }
        let next = scalars[at + 1]
        guard escapes.contains(next) || !next.properties.isAlphabetic && next.properties.numericType == nil else {
          throw Refusal(reason: "`\\\(next)`")
        }
        // Digits are decimal ones; the standard library takes any number.
        let digits: [Unicode.Scalar: String] = ["d": #"\p{Nd}"#, "D": #"\P{Nd}"#]
        out.append(contentsOf: digits[next]?.unicodeScalars ?? String.UnicodeScalarView([scalar, next]))
        at += 2
        if ["p", "P", "x", "u"].contains(next), at < scalars.count, scalars[at] == "{" {
          let end = scalars[at...].firstIndex(of: "}") ?? scalars.count - 1
          out.append(contentsOf: scalars[at...end])
          at = end + 1
        }
        continue
      case "[": depth += 1
      case "]": depth = max(0, depth - 1)
      case "(" where depth == 0:
        let rest = String(String.UnicodeScalarView(scalars[(at + 1)...].prefix(4)))
        let isPlain = !rest.hasPrefix("?")
        guard isPlain || groups.contains(where: rest.hasPrefix) else { throw Refusal(reason: "`(\(rest.prefix(3))`") }
        ignoresCase.append(ignoresCase.last! || rest.hasPrefix("?i:"))
        if rest.hasPrefix("?i:") {  // the letters of its name are no letters to match
          out.append(contentsOf: "(?i:".unicodeScalars)
          at += 4
          continue
        }
      case ")" where depth == 0:
        if ignoresCase.count > 1 { ignoresCase.removeLast() }
      default:
        if ignoresCase.last!, let other = folds[scalar] {
          out.append(contentsOf: (depth > 0 ? "\(scalar)\(other)" : "[\(scalar)\(other)]").unicodeScalars)
          at += 1
          continue
        }
      }
      out.append(scalar)
      at += 1
    }
    return String(out)
  }

  /// Letters beyond upper and lower case that Unicode folds to one of ASCII.
  private static let folds: [Unicode.Scalar: Unicode.Scalar] = ["s": "ſ", "S": "ſ", "k": "\u{212A}", "K": "\u{212A}"]
}
