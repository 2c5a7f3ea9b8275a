/// A set of Unicode scalars, as a class of a split pattern names it.
indirect enum ScalarSet: Sendable {
  case range(ClosedRange<UInt32>)
  /// White space (`\s`), decimal digits (`\d`).
  case space, digit
  /// `\p{...}`, which the standard library looks up.
  case property(ScalarProperty)
  case union([ScalarSet])
  case intersection([ScalarSet])
  case negated(ScalarSet)
  /// Scalars of which a form in another case is in the set.
  case anyCase(ScalarSet)

  static func scalar(_ scalar: Unicode.Scalar) -> ScalarSet { .range(scalar.value...scalar.value) }

  func contains(_ scalar: Unicode.Scalar) -> Bool {
    switch self {
    case .range(let range): range.contains(scalar.value)
    case .space: scalar.properties.isWhitespace
    case .digit: scalar.properties.generalCategory == .decimalNumber
    case .property(let property): property.contains(scalar)
    case .union(let sets): sets.contains { $0.contains(scalar) }
    case .intersection(let sets): sets.allSatisfy { $0.contains(scalar) }
    case .negated(let set): !set.contains(scalar)
    case .anyCase(let set): Self.cases(of: scalar).contains(where: set.contains)
    }
  }

  /// Itself in every case, and what shares a case with it: long s has no lower case but the upper case of s. Sharp s has one
  /// capital letter, which Unicode does not name as its upper case. Cases of several letters are left out.
  private static func cases(of scalar: Unicode.Scalar) -> [Unicode.Scalar] {
    func lower(_ scalar: Unicode.Scalar) -> Unicode.Scalar { one(scalar.properties.lowercaseMapping) ?? scalar }
    func upper(_ scalar: Unicode.Scalar) -> Unicode.Scalar { one(scalar.properties.uppercaseMapping) ?? scalar }
    func one(_ mapping: String) -> Unicode.Scalar? {
      mapping.unicodeScalars.count == 1 ? mapping.unicodeScalars.first : nil
    }
    let cases = [scalar, lower(scalar), upper(scalar), lower(upper(scalar)), upper(lower(scalar))]
    return scalar == "ß" ? cases + ["ẞ"] : cases
  }
}

/// A property of scalars by its name in a regular expression: `L`, `Han`, `White_Space`.
struct ScalarProperty: @unchecked Sendable {  // matched under the lock of its expression alone
  private let expression: Regex<AnyRegexOutput>

  /// - Parameter text: `\p{...}` or `\P{...}`.
  /// - Throws: what the standard library says of a name that it does not know.
  init(_ text: String) throws {
    expression = try Regex(text).matchingSemantics(.unicodeScalar)
    _ = try expression.firstMatch(in: "a")  // some names are only refused when they are matched
  }

  func contains(_ scalar: Unicode.Scalar) -> Bool {
    (try? expression.wholeMatch(in: String(Character(scalar)))) != nil
  }
}

/// A set that remembers what it was asked: a property costs a search.
struct MemoisedSet {
  private let set: ScalarSet
  private var ascii = [Bool?](repeating: nil, count: 128)
  private var others: [Unicode.Scalar: Bool] = [:]

  init(_ set: ScalarSet) { self.set = set }

  mutating func contains(_ scalar: Unicode.Scalar) -> Bool {
    if let known = scalar.isASCII ? ascii[Int(scalar.value)] : others[scalar] { return known }
    let found = set.contains(scalar)
    if scalar.isASCII { ascii[Int(scalar.value)] = found } else { others[scalar] = found }
    return found
  }
}
