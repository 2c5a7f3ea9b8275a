import VTokFiles
import VTokTensor

/// A mistake in the options of a method, `NAME:key=value,...`.
public enum OptionError: OneLineError, Equatable {
  case unknown(method: String, option: String, known: [String])
  case invalid(method: String, option: String, found: String, expected: String)
  /// A file that an option names is missing or is none that can be read.
  case file(method: String, option: String, reason: String)

  public var message: String {
    switch self {
    case .unknown(let method, let option, let known):
      "unknown option '\(option)' of method '\(method)'"
        + (closest(to: option, in: known).map { "; did you mean '\($0)'?" }
          ?? (known.isEmpty
            ? ", expected none. Remove it." : ", expected one of \(known.joined(separator: ", ")). Correct it."))
    case .invalid(let method, let option, let found, let expected):
      "option '\(option)' of method '\(method)': \(found), expected \(expected). Correct it."
    case .file(let method, let option, let reason):
      "option '\(option)' of method '\(method)': \(reason)"
    }
  }
}
