import VTokFiles

/// Why a template could not be read or rendered.
public struct TemplateError: OneLineError, Equatable {
  public enum Kind: Sendable {
    /// The text is no template.
    case syntax
    /// Jinja knows it, this interpreter does not.
    case unsupported
    /// A value that is not there was used.
    case undefined
    /// An operation on values that it is not made for.
    case value
    /// The template itself refuses, with `raise_exception`.
    case raised
    /// More steps, memory or depth than a template may take.
    case limit
  }

  public let kind: Kind
  public let reason: String
  /// Line of the template, from 1.
  public internal(set) var line: Int?

  init(_ kind: Kind, _ reason: String, line: Int? = nil) {
    self.kind = kind
    self.reason = reason
    self.line = line
  }

  public var message: String { (line.map { "line \($0): " } ?? "") + reason }

  /// The same error with its place, if it has none yet.
  func at(_ line: Int) -> TemplateError {
    var error = self
    error.line = error.line ?? line
    return error
  }

  static let bigNumber = TemplateError(.limit, "a whole number beyond 64 bits")
}

/// A text of a template or of its values, short enough for a message of one line.
func excerpt(_ text: String) -> String {
  let scalars = text.unicodeScalars.prefix(41).map { $0.value < 32 ? " " : $0 }
  let line = String(String.UnicodeScalarView(scalars.prefix(40)))
  return scalars.count > 40 ? line + "..." : line
}
