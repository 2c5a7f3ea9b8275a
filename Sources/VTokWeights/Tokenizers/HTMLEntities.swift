/// Replaces character references as HTML 5 (and Python's `html.unescape`) does: `&amp;`, `&#8212;`, `&#x2014;`.
/// Known by name are the 252 entities of HTML 4, `&apos;`, and the upper-case forms of six; the 1 800 rarer names of
/// HTML 5, symbols of mathematics for the most part, stay as they are.
func htmlUnescaped(_ text: String) -> String {
  guard text.utf8.contains(UInt8(ascii: "&")) else { return text }
  let source = Array(text.unicodeScalars)
  var out = String.UnicodeScalarView()
  var at = 0
  while at < source.count {
    if source[at] == "&", let (replacement, length) = reference(source[(at + 1)...]) {
      out.append(contentsOf: replacement)
      at += 1 + length
    } else {
      out.append(source[at])
      at += 1
    }
  }
  return String(out)
}

/// What a reference after its `&` stands for, and its length without the `&`.
private func reference(_ text: ArraySlice<Unicode.Scalar>) -> ([Unicode.Scalar], Int)? {
  if text.first == "#" { return numericReference(text.dropFirst()) }
  let name = text.prefix(32).prefix { !" \t\n\u{0C}<&#;".unicodeScalars.contains($0) }
  let key = String(String.UnicodeScalarView(name))
  let closed = name.endIndex < text.endIndex && text[name.endIndex] == ";"
  if let scalar = entities[key], closed || unclosed.contains(key) {
    return ([scalar], name.count + (closed ? 1 : 0))
  }
  // Old names need no semicolon and may run into the text: `&copy2024`.
  for length in stride(from: name.count - 1, to: 1, by: -1) {
    let start = String(String.UnicodeScalarView(name.prefix(length)))
    if unclosed.contains(start), let scalar = entities[start] { return ([scalar], length) }
  }
  return nil
}

private func numericReference(_ text: ArraySlice<Unicode.Scalar>) -> ([Unicode.Scalar], Int)? {
  let hexadecimal = text.first == "x" || text.first == "X"
  let radix = hexadecimal ? 16 : 10
  let digits = text.dropFirst(hexadecimal ? 1 : 0).prefix {
    $0.isASCII && (Character($0).hexDigitValue ?? 99) < radix
  }
  guard !digits.isEmpty else { return nil }
  var code = 0
  for digit in digits { code = min(code * radix + Character(digit).hexDigitValue!, 0x11_0000) }
  let closed = digits.endIndex < text.endIndex && text[digits.endIndex] == ";"
  let length = 1 + (hexadecimal ? 1 : 0) + digits.count + (closed ? 1 : 0)
  if (0x80..<0xA0).contains(code) { return ([windows1252[code] ?? Unicode.Scalar(UInt8(code))], length) }
  guard code != 0, let scalar = Unicode.Scalar(UInt32(code)) else { return (["\u{FFFD}"], length) }
  let control = code < 0x20 && ![0x09, 0x0A, 0x0C, 0x0D].contains(code) || code == 0x7F
  let noncharacter = (0xFDD0...0xFDEF).contains(code) || code & 0xFFFE == 0xFFFE
  return (control || noncharacter ? [] : [scalar], length)
}

/// References 0x80 to 0x9F mean Windows' code page, not control characters.
private let windows1252: [Int: Unicode.Scalar] = [
  0x80: "\u{20AC}", 0x82: "\u{201A}", 0x83: "\u{192}", 0x84: "\u{201E}", 0x85: "\u{2026}", 0x86: "\u{2020}",
  0x87: "\u{2021}", 0x88: "\u{2C6}", 0x89: "\u{2030}", 0x8A: "\u{160}", 0x8B: "\u{2039}", 0x8C: "\u{152}",
  0x8E: "\u{17D}", 0x91: "\u{2018}", 0x92: "\u{2019}", 0x93: "\u{201C}", 0x94: "\u{201D}", 0x95: "\u{2022}",
  0x96: "\u{2013}", 0x97: "\u{2014}", 0x98: "\u{2DC}", 0x99: "\u{2122}", 0x9A: "\u{161}", 0x9B: "\u{203A}",
  0x9C: "\u{153}", 0x9E: "\u{17E}", 0x9F: "\u{178}",
]

private let entities: [String: Unicode.Scalar] = {
  var table: [String: Unicode.Scalar] = [:]
  for (offset, name) in latin1.split(separator: " ").enumerated() {
    table[String(name)] = Unicode.Scalar(UInt32(160 + offset))
  }
  let words = named.split(separator: " ")
  for index in stride(from: 0, to: words.count, by: 2) {
    table[String(words[index])] = UInt32(words[index + 1], radix: 16).flatMap(Unicode.Scalar.init)
  }
  return table
}()

/// Names that count without a semicolon.
private let unclosed = Set(
  (latin1.split(separator: " ") + "amp lt gt quot AMP LT GT QUOT COPY REG".split(separator: " ")).map(String.init))

/// U+00A0 to U+00FF in order.
private let latin1 = """
  nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute \
  micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig \
  Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash \
  Ugrave Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute \
  ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc \
  uuml yacute thorn yuml
  """

/// Names and code points.
private let named = """
  quot 22 amp 26 lt 3C gt 3E OElig 152 oelig 153 Scaron 160 scaron 161 Yuml 178 fnof 192 circ 2C6 tilde 2DC Alpha \
  391 Beta 392 Gamma 393 Delta 394 Epsilon 395 Zeta 396 Eta 397 Theta 398 Iota 399 Kappa 39A Lambda 39B Mu 39C Nu \
  39D Xi 39E Omicron 39F Pi 3A0 Rho 3A1 Sigma 3A3 Tau 3A4 Upsilon 3A5 Phi 3A6 Chi 3A7 Psi 3A8 Omega 3A9 alpha 3B1 \
  beta 3B2 gamma 3B3 delta 3B4 epsilon 3B5 zeta 3B6 eta 3B7 theta 3B8 iota 3B9 kappa 3BA lambda 3BB mu 3BC nu 3BD \
  xi 3BE omicron 3BF pi 3C0 rho 3C1 sigmaf 3C2 sigma 3C3 tau 3C4 upsilon 3C5 phi 3C6 chi 3C7 psi 3C8 omega 3C9 \
  thetasym 3D1 upsih 3D2 piv 3D6 ensp 2002 emsp 2003 thinsp 2009 zwnj 200C zwj 200D lrm 200E rlm 200F ndash 2013 \
  mdash 2014 lsquo 2018 rsquo 2019 sbquo 201A ldquo 201C rdquo 201D bdquo 201E dagger 2020 Dagger 2021 bull 2022 \
  hellip 2026 permil 2030 prime 2032 Prime 2033 lsaquo 2039 rsaquo 203A oline 203E frasl 2044 euro 20AC image 2111 \
  weierp 2118 real 211C trade 2122 alefsym 2135 larr 2190 uarr 2191 rarr 2192 darr 2193 harr 2194 crarr 21B5 lArr \
  21D0 uArr 21D1 rArr 21D2 dArr 21D3 hArr 21D4 forall 2200 part 2202 exist 2203 empty 2205 nabla 2207 isin 2208 \
  notin 2209 ni 220B prod 220F sum 2211 minus 2212 lowast 2217 radic 221A prop 221D infin 221E ang 2220 and 2227 \
  or 2228 cap 2229 cup 222A int 222B there4 2234 sim 223C cong 2245 asymp 2248 ne 2260 equiv 2261 le 2264 ge 2265 \
  sub 2282 sup 2283 nsub 2284 sube 2286 supe 2287 oplus 2295 otimes 2297 perp 22A5 sdot 22C5 lceil 2308 rceil 2309 \
  lfloor 230A rfloor 230B loz 25CA spades 2660 clubs 2663 hearts 2665 diams 2666 lang 27E8 rang 27E9 apos 27 AMP \
  26 LT 3C GT 3E QUOT 22 COPY A9 REG AE
  """
