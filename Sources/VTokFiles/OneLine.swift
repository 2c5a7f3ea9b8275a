/// An error that a user reads: one line of bounded length, whatever names and values of strangers are told in it.
public protocol OneLineError: Error, Sendable, CustomStringConvertible {
  /// What is wrong, what was found, what was expected and how to mend it.
  var message: String { get }
}

extension OneLineError {
  public var description: String { oneLine(message) }
}

/// `text` as a terminal and a log can show it: control characters escaped, what is absurdly long shortened in its middle.
public func oneLine(_ text: String) -> String {
  let isPlain = text.utf8.allSatisfy { (0x20..<0x7F).contains($0) }
  guard !isPlain || text.utf8.count > mostOfWord else { return text }
  let words = (isPlain ? text : printable(text)).split(separator: " ", omittingEmptySubsequences: false)
  return shortened(words.map { shortened(String($0), mostOfWord) }.joined(separator: " "), mostOfLine)
}

private let mostOfWord = 600
private let mostOfLine = 2400

/// Counts scalars, not characters: one character may have thousands of them.
private func shortened(_ text: String, _ most: Int) -> String {
  guard text.utf8.count > most, case let scalars = text.unicodeScalars, scalars.count > most else { return text }
  return String(scalars.prefix(2 * most / 3)) + "…" + String(scalars.suffix(most / 4))
}

/// A path or a name for people: it may hold line breaks, terminal codes and bytes that are no text.
public func printable(_ text: String) -> String {
  text.unicodeScalars.reduce(into: "") { line, scalar in
    if let byte = FileName.byte(scalar) {
      line += "\\x" + String(byte, radix: 16)
    } else {
      switch scalar.properties.generalCategory {
      case .control, .lineSeparator, .paragraphSeparator: line += scalar.escaped(asASCII: true)
      default: line.unicodeScalars.append(scalar)
      }
    }
  }
}
