/// Why a checkpoint cannot become a model.
public enum ModelError: Error, Sendable, Equatable, CustomStringConvertible {
  /// No family knows the directory.
  case unknownFamily(found: String, known: [String])
  /// A value of a configuration file is missing or makes no sense.
  case configuration(file: String, key: String, found: String, expected: String)
  /// The files hold tensors that no part of the model reads.
  case unknownTensors([String])
  /// An input does not fit the model.
  case input(what: String, found: String, expected: String, fix: String)

  public var description: String {
    switch self {
    case .unknownFamily(let found, let known):
      "no model family fits: \(found), expected one of \(known.joined(separator: ", ")). "
        + "Give a directory as downloaded from the Hub (config.json and *.safetensors)."
    case .configuration(let file, let key, let found, let expected):
      "\(file): '\(key)' is \(found), expected \(expected). Use the file as published with the weights."
    case .unknownTensors(let names):
      "the weights hold \(names.count) tensors that the model of config.json does not have, the first `\(names[0])`; "
        + "expected none. Fetch config.json and weights from one revision."
    case .input(let what, let found, let expected, let fix): "\(what): \(found), expected \(expected). \(fix)"
    }
  }
}
