import VTokFiles

/// Why labelled pictures cannot be had from a path.
public enum DataError: OneLineError, Equatable {
  case missing(String)
  case noImages(String, expected: String)
  /// A line of a list file.
  case line(file: String, number: Int, found: String, expected: String)
  /// An entry of a file of somebody else's questions.
  case entry(file: String, place: String, found: String, expected: String)
  /// A class of the data that the model does not know.
  case unknownClass(data: String, found: String, known: [String])
  /// A file that is no CIFAR-10 binary.
  case binary(file: String, found: String, expected: String, fix: String)
  /// Reconstructions of another program that are not as they should be.
  case coders(file: String, found: String, expected: String)

  public var message: String {
    switch self {
    case .missing(let path):
      "data '\(path)': no such file or folder, expected class folders, a list file or CIFAR-10 .bin files. Check the path."
    case .noImages(let path, let expected):
      "data '\(path)': no pictures, expected \(expected). Name the folder or file that holds them."
    case .line(let file, let number, let found, let expected):
      "data '\(file)' line \(number): \(found), expected \(expected). Correct the line."
    case .entry(let file, let place, let found, let expected):
      "data '\(file)' \(place): \(found), expected \(expected). Check the file, and that it is of this form."
    case .unknownClass(let data, let found, let known):
      "data '\(data)': class \(found), expected one of the model's \(known.count) classes "
        + "(\(known.prefix(12).joined(separator: ", "))\(known.count > 12 ? ", ..." : "")). "
        + "Rename the class, or use the model that was trained on this data."
    case .binary(let file, let found, let expected, let fix): "data '\(file)': \(found), expected \(expected). \(fix)"
    case .coders(let file, let found, let expected):
      "coders '\(file)': \(found), expected \(expected). Make them anew, from the same pictures at the same side."
    }
  }
}
