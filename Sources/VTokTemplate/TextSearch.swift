// Searching by code points, in linear time whatever the texts. Swift's own search compares by characters.

extension String {
  /// Of the first `part` behind `start`.
  func firstPlace(of part: String, from start: Index? = nil) -> Index? {
    places(of: part, from: start, limit: 1).first
  }

  /// Where `part` stands, without overlap, from the left.
  /// - Precondition: `part` is not empty where more than one place is asked for.
  func places(of part: String, from start: Index? = nil, limit: Int = .max) -> [Index] {
    let first = start.map { utf8.distance(from: utf8.startIndex, to: $0) } ?? 0
    if part.isEmpty { return limit > 0 ? [start ?? startIndex] : [] }
    var (text, part) = (self, part)
    let offsets = text.withUTF8 { text in
      part.withUTF8 { part in
        search(for: part, in: text, from: first, limit: limit)
      }
    }
    return offsets.map { utf8.index(utf8.startIndex, offsetBy: $0) }
  }

  /// The same from the right.
  func lastPlaces(of part: String, limit: Int) -> [Index] {
    if limit == 0 { return [] }
    // From the right the non-overlapping places may be others: turn both around.
    let turned = String(String.UnicodeScalarView(unicodeScalars.reversed()))
    let turnedPart = String(String.UnicodeScalarView(part.unicodeScalars.reversed()))
    let (count, length) = (utf8.count, part.utf8.count)
    return turned.places(of: turnedPart, limit: limit).reversed().map { place in
      let offset = turned.utf8.distance(from: turned.utf8.startIndex, to: place)
      return utf8.index(utf8.startIndex, offsetBy: count - offset - length)
    }
  }

  /// Code points before `index`.
  func scalarOffset(of index: Index) -> Int { unicodeScalars.distance(from: startIndex, to: index) }

  /// Without white space, or without the code points of `characters`, at its ends.
  func stripped(_ characters: String?, left: Bool = true, right: Bool = true) -> String {
    let set = characters.map { Set($0.unicodeScalars) }
    func goes(_ scalar: Unicode.Scalar) -> Bool { set.map { $0.contains(scalar) } ?? scalar.isPythonSpace }
    var rest = Substring(self).unicodeScalars
    if left { rest = rest.drop(while: goes) }
    if right { while let last = rest.last, goes(last) { rest.removeLast() } }
    return String(rest)
  }

  /// Its lines, without what ends them.
  var pythonLines: [(text: String, end: String)] {
    var lines: [(String, String)] = []
    var line = String.UnicodeScalarView()
    var isAfterReturn = false
    for scalar in unicodeScalars {
      if isAfterReturn, scalar == "\n" {
        lines[lines.count - 1].1 += "\n"
        isAfterReturn = false
        continue
      }
      isAfterReturn = scalar == "\r"
      switch scalar.value {
      case 0xA...0xD, 0x1C...0x1E, 0x85, 0x2028, 0x2029:
        lines.append((String(line), String(scalar)))
        line = String.UnicodeScalarView()
      default: line.append(scalar)
      }
    }
    if !line.isEmpty { lines.append((String(line), "")) }
    return lines
  }
}

/// By rolling sums (Rabin and Karp): what has the same sum is compared, and what is equal is passed over whole.
private func search(
  for part: UnsafeBufferPointer<UInt8>, in text: UnsafeBufferPointer<UInt8>, from start: Int, limit: Int
) -> [Int] {
  let (count, prime) = (part.count, UInt64(2_147_483_647))
  var found: [Int] = []
  var at = start
  let wanted = part.reduce(0) { ($0 * 257 + UInt64($1)) % prime }
  var top = UInt64(1)  // what the first byte of a window counts
  for _ in 1..<count { top = top * 257 % prime }
  while found.count < limit, at + count <= text.count {
    var sum = text[at..<at + count].reduce(0) { ($0 * 257 + UInt64($1)) % prime }
    while sum != wanted || !text[at..<at + count].elementsEqual(part) {
      guard at + count < text.count else { return found }
      sum = ((sum + prime - UInt64(text[at]) * top % prime) * 257 + UInt64(text[at + count])) % prime
      at += 1
    }
    found.append(at)
    at += count
  }
  return found
}
