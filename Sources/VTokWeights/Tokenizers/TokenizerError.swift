import VTokFiles

/// Why a text tokenizer cannot be made from its files, or cannot do what it is asked.
public struct TokenizerError: OneLineError, Equatable {
  /// The file at fault, or the argument.
  public let subject: String
  public let found: String
  public let expected: String
  public let fix: String
  public var message: String { "\(subject): found \(found), expected \(expected). \(fix)" }
}
