import VTokFiles
import VTokTensor

/// The options of one method as typed, taken one by one by its initialiser. What nobody takes is an error.
public struct Options: Sendable {
  /// What an option is, beyond its name and its range.
  public enum Role: Sendable {
    case setting
    /// It says how much stays, as the method's authors count it: with it the job's budget has no say.
    case amount
    /// It is a budget of the method's own: `keep`.
    case budget
    /// It says where the method's only cut is: the number of a block.
    case cut
    /// It says on entering which layers of the language model the method cuts: a number, or a list of them.
    case layers
  }

  /// One option as lists show it.
  public struct Entry: Sendable, Equatable {
    public let key: String, `default`: String, expected: String, about: String, role: Role
    /// Whether it names a file, and whether the method cannot do without.
    public let isFile: Bool, isRequired: Bool
  }

  public let method: String
  /// What the initialiser asked for so far, in that order.
  public private(set) var entries: [Entry] = []
  /// Whether the method asked for a budget.
  public private(set) var takesBudget = false
  /// Whether the method has a published amount for when no budget was typed.
  public private(set) var hasPublishedAmount = false
  private var given: [String: String]
  private let typed: Set<String>
  private let givenBudget: Budget?
  private let read: @Sendable (String) throws -> OptionFile

  /// - Parameters:
  ///   - given: keys and values as typed.
  ///   - budget: the job's.
  ///   - read: opens files that options name.
  public init(
    method: String, _ given: [String: String] = [:], budget: Budget? = nil,
    read: @escaping @Sendable (String) throws -> OptionFile = OptionFile.refuse
  ) {
    self.method = method
    self.given = given
    givenBudget = budget
    self.read = read
    typed = Set(given.keys)
  }

  /// Whether an option was typed that the initialiser has not taken yet.
  public func has(_ key: String) -> Bool { given[key] != nil }
  /// Whether it was typed as this word.
  public func has(_ key: String, _ word: String) -> Bool { given[key] == word }

  /// The first of the options taken so far that was typed and sets the amount itself.
  public var givenAmount: String? { entries.first { $0.role == .amount && typed.contains($0.key) }?.key }

  /// Whether the job's budget rules the method and not an amount of its own, when these options are typed.
  /// - Precondition: the initialiser has taken its options, and nothing was typed.
  public func isRuled(with typed: some Sequence<String>) -> Bool {
    let typed = Set(typed)
    return takesBudget && !entries.contains { [.amount, .budget].contains($0.role) && typed.contains($0.key) }
  }

  public mutating func take(
    _ key: String, default value: Double, in range: ClosedRange<Double>, as role: Role = .setting, _ about: String
  ) throws(OptionError) -> Double {
    let expected = "a number in \(short(range.lowerBound))...\(short(range.upperBound))"
    note(key, short(value), expected, about, role)
    guard let text = given.removeValue(forKey: key) else { return value }
    guard let number = Double(text), range.contains(number) else { throw invalid(key, text, expected) }
    return number
  }

  /// A whole number.
  public mutating func take(
    _ key: String, default value: Int, in range: ClosedRange<Int>, as role: Role = .setting, _ about: String
  ) throws(OptionError) -> Int {
    try whole(key, value, in: range, role, about) ?? value
  }

  /// A whole number; nil when not given and `default` is nil.
  public mutating func take(
    _ key: String, default value: Int?, in range: ClosedRange<Int>, as role: Role = .setting, _ about: String
  ) throws(OptionError) -> Int? {
    try whole(key, value, in: range, role, about) ?? value
  }

  /// A whole number, or a word for one that the method finds itself: nil.
  public mutating func take(
    _ key: String, default value: Int, in range: ClosedRange<Int>, or word: String, as role: Role = .setting,
    _ about: String
  ) throws(OptionError) -> Int? {
    let expected = "a whole number in \(range.lowerBound)...\(range.upperBound), or \(word)"
    note(key, String(value), expected, about, role)
    guard let text = given.removeValue(forKey: key) else { return value }
    if text == word { return nil }
    guard let number = Int(text), range.contains(number) else { throw invalid(key, text, expected) }
    return number
  }

  private mutating func whole(_ key: String, _ value: Int?, in range: ClosedRange<Int>, _ role: Role, _ about: String)
    throws(OptionError) -> Int?
  {
    let expected = "a whole number in \(range.lowerBound)...\(range.upperBound)"
    note(key, value.map(String.init) ?? "", expected, about, role)
    guard let text = given.removeValue(forKey: key) else { return nil }
    guard let number = Int(text), range.contains(number) else { throw invalid(key, text, expected) }
    return number
  }

  public mutating func take(_ key: String, default value: Bool, _ about: String) throws(OptionError) -> Bool {
    note(key, value ? "on" : "off", "on or off", about, .setting)
    guard let text = given.removeValue(forKey: key) else { return value }
    switch text {
    case "on", "true", "yes", "1": return true
    case "off", "false", "no", "0": return false
    default: throw invalid(key, text, "on or off")
    }
  }

  /// One of a list of words; the first is the default.
  public mutating func take<Choice: RawRepresentable<String> & CaseIterable>(
    _ key: String, default value: Choice, as role: Role = .setting, _ about: String
  ) throws(OptionError) -> Choice {
    let expected = "one of " + Choice.allCases.map(\.rawValue).joined(separator: ", ")
    note(key, value.rawValue, expected, about, role)
    guard let text = given.removeValue(forKey: key) else { return value }
    guard let choice = Choice(rawValue: text) else { throw invalid(key, text, expected) }
    return choice
  }

  /// Numbers separated by `/` (a comma separates options); nil when not given.
  public mutating func list(
    _ key: String, _ expected: String, as role: Role = .setting, _ about: String
  ) throws(OptionError) -> [Double]? {
    note(key, "", expected, about, role)
    guard let text = given.removeValue(forKey: key) else { return nil }
    let numbers = text.split(separator: "/", omittingEmptySubsequences: false).map { Double($0) }
    guard !numbers.isEmpty, numbers.allSatisfy({ $0?.isFinite == true }) else { throw invalid(key, text, expected) }
    return numbers.map { $0! }
  }

  /// A word as typed; nil when not given.
  public mutating func text(
    _ key: String, _ expected: String, as role: Role = .setting, _ about: String
  ) -> String? {
    note(key, "", expected, about, role)
    return given.removeValue(forKey: key)
  }

  /// A number that sets the amount as the authors count it; nil when not given.
  public mutating func amount(_ key: String, in range: ClosedRange<Double>, _ about: String) throws(OptionError)
    -> Double?
  {
    try number(key, in: range, as: .amount, about)
  }

  /// A number; nil when not given.
  public mutating func number(
    _ key: String, in range: ClosedRange<Double>, as role: Role = .setting, _ about: String
  ) throws(OptionError) -> Double? {
    let expected = "a number in \(short(range.lowerBound))...\(short(range.upperBound))"
    guard let text = text(key, expected, as: role, about) else { return nil }
    guard let number = Double(text), range.contains(number) else { throw invalid(key, text, expected) }
    return number
  }

  /// The budget: the method's own `keep`, else the job's; nil when neither was given, or an option that was taken before
  /// sets the amount itself: `keep` is refused then.
  /// - Parameter published: without a budget the method does as published, where others keep half.
  public mutating func budget(_ about: String, published: Bool = false) throws(OptionError) -> Budget? {
    takesBudget = true
    hasPublishedAmount = published
    let other = givenAmount
    let expected = "a ratio in 0...1 (with a point) or a number of tokens"
    note("keep", "the job's budget", expected, about, .budget)
    if let other {
      if has("keep") { throw invalid("keep", "\(other) too", "either \(other) or keep") }
      return nil
    }
    guard let text = given.removeValue(forKey: "keep") else { return givenBudget }
    guard let budget = Budget(text) else { throw invalid("keep", text, expected) }
    return budget
  }

  /// A file named in the option, already read; nil when not given.
  /// - Parameter isRequired: the method cannot do without: `finish` refuses what lacks it, so that options can be listed.
  public mutating func file(
    _ key: String, as role: Role = .setting, isRequired: Bool = false, _ about: String
  ) throws(OptionError) -> OptionFile? {
    note(key, "", "a file", about, role, isFile: true, isRequired: isRequired)
    guard let path = given.removeValue(forKey: key) else { return nil }
    do { return try read(path) } catch { throw .file(method: method, option: key, reason: "\(error)") }
  }

  /// For checks between options.
  public func invalid(_ key: String, _ found: String, _ expected: String) -> OptionError {
    .invalid(method: method, option: key, found: found.isEmpty ? "nothing" : "'\(found)'", expected: expected)
  }

  /// Called after the initialiser: refuses what it did not take, and what it cannot do without.
  public func finish() throws(OptionError) {
    if let left = given.keys.min() { throw .unknown(method: method, option: left, known: entries.map(\.key)) }
    if let missing = entries.first(where: { $0.isRequired && !typed.contains($0.key) }) {
      throw invalid(missing.key, "nothing", missing.about)
    }
  }

  private mutating func note(
    _ key: String, _ value: String, _ expected: String, _ about: String, _ role: Role, isFile: Bool = false,
    isRequired: Bool = false
  ) {
    entries.append(
      Entry(
        key: key, default: value, expected: expected, about: about, role: role, isFile: isFile, isRequired: isRequired))
  }

  private func short(_ value: Double) -> String {
    if value == value.rounded() { return "\(Int(value))" }
    // A float32 constant reads as it was written.
    return Double(Float(value)) == value ? "\(Float(value))" : "\(value)"
  }
}
