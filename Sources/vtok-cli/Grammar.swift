import ArgumentParser
import Foundation
import VTok

/// What a command takes, as its parser describes itself: nothing has to be told here when an option is added.
struct Grammar {
  struct Entry {
    /// With dashes in front, the long ones first.
    let names: [String]
    let takesValue: Bool
    /// Whether a second value is one more, not a mistake.
    let isList: Bool
    var name: String { names[0] }
  }

  /// Arguments taken apart.
  struct Line {
    /// The options in the order given, by index among the entries; a switch has no value.
    fileprivate(set) var given: [(entry: Int, value: String?)] = []
    /// What stands alone.
    fileprivate(set) var inputs: [String] = []
  }

  let entries: [Entry]
  private let places: [String: Int]

  /// Words that name the command: `prune`, or `bench images`.
  let words: Int

  /// Of the command that arguments begin with; nil: there is no such command.
  init?(of arguments: [String]) {
    var type: any ParsableCommand.Type = VTokCommand.self
    var words = 0
    while words < arguments.count,
      let next = type.configuration.subcommands.first(where: { $0.configuration.commandName == arguments[words] })
    {
      type = next
      words += 1
    }
    guard words > 0 else { return nil }
    type = type.configuration.defaultSubcommand ?? type
    guard let about = try? JSON(parsing: Array(type._dumpHelp().utf8)) else { return nil }
    self.words = words
    entries = (about["command"]?["arguments"]?.array ?? []).compactMap { argument in
      let names = (argument["names"]?.array ?? []).compactMap { name in
        name["name"]?.string.map { (name["kind"]?.string == "long" ? "--" : "-") + $0 }
      }
      if names.isEmpty { return nil }
      return Entry(
        names: names.filter { $0.hasPrefix("--") } + names.filter { !$0.hasPrefix("--") },
        takesValue: argument["kind"]?.string == "option", isList: argument["isRepeating"]?.bool == true)
    }
    places = Dictionary(
      entries.enumerated().flatMap { index, entry in entry.names.map { ($0, index) } },
      uniquingKeysWith: { first, _ in first }
    )
  }

  /// The entry of a name with its dashes.
  func entry(_ name: String) -> Int? { places[name] }

  /// Takes arguments apart as the parser does. Names that it does not know count as switches: it refuses them itself.
  func read(_ arguments: some Sequence<String>) -> Line {
    var line = Line()
    var rest = Array(arguments)[...]
    while let argument = rest.popFirst() {
      if argument == "--" {
        line.inputs += rest
        break
      }
      guard argument.hasPrefix("-"), argument != "-" else {
        line.inputs.append(argument)
        continue
      }
      let halves = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      // -vo FILE is -v -o FILE.
      let isGroup = !argument.hasPrefix("--") && entry(halves[0]) == nil
      for name in isGroup ? halves[0].dropFirst().map({ "-\($0)" }) : [halves[0]] {
        guard let place = entry(name) else { continue }
        var value = entries[place].takesValue && halves.count == 2 ? halves[1] : nil
        if entries[place].takesValue, value == nil, let next = rest.first, next == "-" || !next.hasPrefix("-") {
          value = rest.removeFirst()
        }
        line.given.append((place, value))
      }
    }
    return line
  }

  /// A second value for what takes one: a sweep that would get lost.
  func refuseRepeated(_ line: Line) throws {
    for (index, entry) in entries.enumerated() where entry.takesValue && !entry.isList {
      let values = line.given.filter { $0.entry == index }.map { $0.value ?? "" }
      if values.count > 1 { throw Grammar.repeated(entry.name, values) }
    }
  }

  static func repeated(_ what: String, _ values: [String]) -> UsageError {
    UsageError(
      what, found: "\(values.count) values (\(values.prefix(4).map { "'\($0)'" }.joined(separator: ", ")))",
      expected: "one", fix: "Keep one of them, or run the command once for each.")
  }
}

// MARK: Numbers

/// A number out of its option's range; the parser names option and value.
struct OutOfRange: OneLineError {
  let expected: String
  var message: String { "expected \(expected). Correct it, or leave the option out." }
}

/// As people write it: 2, not 2.0.
private func plain(_ value: some BinaryFloatingPoint & LosslessStringConvertible) -> String {
  Int(exactly: value).map(String.init) ?? String(value)
}

/// How text becomes a whole number of an option: within the range that stands beside the option, or not at all.
func whole<Value: FixedWidthInteger & Sendable>(_ range: ClosedRange<Value>) -> @Sendable (String) throws -> Value {
  { text in
    guard let value = Value(text), range.contains(value) else {
      throw OutOfRange(expected: "a whole number in \(range.lowerBound)...\(range.upperBound)")
    }
    return value
  }
}

/// The same for a number with a fraction: in the range, or strictly between two others.
func number<Value: BinaryFloatingPoint & LosslessStringConvertible & Sendable>(_ range: ClosedRange<Value>)
  -> @Sendable (String) throws -> Value
{
  { text in
    guard let value = Value(text), range.contains(value) else {
      throw OutOfRange(expected: "a number in \(plain(range.lowerBound))...\(plain(range.upperBound))")
    }
    return value
  }
}

/// - Parameters:
///   - upTo: the largest one, itself allowed.
///   - below: what it must be less than, where that is not allowed.
func number<Value: BinaryFloatingPoint & LosslessStringConvertible & Sendable>(
  above lowest: Value, upTo highest: Value = Value(1e12), below end: Value = .infinity
) -> @Sendable (String) throws -> Value {
  { text in
    guard let value = Value(text), value > lowest, value <= highest, value < end else {
      let most = end < .infinity ? "below \(plain(end))" : "at most \(plain(highest))"
      throw OutOfRange(expected: "a number above \(plain(lowest)) and \(most)")
    }
    return value
  }
}

/// Seeds are written into job files as signed numbers.
let seedRange: ClosedRange<UInt64> = 0...UInt64(Int.max)

// MARK: Lists

extension [String] {
  /// The items of a list option: repeated, or with commas between them.
  var items: [String] { flatMap { $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init) } }

  /// The same for files: a name with a comma that is there is one.
  var fileItems: [String] { flatMap { access($0, F_OK) == 0 ? [$0] : [$0].items } }

  /// The same for methods, whose options have commas between them: what is no `key=value` begins another one.
  var methodItems: [String] {
    flatMap { text in
      text.split(separator: ",", omittingEmptySubsequences: false).reduce(into: []) { methods, piece in
        let isOption = piece.prefix { $0 != ":" && $0 != "+" }.contains("=") || piece.isEmpty
        if let last = methods.last, isOption {
          methods[methods.count - 1] = last + "," + piece
        } else {
          methods.append(String(piece))
        }
      }
    }
  }
}
