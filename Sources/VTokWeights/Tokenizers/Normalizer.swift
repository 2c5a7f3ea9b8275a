// Canonical composition is not in FoundationEssentials.
import Foundation

/// `normalizer` of a tokenizer file: what happens to a text between added tokens before it is split.
indirect enum Normalizer: Sendable {
  case sequence([Normalizer])
  /// A text in front of every piece that is not empty.
  case prepend([Unicode.Scalar])
  case replace(LiteralReplacement)
  /// Canonical composition.
  case nfc
  /// Unicode's small letters, without regard to language.
  case lowercase

  init(_ part: TokenizerPart?) throws(TokenizerError) {
    guard let part else {
      self = .sequence([])
      return
    }
    switch try part.string("type") {
    case "Sequence":
      var steps: [Normalizer] = []
      for step in try part.parts("normalizers") { steps.append(try Normalizer(step)) }
      self = .sequence(steps)
    case "Prepend": self = .prepend(Array(try part.string("prepend").unicodeScalars))
    case "Replace": self = .replace(try LiteralReplacement(part))
    case "NFC": self = .nfc
    case "Lowercase": self = .lowercase
    default: throw part.refused("type", "one of Sequence, Prepend, Replace, NFC, Lowercase")
    }
  }

  func callAsFunction(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
    switch self {
    case .sequence(let steps): return steps.reduce(text) { $1($0) }
    case .prepend(let prefix): return text.isEmpty ? text : prefix + text
    case .replace(let replacement): return replacement(text)
    case .lowercase: return text.flatMap { Array($0.properties.lowercaseMapping.unicodeScalars) }
    case .nfc:
      if text.allSatisfy(\.isASCII) { return text }
      return Array(String(String.UnicodeScalarView(text)).precomposedStringWithCanonicalMapping.unicodeScalars)
    }
  }
}

/// One text in place of another, scalar by scalar: `Replace` of a normalizer and of a decoder.
struct LiteralReplacement: Sendable {
  private let pattern: [Unicode.Scalar], content: [Unicode.Scalar]

  init(_ pattern: [Unicode.Scalar], by content: [Unicode.Scalar]) {
    self.pattern = pattern
    self.content = content
  }

  init(_ part: TokenizerPart) throws(TokenizerError) {
    guard let pattern = part.json.value(at: "pattern.String")?.string, !pattern.isEmpty else {
      throw part.refused("pattern", "a String that is not empty")
    }
    self.pattern = Array(pattern.unicodeScalars)
    content = Array(try part.string("content").unicodeScalars)
  }

  func callAsFunction(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
    var out: [Unicode.Scalar] = []
    var at = 0
    while at < text.count {
      if text[at] == pattern[0], text[at...].starts(with: pattern) {
        out += content
        at += pattern.count
      } else {
        out.append(text[at])
        at += 1
      }
    }
    return out
  }
}
