import VTokFiles
import VTokTensor

/// The options of one method as typed, taken one by one by its initialiser. What nobody takes is an error.
public struct Options: Sendable {
  /// One option as `vtok methods NAME` lists it.
  public struct Entry: Sendable, Equatable {
    public let key: String, `default`: String, expected: String, about: String
  }

  public let method: String
  /// What the initialiser asked for so far, in that order.
  public private(set) var entries: [Entry] = []
  /// Whether the method asked for a budget, and whether it got the job's (not its own `keep`).
  public private(set) var takesBudget = false, usesJobBudget = false
  /// Whether the method has a published amount for when no budget was typed.
  public private(set) var hasPublishedAmount = false
  private var given: [String: String]
  private let givenBudget: Budget?
  private let read: @Sendable (String) throws -> OptionFile

  /// - Parameters:
  ///   - given: keys and values as typed.
  ///   - budget: the job's `--keep-ratio` or `--keep-tokens`.
  ///   - read: opens files that options name.
  public init(
    method: String, _ given: [String: String] = [:], budget: Budget? = nil,
    read: @escaping @Sendable (String) throws -> OptionFile = { _ in OptionFile() }
  ) {
    self.method = method
    self.given = given
    givenBudget = budget
    self.read = read
  }

  public func has(_ key: String) -> Bool { given[key] != nil }

  public mutating func take(_ key: String, default value: Double, in range: ClosedRange<Double>, _ about: String)
    throws(OptionError) -> Double
  {
    let expected = "a number in \(short(range.lowerBound))...\(short(range.upperBound))"
    note(key, short(value), expected, about)
    guard let text = given.removeValue(forKey: key) else { return value }
    guard let number = Double(text), range.contains(number) else { throw invalid(key, text, expected) }
    return number
  }

  /// A whole number; nil when not given and `default` is nil.
  public mutating func take(_ key: String, default value: Int?, in range: ClosedRange<Int>, _ about: String)
    throws(OptionError) -> Int?
  {
    let expected = "a whole number in \(range.lowerBound)...\(range.upperBound)"
    note(key, value.map(String.init) ?? "", expected, about)
    guard let text = given.removeValue(forKey: key) else { return value }
    guard let number = Int(text), range.contains(number) else { throw invalid(key, text, expected) }
    return number
  }

  public mutating func take(_ key: String, default value: Bool, _ about: String) throws(OptionError) -> Bool {
    note(key, value ? "on" : "off", "on or off", about)
    guard let text = given.removeValue(forKey: key) else { return value }
    switch text {
    case "on", "true", "yes", "1": return true
    case "off", "false", "no", "0": return false
    default: throw invalid(key, text, "on or off")
    }
  }

  /// One of a list of words; the first is the default.
  public mutating func take<Choice: RawRepresentable<String> & CaseIterable>(
    _ key: String, default value: Choice, _ about: String
  ) throws(OptionError) -> Choice {
    let expected = "one of " + Choice.allCases.map(\.rawValue).joined(separator: ", ")
    note(key, value.rawValue, expected, about)
    guard let text = given.removeValue(forKey: key) else { return value }
    guard let choice = Choice(rawValue: text) else { throw invalid(key, text, expected) }
    return choice
  }

  /// Numbers separated by `/` (a comma separates options); nil when not given.
  public mutating func list(_ key: String, _ expected: String, _ about: String) throws(OptionError) -> [Double]? {
    note(key, "", expected, about)
    guard let text = given.removeValue(forKey: key) else { return nil }
    let numbers = text.split(separator: "/", omittingEmptySubsequences: false).map { Double($0) }
    guard !numbers.isEmpty, numbers.allSatisfy({ $0?.isFinite == true }) else { throw invalid(key, text, expected) }
    return numbers.map { $0! }
  }

  /// A word as typed; nil when not given.
  public mutating func text(_ key: String, _ expected: String, _ about: String) -> String? {
    note(key, "", expected, about)
    return given.removeValue(forKey: key)
  }

  /// A number that sets the amount as the authors count it; nil when not given.
  public mutating func amount(_ key: String, in range: ClosedRange<Double>, _ about: String) throws(OptionError)
    -> Double?
  {
    let expected = "a number in \(short(range.lowerBound))...\(short(range.upperBound))"
    guard let text = text(key, expected, about) else { return nil }
    guard let number = Double(text), range.contains(number) else { throw invalid(key, text, expected) }
    return number
  }

  /// The budget: the method's own `keep`, else `--keep-ratio` or `--keep-tokens`; nil when neither was given.
  /// - Parameters:
  ///   - published: without a budget the method does as published, where others keep half.
  ///   - other: an option that was given and sets the amount itself: then the job's budget has no say, and `keep` is refused.
  public mutating func budget(_ about: String, published: Bool = false, besides other: String? = nil)
    throws(OptionError) -> Budget?
  {
    takesBudget = true
    hasPublishedAmount = published
    let expected = "a ratio in 0...1 (with a point) or a number of tokens"
    note("keep", "--keep-ratio or --keep-tokens", expected, about)
    if let other {
      if has("keep") { throw invalid("keep", "\(other) too", "either \(other) or keep") }
      return nil
    }
    guard let text = given.removeValue(forKey: "keep") else {
      usesJobBudget = true
      return givenBudget
    }
    guard let budget = Budget(text) else { throw invalid("keep", text, expected) }
    return budget
  }

  /// A file named in the option, already read; nil when not given.
  public mutating func file(_ key: String, _ about: String) throws(OptionError) -> OptionFile? {
    note(key, "", "a file", about)
    guard let path = given.removeValue(forKey: key) else { return nil }
    do { return try read(path) } catch { throw invalid(key, "\(error)", "a readable file") }
  }

  /// For checks between options.
  public func invalid(_ key: String, _ found: String, _ expected: String) -> OptionError {
    .invalid(method: method, option: key, found: found.isEmpty ? "nothing" : "'\(found)'", expected: expected)
  }

  /// Called after the initialiser: refuses what it did not take.
  public func finish() throws(OptionError) {
    guard let left = given.keys.min() else { return }
    throw .unknown(method: method, option: left, known: entries.map(\.key))
  }

  private mutating func note(_ key: String, _ value: String, _ expected: String, _ about: String) {
    entries.append(Entry(key: key, default: value, expected: expected, about: about))
  }

  private func short(_ value: Double) -> String {
    if value == value.rounded() { return "\(Int(value))" }
    // A float32 constant reads as it was written.
    return Double(Float(value)) == value ? "\(Float(value))" : "\(value)"
  }
}
