/// How CLIP cleans a text: HTML unescaped twice, white space collapsed and trimmed, lower case.
/// The original first runs `ftfy`, which repairs wrongly decoded text and straightens quotes; that is not done here.
/// Plain text comes through `ftfy` unchanged.
func cleanedForCLIP(_ text: String) -> String {
  let plain = htmlUnescaped(htmlUnescaped(text))
  var words = String.UnicodeScalarView()
  var space = false
  for scalar in plain.unicodeScalars {
    if scalar.isPythonSpace {
      space = true
    } else {
      if space, !words.isEmpty { words.append(" ") }
      space = false
      words.append(scalar)
    }
  }
  return lowercasedAsPython(words)
}

/// Lower case by the Unicode tables, with the Greek final sigma, which `String.lowercased()` does not know.
private func lowercasedAsPython(_ text: String.UnicodeScalarView) -> String {
  let scalars = Array(text)
  var out = ""
  for (position, scalar) in scalars.enumerated() {
    if scalar.isASCII {
      out.unicodeScalars.append((65...90).contains(scalar.value) ? Unicode.Scalar(scalar.value + 32)! : scalar)
    } else if scalar == "Σ" {
      let before = scalars[..<position].last { !$0.properties.isCaseIgnorable }
      let after = scalars[(position + 1)...].first { !$0.properties.isCaseIgnorable }
      let final = before?.properties.isCased == true && after?.properties.isCased != true
      out.unicodeScalars.append(final ? "ς" : "σ")
    } else {
      out.unicodeScalars.append(contentsOf: scalar.properties.lowercaseMapping.unicodeScalars)
    }
  }
  return out
}

extension Unicode.Scalar {
  /// White space as Python's `str.split()` sees it: Unicode's, and the four separators U+001C to U+001F.
  var isPythonSpace: Bool { (0x1C...0x1F).contains(value) || properties.isWhitespace }

  /// What CLIP's split pattern distinguishes.
  enum Class { case space, letter, number, other }

  var splitClass: Class {
    if isASCII {
      switch value {
      case 9...13, 32: return .space
      case 48...57: return .number
      case 65...90, 97...122: return .letter
      default: return .other
      }
    }
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: return .letter
    case .decimalNumber, .letterNumber, .otherNumber: return .number
    default: return properties.isWhitespace ? .space : .other
    }
  }
}
