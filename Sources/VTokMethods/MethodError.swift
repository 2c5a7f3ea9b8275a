import VTokCore
import VTokFiles

public enum MethodError: OneLineError, Equatable {
  case unknown(String, known: [String])
  case malformed(String, part: String)
  case option(OptionError)

  public var message: String {
    switch self {
    case .unknown(let name, let known):
      "unknown method '\(name)'"
        + (closest(to: name, in: known).map { "; did you mean '\($0)'?" }
          ?? ", expected one of \(known.joined(separator: ", ")). Correct it.")
    case .malformed(let text, let part):
      "malformed method '\(text)': '\(part)', expected NAME or NAME:key=value,key=value. Correct it."
    case .option(let error): error.description
    }
  }
}
